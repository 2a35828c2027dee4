"""The upper levels of the validity ladder: V3 by a panel of models, V4 by people.

Whatever the fuzzer itself judges ends at V2. What a panel and reviewers say comes later and is kept in files
of its own; here both are entered in each stored failure's meta.json, as the highest level that it reached.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from armour.files import atomic_write

from . import references, review
from .manifest import read_json
from .reading import Corpus

PANEL, PEOPLE = "V3", "V4"


def levels(corpus: Corpus) -> dict[str, str]:
    """Id of each failure -> the highest level it reached: that of the fuzzer, "V3" or "V4"."""
    said = references.read(corpus)
    seen = set(review.summarise(review.answers(corpus)).valid)
    return {record["id"]: _level(record, said, seen) for record in corpus.records()}


def enter(corpus: Corpus) -> None:
    """Write the level of each stored failure into its meta.json, where it is another than stands there."""
    reached = levels(corpus)
    for record in corpus.records():
        if not record["first"]:
            continue
        path = corpus.folder / "failures" / record["class"] / record["id"] / "meta.json"
        meta = read_json(path)
        if meta.get("validity") != reached[record["id"]]:
            meta["validity"] = reached[record["id"]]
            with atomic_write(path) as stream:
                stream.write((json.dumps(meta, indent=1, sort_keys=True) + "\n").encode())


def _level(record: Mapping[str, Any], said: references.References | None, seen: set[str]) -> str:
    if record["id"] in seen:
        return PEOPLE
    if said is not None and said.specific(dict(record)):
        return PANEL
    return str(record["validity"])
