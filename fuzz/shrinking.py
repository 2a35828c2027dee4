"""Minimising one stored failure further than a campaign had time for."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.model import Model

from .content import check_model
from .holdings import level_of
from .manifest import read_json
from .minimize import Case, Minimiser
from .preview import strip
from .reading import Corpus
from .recipe import Recipe
from .replay import judging, replay
from .result import Failure
from .store import norm, write_json

_TIMES = 6  # searches along all parameters, each finer than the one before


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """A failure before and after: l2 distances to the reference, and recipes. smaller: whether it changed."""

    id: str
    key: str
    before: float
    after: float
    recipe_before: str
    recipe: str
    executions: int

    @property
    def smaller(self) -> bool:
        """Whether something was gained, and written."""
        return self.after < self.before


def shrink(corpus: Corpus, model: Model, case: str) -> Shrunk:
    """Make the minimised input of the failure whose id begins with `case` weaker, and store it if it is.

    It stays a failure of the same oracle and label, at its validity level, with the same operations, so that
    its class stays as well. Raises InvalidArgument for an id that no stored failure has, or another model.
    """
    check_model(corpus, model)
    record = _stored(corpus, case)
    (now,) = replay(corpus, model, record["id"])
    if not now.minimised:
        raise InvalidArgument(
            f"failure {record['id']} no longer fails on {model.name}, minimised as it is stored; see "
            f"armour corpus replay {corpus.folder} --case {record['id']}"
        )
    failure = corpus.failure(record)
    small = Case(
        recipe=Recipe.parse(failure.minimised_recipe),
        label=failure.true,
        oracle=failure.oracle,
        predicted=failure.predicted,
        level=level_of(corpus, record),
        x=failure.minimised,
        ref=failure.minimised_reference,
    )
    before = best = _size(small)
    found = small
    with judging(corpus, model, [record]) as (panel, validity):
        minimiser = Minimiser(panel, validity)
        for _ in range(_TIMES):
            (weaker,) = minimiser.parameters([small])
            (tried,) = minimiser.pixels([weaker])
            if _size(tried) < best:
                found, best = tried, _size(tried)
            if weaker.recipe == small.recipe:
                break
            small = weaker
    if best < before:
        _write(corpus, record, failure, found)
    return Shrunk(
        id=record["id"],
        key=record["class"],
        before=before,
        after=best,
        recipe_before=failure.minimised_recipe,
        recipe=str(found.recipe),
        executions=minimiser.executions,
    )


def _size(case: Case) -> float:
    return norm(case.x - case.ref)


def _stored(corpus: Corpus, case: str) -> dict[str, Any]:
    """The record of the one failure with a folder whose id begins so."""
    records = [one for one in corpus.records() if one["id"].startswith(case.lower())]
    if len(records) != 1:
        raise InvalidArgument(
            f"expected the id of one failure of {corpus.folder}, got {case!r}, which {len(records)} have; "
            "the ids are the names of the folders in failures/*/"
        )
    if not records[0]["first"]:
        same = [one for one in corpus.records() if one["class"] == records[0]["class"] and one["first"]]
        first = same[0]["id"] if same else "none"
        raise InvalidArgument(
            f"failure {records[0]['id']} has no folder; the one stored of its class is {first}"
        )
    return records[0]


def _write(corpus: Corpus, record: dict[str, Any], failure: Failure, small: Case) -> None:
    """The failure's folder with another minimised input, put in place of the old one in two steps."""
    final = corpus.folder / "failures" / record["class"] / record["id"]
    building = corpus.folder / "failures" / f".building-{record['id']}"
    shutil.rmtree(building, ignore_errors=True)
    shutil.copytree(final, building)
    np.save(building / "min.npy", small.x, allow_pickle=False)
    meta = read_json(final / "meta.json")
    meta |= {
        "minimised": str(small.recipe),
        "minimised_operations": len(small.recipe.steps),
        "minimised_l2": _size(small),
    }
    write_json(building / "meta.json", meta)
    write_json(building / "recipe.json", {"recipe": record["recipe"], "minimised": str(small.recipe)})
    low, high = corpus.bounds
    picture = strip(failure.root_image, failure.mutant, small.x, (low, high))
    (building / "preview.png").write_bytes(picture)
    old = building.with_name(f".building-old-{record['id']}")
    os.replace(final, old)
    os.replace(building, final)
    shutil.rmtree(old)
