"""L-BFGS attack: a distance and the goal's improbability, minimised by a quasi-Newton method in the box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from armour.checks import count
from armour.contract import Model
from armour.criteria import Criterion
from armour.distances import Norm
from armour.objective import Objective
from armour.regions import F32, F64, column, rows
from armour.rng import Streams
from armour.tensor import losses
from armour.tensor.core import Tensor
from armour.tensor.elementwise import softplus, where
from armour.tensor.reduce import logsumexp
from armour.tensor.shape import take_along_axis

from .base import ATTACKS, MinimizationAttack
from .gradient import finite
from .retreat import retreat, surely
from .weights import Weights, check_search

_SEARCH = 10  # halvings of the way back
# A step is taken if the objective falls by this share of what its slope promises; else it is halved, at most
# so many times in a row.
_ARMIJO, _HALVINGS = 1e-4, 12
# A sample leaves when a step lowers its objective by less than this share.
_GAIN = 1e-5


@ATTACKS.register("lbfgs")
@dataclass(frozen=True, slots=True, kw_only=True)
class LBFGS(MinimizationAttack):
    """L-BFGS attack: the first one published, with the bounds inside the solver and all samples at once.

    Minimises l2 squared, in spans of the bounds, - c * log(probability of the goal), which is the target, or
    any class but the label. Each sample has its own limited-memory BFGS, projected onto the bounds, with its
    own line search and its own c, searched by halves. The nearest success of all points asked is kept, and
    drawn back towards x.

    steps: points asked for each c, a gradient each; a sample whose objective no longer falls leaves early.
    search_steps: constants tried. memory: pairs of steps and slopes kept. first_weight: the first c.
    Raises UnsupportedError if the model is a black box.
    Szegedy et al., 2014, https://arxiv.org/abs/1312.6199; Tabacof and Valle, 2016,
    https://arxiv.org/abs/1510.05328.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l2",)

    norm: Norm = "l2"
    steps: int = 50
    search_steps: int = 9
    memory: int = 5
    first_weight: float = 1e-2

    def __post_init__(self) -> None:
        MinimizationAttack.__post_init__(self)
        check_search(steps=self.steps, search_steps=self.search_steps, first_weight=self.first_weight)
        count("memory", self.memory)

    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """As MinimizationAttack.run; rng is not used."""
        best, length = x.copy(), np.full(len(x), np.inf)
        weights = Weights(len(x), self.first_weight)
        for _ in range(self.search_steps):
            weights.update(self._descend(model, x, criterion, weights.value, best, length))
        found = np.isfinite(length)
        best[found] = retreat(model, criterion[found], x[found], best[found], _SEARCH, self.distance)
        return best

    def _descend(
        self, model: Model, x: F32, criterion: Criterion, weight: F64, best: F32, length: F64
    ) -> NDArray[np.bool_]:
        """A run with these weights (n,); writes to `best` and `length`; (n,) whether it met the criterion."""
        enough, at, span = np.zeros(len(x), bool), np.arange(len(x)), np.float32(model.bounds.span)
        low, high = (np.float32(end) for end in model.bounds)
        points = _Points(rows(x) / span, self.memory)
        for _ in range(self.steps):
            tried = np.clip((points.tried() * span).reshape(x[at].shape), low, high)
            value, gradient, logits = model.gradient(tried, probability(criterion[at]))
            met = surely(criterion[at], logits)
            away = self.distance.measure(x[at], tried)
            better = met & (away < length[at])
            best[at[better]], length[at[better]], enough[at[met]] = tried[better], away[better], True

            delta = rows((tried - x[at]) / span)
            cost = np.einsum("nd,nd->n", delta, delta, dtype=np.float64) - weight[at] * value
            pull = column((weight[at] * span).astype(np.float32), 2)
            slope = np.asarray(2 * delta - pull * rows(finite(gradient)), np.float32)
            stay = points.take(rows(tried) / span, cost, slope, low / span, high / span)
            at = at[stay]
            if not at.size:
                break
        return enough


