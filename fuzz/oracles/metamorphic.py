"""metamorphic: a declared relation between an input and its changed copy does not hold.

The judgement of DeepTest (Tian et al., 2018, https://arxiv.org/abs/1708.08559), with relations that the user
declares instead of transforms that are taken to be harmless.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.errors import InvalidArgument

from .base import Judge, Oracle, Place, Seen, Verdict, blamed, register
from .relations import EXPECTATIONS, Relation
from .transforms import changes


@register("metamorphic")
@dataclass(frozen=True, slots=True, kw_only=True)
class Metamorphic(Oracle):
    """One relation, as its line; inputs that the change leaves as they are say nothing."""

    asks: ClassVar[bool] = True

    relation: str

    def __post_init__(self) -> None:
        Relation.parse(self.relation)

    @property
    def key(self) -> str:
        return f"{self.name}-{Relation.parse(self.relation).name}"

    @property
    def every(self) -> int:
        """One of so many executions is judged."""
        return Relation.parse(self.relation).every

    def bind(self, place: Place) -> Judge:
        """Tries the change on a root; InvalidArgument if it, or a label, does not fit."""
        relation = Relation.parse(self.relation)
        steps = [changes(call) for call in relation.change]
        row = EXPECTATIONS.get(relation.expect.name)
        numbers = relation.expect.filled(row.defaults)
        classes = place.roots.gaps.shape[1]
        stated = [*relation.labels, *([int(numbers["label"])] if "label" in numbers else [])]
        if any(label >= classes for label in stated):
            raise InvalidArgument(
                f"relation {relation.name}: expected labels in 0..{classes - 1}, got {max(stated)}"
            )
        only = np.array(relation.labels, np.int64)

        def changed(x: np.ndarray) -> np.ndarray:
            for step in steps:
                x = step(x, place.bounds)
            return np.ascontiguousarray(x, np.float32)

        try:
            trial = changed(place.roots.x[:1].copy())
        except (InvalidArgument, IndexError, ValueError) as error:
            raise InvalidArgument(f"relation {relation.name}: {error}") from error
        if trial.shape != place.roots.x[:1].shape:
            raise InvalidArgument(
                f"relation {relation.name}: the change gives {trial.shape[1:]}, another shape"
            )

        def judge(seen: Seen) -> Verdict:
            x = changed(seen.x.copy())
            told = (x != seen.x).reshape(len(x), -1).any(axis=1) & (seen.outcome.predicted >= 0)
            if len(only):
                told &= np.isin(seen.labels, only)
            rows = np.flatnonzero(told)
            hit, label = np.zeros(len(x), bool), seen.outcome.predicted.copy()
            if len(rows):
                part = seen[rows]
                after = seen.run(x[rows])
                hit[rows] = row.broken(part.outcome, after, part.labels, **numbers)
                label[rows] = blamed(part.labels, part.outcome.predicted, after.predicted)
            return Verdict(hit, label)

        return judge
