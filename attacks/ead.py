"""EAD: elastic-net attacks, whose changes are sparse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from armour.checks import non_negative
from armour.contract import Model
from armour.criteria import Criterion
from armour.distances import Norm
from armour.regions import F32, F64, column, rows
from armour.rng import Streams

from .base import ATTACKS, MinimizationAttack
from .gradient import finite, labels_of, set_aside
from .retreat import retreat, surely
from .weights import Weights, check_search

# A run is looked at so many times: a sample whose loss has not fallen by _GAIN since leaves it.
_LOOKS, _GAIN = 10, 1e-4
_SEARCH = 10  # halvings of the way back


@ATTACKS.register("ead")
@dataclass(frozen=True, slots=True, kw_only=True)
class EAD(MinimizationAttack):
    """Elastic-net attack: a change small in l2 and sparse, by accelerated shrinkage and thresholding.

    Minimises c * max(confidence - margin, 0) + l2 squared + regularization * l1, both distances in spans of
    the bounds, where the margin is how far the logits are beyond the criterion's boundary. c is searched by
    halves for each sample. Of all iterates that meet the criterion the nearest in `norm` is kept, and drawn
    back towards x.

    steps: for each c, a gradient and a query each; a sample that is not broken leaves once its loss no longer
    falls. step_size: of the gradient steps, falling to 0 as the square root of what is left. search_steps:
    constants tried. regularization: weight of l1; what a step leaves below it becomes 0. confidence:
    margin asked for, in logits. first_weight: the first c.
    Raises UnsupportedError if the model is a black box.
    Chen et al., 2018, https://arxiv.org/abs/1709.04114.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l2", "l1")
    through_classes: ClassVar[bool] = True

    norm: Norm = "l1"
    steps: int = 200
    step_size: float = 0.01
    search_steps: int = 9
    regularization: float = 0.01
    confidence: float = 0.0
    first_weight: float = 1e-3

    def __post_init__(self) -> None:
        MinimizationAttack.__post_init__(self)
        check_search(
            steps=self.steps,
            step_size=self.step_size,
            search_steps=self.search_steps,
            confidence=self.confidence,
            first_weight=self.first_weight,
        )
        non_negative("regularization", self.regularization)

    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """As MinimizationAttack.run; rng is not used."""
        best, length = x.copy(), np.full(len(x), np.inf)
        weights = Weights(len(x), self.first_weight)
        for _ in range(self.search_steps):
            weights.update(self._descend(model, x, criterion, weights.value, best, length))
        found = np.isfinite(length)
        if not self.confidence:
            best[found] = retreat(model, criterion[found], x[found], best[found], _SEARCH, self.distance)
        return best

    def _descend(
        self, model: Model, x: F32, criterion: Criterion, weight: F64, best: F32, length: F64
    ) -> NDArray[np.bool_]:
        """FISTA with these weights (n,); writes to `best` and `length`; (n,) whether it met the criterion."""
        enough, at, span = np.zeros(len(x), bool), np.arange(len(x)), np.float32(model.bounds.span)
        before = np.full(len(x), np.inf)
        every = max(1, -(-self.steps // _LOOKS))
        now = ahead = x
        for step in range(self.steps):
            value, gradient, logits = model.gradient(ahead, criterion[at].objective("margin"))
            met = surely(criterion[at], logits) & (value >= self.confidence)
            pull = np.where(met, 0, weight[at]).astype(np.float32)
            delta = (ahead - x[at]) / span
            slope = 2 * delta - column(pull, x.ndim) * span * finite(gradient)
            delta -= np.float32(self.step_size * (1 - step / self.steps) ** 0.5) * slope
            delta = np.sign(delta) * np.maximum(np.abs(delta) - np.float32(self.regularization), 0)
            old, now = now, np.clip(x[at] + span * delta, *model.bounds).astype(np.float32)
            ahead = np.clip(now + np.float32(step / (step + 3)) * (now - old), *model.bounds)

            value, met = self._asked(model, now, criterion[at])
            away = self.distance.measure(x[at], now)
            better = met & (away < length[at])
            best[at[better]], length[at[better]], enough[at[met]] = now[better], away[better], True
            if step % every == 0:
                off = rows((now - x[at]) / span).astype(np.float64)
                hinge = np.where(met, 0, np.maximum(self.confidence - value, 0))
                loss = weight[at] * hinge + np.square(off).sum(axis=1)
                loss += self.regularization * np.abs(off).sum(axis=1)
                stay = (loss < (1 - _GAIN) * before) | enough[at]
                at, now, ahead, before = at[stay], now[stay], ahead[stay], loss[stay]
                if not at.size:
                    break
        return enough

    def _asked(self, model: Model, x: F32, criterion: Criterion) -> tuple[F64, NDArray[np.bool_]]:
        """The margin (m,) at x, and whether it is enough (m,)."""
        logits = model.logits(x)
        value = margin_of(criterion, logits)
        return value, surely(criterion, logits) & (value >= self.confidence)


def margin_of(criterion: Criterion, logits: NDArray[np.float32]) -> F64:
    """(n,) how far logits (n, k) are beyond the boundary of the criterion's label; below 0 on this side."""
    labels, exact = labels_of(criterion), logits.astype(np.float64)
    gap: F64 = set_aside(exact, labels).max(axis=1) - exact[np.arange(len(labels)), labels]
    return -gap if criterion.direction < 0 else gap
