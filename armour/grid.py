"""Values that come in steps, such as whole numbers: points of a grid, and models that only see these."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from armour.bounds import Bounds
from armour.contract import LossFn, Model
from armour.distances import Distance
from armour.errors import InvalidArgument
from armour.regions import F32, Region

# How far a value may be from a point of the grid and still count as that point, in steps.
_SLACK = 1e-3
# Shares of a step from which on values are rounded away from the input, tried in turn until they fit.
_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Grid:
    """The points `bounds.low + k * step`, in float32."""

    def __init__(self, step: float, bounds: Bounds) -> None:
        self.step, self.bounds = step, bounds
        self.last = np.floor(bounds.span / step + _SLACK)

    def number(self, x: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Where values are on the grid, in steps from its first point."""
        offset: NDArray[np.float64] = np.subtract(x, self.bounds.low, dtype=np.float64)
        return offset / self.step

    def point(self, number: NDArray[np.float64]) -> F32:
        """The points of these numbers (whole ones)."""
        return np.asarray(np.clip(number, 0, self.last) * self.step + self.bounds.low, np.float32)

    def check(self, x: F32) -> None:
        """InvalidArgument unless all values are points of the grid."""
        number = self.number(x)
        off = np.abs(number - np.rint(number)) > _SLACK
        if off.any():
            raise InvalidArgument(
                f"expected inputs on the grid {self.bounds.low:g} + k * {self.step:g}, got {x[off][0]:g}; "
                "round them, or state another grid"
            )

    def nearest(self, x: F32) -> F32:
        """The nearest points; values that are points already stay bit by bit as they are."""
        number = self.number(x)
        whole = np.rint(number)
        rounding = 4 * np.finfo(np.float32).eps * max(abs(self.bounds.low), abs(self.bounds.high)) / self.step
        return np.where(np.abs(number - whole) <= rounding, x, self.point(whole))

    def region(self, region: Region) -> Region:
        """The region whose box ends on the grid, moved towards x."""
        low, high = np.ceil(self.number(region.low) - _SLACK), np.floor(self.number(region.high) + _SLACK)
        own = np.rint(self.number(region.x))
        return type(region)(
            region.distance,
            region.x,
            region.epsilon,
            np.where(low >= own, region.x, np.maximum(self.point(low), region.low)),
            np.where(high <= own, region.x, np.minimum(self.point(high), region.high)),
        )

    def fitted(self, x: F32, adv: F32, distance: Distance, epsilon: float) -> F32:
        """Points near adv (n, ...) that are within epsilon of x (n, ...), which is on the grid.

        The nearest where they are within the budget, else as many of the values rounded towards x as the
        budget asks for.
        """
        own, number, near = np.rint(self.number(x)), self.number(adv), self.nearest(adv)
        nearest, moved = np.rint(number), number - own
        whole = np.floor(np.abs(moved))
        left, out = np.arange(len(x)), x.copy()
        for share in _SHARES:
            steps = np.copysign(whole + (np.abs(moved) - whole >= share), moved)[left]
            if share == _SHARES[0]:
                steps = (nearest - own)[left]  # as a model on the grid was asked
            goal = own[left] + steps
            made = np.where(goal == nearest[left], near[left], self.point(goal))
            made[steps == 0] = x[left][steps == 0]
            # The last share only shortens: it fits as adv does.
            fits = distance.measure(x[left], made) <= epsilon
            out[left[fits]] = made[fits]
            left = left[~fits]
        return out


class OnGrid(Model):
    """A model that is asked at the nearest points of a grid; gradients pass straight through the rounding.

    An attack on it ends at what its answers were about: rounding its result changes nothing any more.
    """

    def __init__(self, model: Model, grid: Grid) -> None:
        self.model, self.grid = model, grid
        self._stand_before(model)

    @property
    def can_grad(self) -> bool:
        return self.model.can_grad

    @property
    def obstacle(self) -> str:
        return self.model.obstacle

    @property
    def fingerprint(self) -> str:
        return self.model.fingerprint

    def _forward(self, x: np.ndarray) -> np.ndarray:
        return self.model._forward(self.grid.nearest(x))

    def _pullback(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.model._pullback(self.grid.nearest(x), loss_fn)
