"""Replaying a corpus: are its failures rebuilt from their recipes, and do they still fail?"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from armour.errors import FormatError, InvalidArgument
from armour.events import OnEvent, emit
from armour.model import Model
from armour.npz import read_arrays
from armour.python_model import is_function
from armour.remote import is_url

from .execution import Executor, Outcome, fitting
from .isolation import executor_for
from .ledger import sha256
from .mutators import MUTATORS
from .oracles.base import ORACLES, Place, Seen
from .oracles.panel import Panel, chosen
from .plugins import check_loaded
from .reading import Corpus
from .rebuilding import rebuilt
from .roots import Roots
from .rounds import LEVELS
from .validity import ValidityModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A failure asked again.

    id, key, oracle, recipe, true, was: as stored, `was` the label predicted then. now: the label of
    today, -1 if the logits are not finite. rebuilt: the recipe gives the stored input, bit for bit. fails:
    the same oracle hits; same: with the same label. validity: the level it reaches today. minimised: the
    stored minimised input still fails with that label; None if none is stored. confidence: of the label
    today. trouble: why the model did not answer, "" if it did.
    """

    id: str
    key: str
    oracle: str
    recipe: str
    true: int
    was: int
    now: int
    rebuilt: bool
    fails: bool
    same: bool
    validity: str
    minimised: bool | None
    confidence: float
    trouble: str = ""


def replay(
    corpus: Corpus,
    model: Model,
    case: str | None = None,
    on_event: OnEvent = None,
    *,
    others: Mapping[str, Model] | None = None,
) -> list[Replayed]:
    """Ask `model` again about every failure of a corpus, or about the one whose id begins with `case`.

    A model other than the corpus was made with is asked as well; compare its fingerprint with the manifest's.
    others: models that it was compared with, by name. Raises InvalidArgument if no failure or several have
    such an id, if the model takes other inputs, if a model to compare with is missing, or if the corpus needs
    plug-ins that are not loaded.
    """
    if tuple(model.input_shape or ()) != corpus.roots.x.shape[1:]:
        raise InvalidArgument(
            f"expected a model of inputs {corpus.roots.x.shape[1:]}, as in the corpus, "
            f"got {model.input_shape}"
        )
    check_loaded(MUTATORS, corpus.manifest.get("plugins"), str(corpus.folder))
    check_loaded(ORACLES, corpus.manifest.get("oracle_plugins"), str(corpus.folder))
    records = _chosen(corpus, case)
    found: list[Replayed] = []
    with judging(corpus, model, records, others) as (panel, validity):
        for start in range(0, len(records), panel.place.executor.batch):
            part = records[start : start + panel.place.executor.batch]
            found += _replay(corpus, panel, validity, part)
            emit(on_event, "replay", len(found), len(records))
    return found


@contextmanager
def judging(
    corpus: Corpus,
    model: Model,
    records: list[dict[str, Any]],
    others: Mapping[str, Model] | None = None,
) -> Iterator[tuple[Panel, ValidityModel]]:
    """The oracles of these records on `model`, and what levels are judged by.

    FormatError for oracles that the manifest does not name.
    """
    path = corpus.folder / "seeds" / "validity.npz"
    validity = ValidityModel.from_arrays(read_arrays(path, FormatError), corpus.aids)
    if validity.kind.name != corpus.kind.name or validity.shape != corpus.roots.x.shape[1:]:
        raise FormatError(f"{path}: of other inputs than manifest.json states; the corpus is damaged")
    config = _config(corpus)
    keys = {record["oracle"] for record in records}
    own, rest = chosen(config["oracles"], config["against"], config["relations"])
    oracles = [one for one in (*own, *rest) if one.key in keys]
    unknown = sorted(keys - {one.key for one in oracles})
    if unknown:
        raise FormatError(
            f"{corpus.folder / 'failures' / 'index.jsonl'}: oracle {unknown[0][:40]!r} is none that "
            "manifest.json names; the corpus is damaged"
        )
    executor = executor_for(model, fitting(128, corpus.roots.x[0].size), oracles)
    executor.guarded = True
    try:
        with threadpool_limits(1):
            roots = _asked(executor, corpus.roots)
            place = Place(
                model=model,
                executor=executor,
                roots=roots,
                bounds=corpus.bounds,
                others=dict(others or {}),
            )
            yield Panel(oracles, place), validity
    finally:
        executor.close()


