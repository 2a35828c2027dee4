"""Replaying a corpus: are its failures rebuilt from their recipes, and do they still fail?"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from armour.errors import FormatError, InvalidArgument
from armour.events import OnEvent, emit
from armour.model import Model
from armour.npz import read_arrays
from armour.remote import is_url

from .execution import Executor, Outcome, fitting
from .ledger import sha256
from .mutators import MUTATORS
from .oracles import ORACLES
from .partners import Partners
from .plugins import check_loaded
from .reading import Corpus
from .recipe import Recipe, apply_steps
from .rounds import LEVELS
from .validity import ValidityModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A failure asked again.

    id, key, oracle, recipe, true, was: as stored, `was` the label predicted then. now: the label predicted
    today, -1 if the logits are not finite. rebuilt: the recipe gives the stored input, bit for bit. fails:
    the same oracle hits; same: with the same label. validity: the level it reaches today. minimised: the
    stored minimised input still fails with that label; None if none is stored. confidence: of the label
    today.
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


def replay(corpus: Corpus, model: Model, case: str | None = None, on_event: OnEvent = None) -> list[Replayed]:
    """Ask `model` again about every failure of a corpus, or about the one whose id begins with `case`.

    A model other than the corpus was made with is asked as well; compare its fingerprint with the manifest's.
    Raises InvalidArgument if no failure or several have such an id, if the model takes other inputs, or if
    the corpus needs plug-ins that are not loaded.
    """
    if tuple(model.input_shape or ()) != corpus.roots.x.shape[1:]:
        raise InvalidArgument(
            f"expected a model of inputs {corpus.roots.x.shape[1:]}, as in the corpus, "
            f"got {model.input_shape}"
        )
    check_loaded(MUTATORS, corpus.manifest.get("plugins"), str(corpus.folder))
    records = _chosen(corpus, case)
    path = corpus.folder / "seeds" / "validity.npz"
    validity = ValidityModel.from_arrays(read_arrays(path, FormatError))
    if validity.kind is not corpus.kind or validity.shape != corpus.roots.x.shape[1:]:
        raise FormatError(f"{path}: of other inputs than manifest.json states; the corpus is damaged")
    executor = Executor(model, fitting(128, corpus.roots.x[0].size))
    found: list[Replayed] = []
    with threadpool_limits(1):
        for start in range(0, len(records), executor.batch):
            part = records[start : start + executor.batch]
            found += _replay(corpus, executor, validity, part)
            emit(on_event, "replay", len(found), len(records))
    return found


def _replay(
    corpus: Corpus, executor: Executor, validity: ValidityModel, records: list[dict[str, Any]]
) -> list[Replayed]:
    recipes = [_recipe(corpus, record) for record in records]
    root = np.array([recipe.root for recipe in recipes], np.int64)
    origin, steps = corpus.roots.x[root], [recipe.steps for recipe in recipes]
    partners = Partners(corpus.roots, root)
    x, ref = apply_steps(origin, origin, steps, corpus.bounds, kind=validity.kind, partners=partners)
    outcome, level = executor.run(x), validity.level(x, ref, steps)
    fails = _fails(records, outcome)
    confidence = outcome.confidence()
    small = _minimised(corpus, executor, records)
    return [
        Replayed(
            id=record["id"],
            key=record["class"],
            oracle=record["oracle"],
            recipe=record["recipe"],
            true=record["true"],
            was=record["predicted"],
            now=int(outcome.predicted[i]),
            rebuilt=sha256(x[i]) == record["sha256"],
            fails=bool(fails[i]),
            same=bool(fails[i]) and int(outcome.predicted[i]) == record["predicted"],
            validity=LEVELS[int(level[i]) + 1],
            minimised=small.get(i),
            confidence=float(confidence[i]),
        )
        for i, record in enumerate(records)
    ]


def _minimised(corpus: Corpus, executor: Executor, records: list[dict[str, Any]]) -> dict[int, bool]:
    stored = [i for i, record in enumerate(records) if record["first"]]
    if not stored:
        return {}
    x = np.stack([corpus.failure(records[i]).minimised for i in stored])
    outcome = executor.run(x)
    fails = _fails([records[i] for i in stored], outcome)
    same = outcome.predicted == [records[i]["predicted"] for i in stored]
    return dict(zip(stored, (fails & same).tolist(), strict=True))


def _fails(records: list[dict[str, Any]], outcome: Outcome) -> np.ndarray:
    labels = np.array([record["true"] for record in records], np.int64)
    names = np.array([record["oracle"] for record in records])
    hit = np.zeros(len(records), bool)
    for name in set(names.tolist()):
        hit |= (names == name) & ORACLES.get(name).judge(outcome, labels)
    return hit


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


def _recipe(corpus: Corpus, record: dict[str, Any]) -> Recipe:
    path = corpus.folder / "failures" / "index.jsonl"
    try:
        recipe = Recipe.parse(record["recipe"])
    except InvalidArgument as error:
        raise FormatError(f"{path}: failure {record['id']}: {error}") from error
    if recipe.root != record["root"] or record["oracle"] not in ORACLES:
        raise FormatError(f"{path}: failure {record['id']} contradicts itself; the corpus is damaged")
    return recipe


def model_path(corpus: Corpus) -> Path:
    """Where the manifest says the model is; InvalidArgument if it does not or nothing is there.

    Relative paths are seen from the folder that holds the corpus.
    """
    given = corpus.manifest.get("source", {})
    name = given.get("model") if isinstance(given, dict) else None
    if not isinstance(name, str) or not name:
        raise InvalidArgument(f"{corpus.folder} does not record a model file; state one with --model")
    if is_url(name):
        # Not asked by itself: a corpus may come from anywhere, and name any server.
        shown = shlex.quote(name if name.isprintable() and len(name) < 300 else "URL")
        raise InvalidArgument(
            f"{corpus.folder} was made with a served model; ask it again with --model {shown}"
        )
    path = corpus.folder.resolve().parent / name
    if not path.is_file():
        raise InvalidArgument(f"the model {path} of the corpus is not there; state one with --model")
    return path