class _Points:
    """Where the minimisation of n functions of d variables in one box stands: projected L-BFGS.

    Every round asks one point of each (`tried`) and takes in what came of it (`take`): a step, if the
    function fell enough, or else a shorter try. A row has nothing to do with the others.
    """

    def __init__(self, point: F32, memory: int) -> None:
        n, d = point.shape
        self.point, self.move = point, np.zeros_like(point)
        self.cost, self.slope = np.full(n, np.inf), np.zeros_like(point)
        self.steps, self.slopes = np.zeros((2, n, memory, d), np.float32)
        self.pairs, self.halvings = np.zeros(n, np.int64), np.zeros(n, np.int64)

    def tried(self) -> F32:
        """(n, d) what to ask next; it may be outside the box."""
        share = np.float32(0.5) ** self.halvings.astype(np.float32)
        return np.asarray(self.point + self.move * share[:, None], np.float32)

    def take(self, tried: F32, cost: F64, slope: F32, low: Any, high: Any) -> NDArray[np.bool_]:
        """Go on from values (n,) and slopes (n, d) at `tried`; (n,) which rows do; the others go."""
        step = tried - self.point
        promise = _dot(self.slope, step)
        first = np.isinf(self.cost)
        taken = first | (cost <= self.cost + _ARMIJO * np.minimum(promise, 0)) & (promise < 0)
        with np.errstate(invalid="ignore"):
            stuck = taken & ~first & (self.cost - cost < _GAIN * np.abs(self.cost))
        self._remember(np.flatnonzero(taken & ~first), step, slope - self.slope)
        self.point = np.where(taken[:, None], tried, self.point)
        self.cost = np.where(taken, cost, self.cost)
        self.slope = np.where(taken[:, None], slope, self.slope)
        self.halvings = np.where(taken, 0, self.halvings + 1)
        stay: NDArray[np.bool_] = ~stuck & (self.halvings <= _HALVINGS) & np.isfinite(self.cost)
        for name in ("point", "move", "cost", "slope", "steps", "slopes", "pairs", "halvings"):
            setattr(self, name, getattr(self, name)[stay])
        new = np.flatnonzero(self.halvings == 0)
        if new.size:
            self.move[new] = self._direction(new, low, high)
        return stay

    def _remember(self, at: NDArray[np.int64], step: F32, change: F32) -> None:
        """Keep the pairs that show a function curving upwards."""
        step, change = step[at], change[at]
        curved = _dot(step, change) > 1e-6 * _dot(change, change)
        at, step, change = at[curved], step[curved], change[curved]
        slot = self.pairs[at] % self.steps.shape[1]
        self.steps[at, slot], self.slopes[at, slot] = step, change
        self.pairs[at] += 1

    def _direction(self, at: NDArray[np.int64], low: Any, high: Any) -> F32:
        """(m, d) quasi-Newton steps of the variables that the box does not hold."""
        slope, point = self.slope[at], self.point[at]
        free = ~(((point <= low) & (slope > 0)) | ((point >= high) & (slope < 0)))
        memory = self.steps.shape[1]
        move, kept = -slope * free, []
        scale = np.full(len(at), 0.5)  # the distance alone curves by 2
        for back in range(memory):
            have = back < np.minimum(self.pairs[at], memory)
            slot = (self.pairs[at] - 1 - back) % memory
            step, change = self.steps[at, slot] * free, self.slopes[at, slot] * free
            curve = _dot(step, change)
            have &= curve > 1e-6 * _dot(change, change)
            share = np.where(have, _dot(step, move) / np.where(have, curve, 1), 0)
            move -= share.astype(np.float32)[:, None] * change
            if not back:
                scale = np.where(have, curve / np.where(have, _dot(change, change), 1), scale)
            kept.append((have, step, change, curve, share))
        move *= scale.astype(np.float32)[:, None]
        for have, step, change, curve, share in reversed(kept):
            back_share = np.where(have, share - _dot(change, move) / np.where(have, curve, 1), 0)
            move += back_share.astype(np.float32)[:, None] * step
        move *= free
        uphill = _dot(move, slope) >= 0
        move[uphill] = (-slope * free)[uphill] / 2
        return np.asarray(move, np.float32)


def probability(criterion: Criterion) -> Objective:
    """Log-probability of what the criterion wants: its target, or any class but its label."""
    goal = criterion.objective("cross-entropy")
    return goal if goal.direction < 0 else Objective(other, goal.labels)


def other(logits: Tensor, labels: Any) -> Tensor:
    """log(1 - probability of the label), (n,), which keeps its digits where that is 1."""
    x, y = losses.logits_labels(logits, labels)
    own = take_along_axis(x, y.reshape((-1, 1)), 1).reshape((-1,))
    others = where(losses.one_hot(y, x.shape[1], "bool"), float("-inf"), x)
    return -softplus(own - logsumexp(others, axis=1))


def _dot(a: F32, b: F32) -> F64:
    return np.asarray(np.einsum("nd,nd->n", a, b, dtype=np.float64), np.float64)
