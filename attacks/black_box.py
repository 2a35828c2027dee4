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
from armour.errors import ArmourError
from armour.regions import F32
from armour.rng import Streams
from armour.tensor.core import Tensor, no_grad

from .base import FixedBudgetAttack, MinimizationAttack, OwnLimitsAttack

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
        with no_grad(), np.errstate(all="ignore"):
            value = goal.objective(loss)(Tensor(logits)).numpy()
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionAttack(MinimizationAttack):
    """The nearest input that meets the criterion, by the model's labels alone, and few of them.

    queries: most questions for each sample.
    """

    needs_gradient: ClassVar[bool] = False

    queries: int = 1000

    def __post_init__(self) -> None:
        MinimizationAttack.__post_init__(self)
        count("queries", self.queries)

    @abstractmethod
    def find(self, asker: Asker, x: F32, *, rng: Streams) -> F32:
        """As MinimizationAttack.run, with `asker` instead of the model."""

    @final
    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """As MinimizationAttack.run."""
        return self.counted(model, x, criterion, rng=rng)[0]

    @final
    def counted(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> tuple[F32, Rows | None]:
        """As MinimizationAttack.counted."""
        asker = Asker(model, criterion, len(x), self.queries)
        return self.find(asker, x, rng=rng), asker.used


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
        return self.counted(model, x, criterion, rng=rng)[0]

    @final
    def counted(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> tuple[F32, Rows | None]:
        """As MinimizationAttack.counted."""
        asker = Asker(model, criterion, len(x), self.queries)
        return self.find(asker, x, rng=rng), asker.used
