"""Attacks that only ask for outputs: the questions they may ask, counted for each sample, and their bases.

Scores are logits; an attack that needs labels alone uses `met`. Nobody can ask more than the budget.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from armour.checks import count
from armour.contract import Model
from armour.criteria import LOSSES, Criterion, Loss
from armour.distances import Distance
from armour.errors import ArmourError
from armour.regions import F32, F64, Array
from armour.rng import Streams

from .base import FixedBudgetAttack, MinimizationAttack
from .own_limits import OwnLimitsAttack
from .search import QUERY_GRID, Counted

Rows = NDArray[np.int64]


class Asker:
    """Puts questions about n samples to a model and keeps the exact account of each.

    used: (n,) questions asked so far; none can exceed `budget`. A question is one input (..., ) about one
    sample; several about one sample can be asked at once, and samples in any order.
    """

    def __init__(self, model: Model, criterion: Criterion, n: int, budget: int) -> None:
        self.model, self.criterion, self.budget = model, criterion, budget
        self.used = np.zeros(n, np.int64)

    def left(self, rows: Rows | slice = slice(None)) -> Rows:
        """Questions that may still be asked about each of these samples."""
        return self.budget - self.used[rows]

    def scores(self, rows: Rows, x: F32, loss: str | Loss = "margin") -> tuple[F32, NDArray[np.bool_]]:
        """The attacker's objective (m,), -inf for NaN, and whether the criterion is met (m,).

        rows: (m,) the sample that each x (m, ...) is about.
        """
        logits, goal = self._logits(rows, x), self.criterion[rows]
        value = goal.objective(loss).values(logits)
        return np.where(np.isnan(value), np.float32(-np.inf), value), goal(logits)

    def met(self, rows: Rows, x: F32) -> NDArray[np.bool_]:
        """Whether the criterion is met (m,): all that a model which gives labels alone can tell."""
        return self.criterion[rows](self._logits(rows, x))

    def _logits(self, rows: Rows, x: F32) -> F32:
        asked = np.bincount(rows, minlength=len(self.used))
        if (self.used + asked > self.budget).any():
            raise ArmourError("an attack asked more than its budget of queries; this is a fault of armour's")
        self.used += asked
        logits: F32 = self.model.logits(x)
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreAttack(FixedBudgetAttack):
    """Within a budget of distance, and one of queries for each sample, by the model's scores alone.

    queries: most questions for each sample. loss: "margin", "cross-entropy", "dlr", or a function (logits,
    labels) -> (n,): what the search makes as large as it can.
    """

    needs_gradient: ClassVar[bool] = False

    queries: int = 5000
    loss: str | Loss = "margin"

    def __post_init__(self) -> None:
        FixedBudgetAttack.__post_init__(self)
        count("queries", self.queries)
        if isinstance(self.loss, str):
            LOSSES.get(self.loss)

    @abstractmethod
    def find(self, asker: Asker, x: F32, epsilon: float, *, rng: Streams) -> F32:
        """As FixedBudgetAttack.run, with `asker` instead of the model; samples leave once they are broken."""

    @final
    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        """As FixedBudgetAttack.run."""
        return self.counted(model, x, criterion, epsilon, rng=rng)[0]

    @final
    def counted(
        self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams
    ) -> tuple[F32, Rows | None]:
        """As FixedBudgetAttack.counted."""
        asker = Asker(model, criterion, len(x), self.queries)
        return self.find(asker, x, epsilon, rng=rng), asker.used


class LabelAsker(Asker):
    """An Asker for labels alone that keeps the nearest input known to meet the criterion.

    nearest: (n, ...) that input, x itself as long as there is none. distance: (n,) how far it is, infinity
    as long as there is none. curve: (g, n) that distance after so many questions as QUERY_GRID says. What
    goes beyond the budget is not asked, and answered with False.
    """

    def __init__(self, model: Model, criterion: Criterion, x: F32, distance: Distance, budget: int) -> None:
        super().__init__(model, criterion, len(x), budget)
        self.x, self.norm = x, distance
        self.nearest = x.copy()
        self.distance: F64 = np.full(len(x), np.inf)
        self._curve: F64 = np.full((len(QUERY_GRID), len(x)), np.inf)

    @property
    def curve(self) -> F64:
        """(g, n) distance of the nearest known after QUERY_GRID questions."""
        return np.minimum.accumulate(self._curve, axis=0)

    def met(self, rows: Rows, x: F32, *, keep: bool = True) -> NDArray[np.bool_]:
        """As Asker.met, in the order of `x`; keep=False leaves it out of the account of the nearest."""
        number = self.used[rows] + _rank(rows) + 1
        asked = number <= self.budget
        if not asked.all():
            answer = np.zeros(len(rows), bool)
            if asked.any():
                answer[asked] = self.met(rows[asked], x[asked], keep=keep)
            return answer
        answer = super().met(rows, x)
        hit = np.flatnonzero(answer)
        if keep and hit.size:
            self._keep(rows[hit], x[hit], number[hit])
        return answer

    def clipped(self, x: Array) -> F32:
        """x (m, ...) cut to the model's bounds, in place if it is float32."""
        x = x.astype(np.float32, copy=False)
        return self.model.bounds.clip(x, out=x)

    def _keep(self, rows: Rows, x: F32, number: Rows) -> None:
        length = self.norm.measure(self.x[rows], x)
        place = np.searchsorted(QUERY_GRID, number)
        inside = place < len(QUERY_GRID)
        np.minimum.at(self._curve, (place[inside], rows[inside]), length[inside])
        # The nearest of each sample's comes first.
        order = np.lexsort((length, rows))
        order = order[np.unique(rows[order], return_index=True)[1]]
        order = order[length[order] < self.distance[rows[order]]]
        self.nearest[rows[order]] = x[order]
        self.distance[rows[order]] = length[order]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionAttack(MinimizationAttack):
    """The nearest input that meets the criterion, by the model's labels alone, and few of them.

    queries: most questions for each sample. A sample for which nothing was found stays as it is.
    """

    needs_gradient: ClassVar[bool] = False
    keeps_curve: ClassVar[bool] = True

    queries: int = 1000

    def __post_init__(self) -> None:
        MinimizationAttack.__post_init__(self)
        count("queries", self.queries)

    @abstractmethod
    def find(self, asker: LabelAsker, x: F32, *, rng: Streams) -> None:
        """Ask about inputs like x (n, ...) inside the bounds; the asker keeps the nearest of each sample."""

    @final
    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """As MinimizationAttack.run."""
        return self.counted(model, x, criterion, rng=rng).adv

    @final
    def counted(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> Counted:
        """As MinimizationAttack.counted."""
        asker = LabelAsker(model, criterion, x, self.distance, self.queries)
        self.find(asker, x, rng=rng)
        return Counted(asker.nearest, asker.used, asker.curve)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLimitsScoreAttack(OwnLimitsAttack):
    """Within limits of its own, and a budget of queries for each sample, by the model's scores alone.

    queries: most questions for each sample.
    """

    needs_gradient: ClassVar[bool] = False

    queries: int = 1000

    def __post_init__(self) -> None:
        OwnLimitsAttack.__post_init__(self)
        count("queries", self.queries)

    @abstractmethod
    def find(self, asker: Asker, x: F32, *, rng: Streams) -> F32:
        """As MinimizationAttack.run, with `asker` for the model; samples leave once they are broken."""

    @final
    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """As MinimizationAttack.run."""
        return self.counted(model, x, criterion, rng=rng).adv

    @final
    def counted(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> Counted:
        """As MinimizationAttack.counted."""
        asker = Asker(model, criterion, len(x), self.queries)
        return Counted(self.find(asker, x, rng=rng), asker.used)


def _rank(rows: Rows) -> Rows:
    """(m,) how often the same sample has come before."""
    order = np.argsort(rows, kind="stable")
    sorted_rows = rows[order]
    first = np.flatnonzero(np.diff(sorted_rows, prepend=-1))
    rank = np.empty(len(rows), np.int64)
    rank[order] = np.arange(len(rows)) - np.repeat(first, np.diff(first, append=len(rows)))
    return rank