def _replay(
    corpus: Corpus, panel: Panel, validity: ValidityModel, records: list[dict[str, Any]]
) -> list[Replayed]:
    x, ref, steps = rebuilt(corpus, records)
    level = validity.level(x, ref, steps)
    outcome, fails, now = _judged(panel, records, x)
    confidence = outcome.confidence()
    small = _minimised(corpus, panel, records)
    return [
        Replayed(
            id=record["id"],
            key=record["class"],
            oracle=record["oracle"],
            recipe=record["recipe"],
            true=record["true"],
            was=record["predicted"],
            now=int(now[i]),
            rebuilt=sha256(x[i]) == record["sha256"],
            fails=bool(fails[i]),
            same=bool(fails[i]) and int(now[i]) == record["predicted"],
            validity=LEVELS[int(level[i]) + 1],
            minimised=small.get(i),
            confidence=float(confidence[i]),
            trouble=str(outcome.trouble[i]),
        )
        for i, record in enumerate(records)
    ]


def _minimised(corpus: Corpus, panel: Panel, records: list[dict[str, Any]]) -> dict[int, bool]:
    stored = [i for i, record in enumerate(records) if record["first"]]
    if not stored:
        return {}
    x = np.stack([corpus.failure(records[i]).minimised for i in stored])
    own = [records[i] for i in stored]
    _, fails, now = _judged(panel, own, x)
    same = now == [record["predicted"] for record in own]
    return dict(zip(stored, (fails & same).tolist(), strict=True))


def _judged(
    panel: Panel, records: list[dict[str, Any]], x: np.ndarray
) -> tuple[Outcome, np.ndarray, np.ndarray]:
    """What the model does with x (n, *shape), whether each record's oracle hits, and the label it gives."""
    outcome = panel.place.executor.run(x)
    root = np.array([record["root"] for record in records], np.int64)
    labels = np.array([record["true"] for record in records], np.int64)
    seen = Seen(x, root, labels, outcome, panel.place)
    fails, now = panel.filed([record["oracle"] for record in records], seen)
    return outcome, fails, now


def _asked(executor: Executor, roots: Roots) -> Roots:
    """The roots with their gaps on the model of today, which a corpus does not store."""
    gaps = executor.run(roots.x, taps=False).gaps(roots.labels)
    return replace(roots, gaps=gaps)


def _config(corpus: Corpus) -> dict[str, list[str]]:
    """What the manifest says of the oracles; nothing in corpora of older versions."""
    config = corpus.manifest["config"]
    found = {name: config.get(name, []) for name in ("oracles", "against", "relations")}
    for name, texts in found.items():
        if not isinstance(texts, list) or len(texts) > 200 or not all(isinstance(one, str) for one in texts):
            raise FormatError(
                f"{corpus.folder / 'manifest.json'}: expected {name} as texts; the file is damaged"
            )
    return found


def _chosen(corpus: Corpus, case: str | None) -> list[dict[str, Any]]:
    records = corpus.records()
    if case is None:
        return records
    chosen = [record for record in records if record["id"].startswith(case.lower())]
    if len(chosen) != 1:
        raise InvalidArgument(
            f"expected the id of one failure of {corpus.folder}, got {case!r}, which {len(chosen)} have; "
            "the ids are the names of the folders in failures/*/"
        )
    return chosen


def model_path(corpus: Corpus, name: str | None = None) -> Path:
    """Where the manifest says the model is; InvalidArgument if it does not or nothing is there.

    name: of a model it was compared with. Relative paths are seen from the folder that holds the corpus.
    """
    given = corpus.manifest.get("source", {})
    given = given if isinstance(given, dict) else {}
    flag = "--model" if name is None else "--against"
    if name is not None:
        paths = given.get("against", {})
        stored = paths.get(name) if isinstance(paths, dict) else None
    else:
        stored = given.get("model")
    if not isinstance(stored, str) or not stored:
        raise InvalidArgument(f"{corpus.folder} does not record a model file; state one with {flag}")
    if is_url(stored):
        # Not asked by itself: a corpus may come from anywhere, and name any server.
        shown = shlex.quote(stored if stored.isprintable() and len(stored) < 300 else "URL")
        raise InvalidArgument(
            f"{corpus.folder} was made with a served model; ask it again with {flag} {shown}"
        )
    if is_function(stored):
        # Nor is code run that a corpus names.
        shown = shlex.quote(stored if stored.isprintable() and len(stored) < 300 else "FILE.py:FUNCTION")
        raise InvalidArgument(f"{corpus.folder} was made with a Python function; name it with {flag} {shown}")
    path = corpus.folder.resolve().parent / stored
    if not path.is_file():
        raise InvalidArgument(f"the model {path} of the corpus is not there; state one with {flag}")
    return path
