"""The nearest inputs that a search has found so far, one for each sample, and the way back towards x."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armour.contract import Model
from armour.criteria import Criterion
from armour.distances import Distance
from armour.objective import Objective
from armour.regions import F32, F64, Array, column, rows

from .retreat import surely

Rows = NDArray[np.int64]


class Nearest:
    """Keeps for each of x (n, ...) the nearest input that met the criterion.

    adv: (n, ...), where there is none yet x itself or what was suggested. distance: (n,), there infinity.
    """

    __slots__ = ("adv", "distance", "measure", "x")

    def __init__(self, measure: Distance, x: F32) -> None:
        self.measure, self.x = measure, x
        self.adv = x.copy()
        self.distance: F64 = np.full(len(x), np.inf)

    def offer(self, rows: Rows, adv: F32, met: NDArray[np.bool_]) -> None:
        """Take those of adv (m, ...), about samples `rows` (m,), that met the criterion and are nearer.

        A row occurs once.
        """
        here = np.flatnonzero(met)
        if here.size:
            at = rows[here]
            length = self.measure.measure(self.x[at], adv[here])
            better = length < self.distance[at]
            here, at = here[better], at[better]
            self.adv[at], self.distance[at] = adv[here], length[better]

    def suggest(self, rows: Rows, adv: F32) -> None:
        """The best try for those of samples `rows` (m,) for which nothing was found."""
        none = ~np.isfinite(self.distance[rows])
        self.adv[rows[none]] = adv[none]

    def found(self) -> NDArray[np.bool_]:
        """(n,) where there is one."""
        return np.isfinite(self.distance)

    def draw_in(self, model: Model, criterion: Criterion, left: Rows, steps: int) -> None:
        """Look for nearer ones for samples `left` (m,) on the ways from x to what was found.

        By false position on the margin, at a query a step and two to begin with. In l0 the way is to undo the
        smallest changes.
        """
        left = left[self.found()[left]]
        if not (left.size and steps):
            return
        x, goal = self.x[left], criterion[left]
        objective, way = goal.objective("margin"), self.adv[left] - x
        short, far = (
            np.zeros(len(left)),
            np.ones(len(left)),
        )  # shares of the way: one fails, the other meets it
        before, beyond = (_margin(model.logits(point), objective) for point in (x, self.adv[left]))
        for _ in range(steps):
            with np.errstate(divide="ignore", invalid="ignore"):
                share = before / (before - beyond)
            share = np.clip(np.where(np.isfinite(share), share, 0.5), 0.05, 0.95)
            at = short + (far - short) * share
            point = as_point(x + self._part(way, at), model)
            logits = model.logits(point)
            value, met = _margin(logits, objective), surely(goal, logits)
            self.offer(left, point, met)
            # The end that stays counts half, so that the other comes nearer too (the Illinois rule).
            far, beyond = np.where(met, at, far), np.where(met, value, beyond / 2)
            short, before = np.where(met, short, at), np.where(met, before / 2, value)

    def _part(self, way: F32, share: F64) -> F32:
        if self.measure.name != "l0":
            return np.multiply(way, column(share, way.ndim), dtype=np.float32, casting="same_kind")
        flat = rows(way)
        many = np.rint(share * np.count_nonzero(flat, axis=1))
        ends = np.full_like(flat, np.inf)
        part: F32 = self.measure.nearest(flat, -ends, ends, np.maximum(many, 1)).reshape(way.shape)
        return part


def as_point(values: Array, model: Model) -> F32:
    """Values (n, ...) as inputs: float32, inside the model's bounds."""
    return model.bounds.clip(values)


def _margin(logits: F32, objective: Objective) -> F64:
    return objective.values(logits).astype(np.float64)
