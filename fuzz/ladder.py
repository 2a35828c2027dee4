"""The upper levels of the validity ladder: V3 by a panel of models, V4 by people.

Whatever the fuzzer itself judges ends at V2. What a panel and reviewers say comes later and is kept in files
of its own; here both are entered in each stored failure's meta.json, as the highest level that it reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import references, review
from .manifest import read_json
from .reading import Corpus
from .store import write_json

PANEL, PEOPLE = "V3", "V4"


def levels(corpus: Corpus) -> dict[str, str]:
    """Id of each failure -> the highest level it reached: that of the fuzzer, "V3" or "V4"."""
    return _levels(corpus, corpus.records())


def enter(corpus: Corpus) -> None:
    """Write the level of each stored failure into its meta.json, where it is another than stands there."""
    records = corpus.records()
    reached = _levels(corpus, records)
    for record in records:
        if not record["first"]:
            continue
        path = corpus.folder / "failures" / record["class"] / record["id"] / "meta.json"
        meta = read_json(path)
        if meta.get("validity") != reached[record["id"]]:
            meta["validity"] = reached[record["id"]]
            write_json(path, meta)


def _levels(corpus: Corpus, records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    said = references.read(corpus)
    seen = set(review.summarise(review.answers(corpus)).valid)
    return {record["id"]: _level(record, said, seen) for record in records}


def _level(record: Mapping[str, Any], said: references.References | None, seen: set[str]) -> str:
    if record["id"] in seen:
        return PEOPLE
    if said is not None and said.specific(dict(record)):
        return PANEL
    return str(record["validity"])
