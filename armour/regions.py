"""Where an attack may go: the ball of a distance around each input, cut with the model's bounds, in float32.

Every point handed out is inside the ball and the bounds as it stands, not only before it was rounded: an
attack needs no repair afterwards.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from armour.rng import Streams

if TYPE_CHECKING:
    from armour.distances import Distance

F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]
Array: TypeAlias = NDArray[np.floating[Any]]  # differences: float32 on the way, float64 to measure
Index: TypeAlias = NDArray[np.bool_] | NDArray[np.int64] | slice


class Region:
    """Where an attack may go: within epsilon of x and inside the bounds; region[index] is for some rows.

    x, low, high: float32 (n, ...), low and high the ends of a box; epsilon: float64 (n,). All methods take
    and return float32 (n, ...).
    """

    __slots__ = ("distance", "epsilon", "high", "low", "x")

    def __init__(self, distance: Distance, x: F32, epsilon: F64, low: F32, high: F32) -> None:
        self.distance, self.x, self.epsilon, self.low, self.high = distance, x, epsilon, low, high

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Index) -> Region:
        return type(self)(
            self.distance, self.x[index], self.epsilon[index], self.low[index], self.high[index]
        )

    def masked(self, allowed: NDArray[np.bool_]) -> Region:
        """The part of the region where only the allowed values (n, ...) differ from x."""
        low, high = np.where(allowed, self.low, self.x), np.where(allowed, self.high, self.x)
        return type(self)(self.distance, self.x, self.epsilon, low, high)

    def start(self, streams: Streams) -> F32:
        """A random point to start from, one from each stream."""
        delta = self.distance.start(streams, math.prod(self.x.shape[1:]), self.epsilon)
        return self.project(self.x + delta.astype(np.float32).reshape(self.x.shape))

    def project(self, adv: F32) -> F32:
        """The nearest point of the region, written to `adv` and returned."""
        boxed = np.minimum(np.maximum(adv, self.low), self.high)
        outside = self.distance.measure(self.x, boxed) > self.epsilon
        if outside.any():
            part = self[outside]
            boxed[outside] = part._nearest(rows(adv[outside] - part.x))
        adv[...] = boxed
        return adv

    def step(self, adv: F32, gradient: F32, length: float | F64) -> F32:
        """The nearest point of the region to `adv` moved by length * epsilon along the steepest direction.

        length: a number, or one for each row.
        """
        direction = self.distance.steepest(rows(gradient), rows(self.low - adv), rows(self.high - adv))
        return self.moved(adv, direction, length)

    def moved(self, adv: F32, direction: Array, length: float | F64) -> F32:
        """The nearest point of the region to `adv` moved by length * epsilon along directions (n, d)."""
        move = direction * (length * self.epsilon).astype(np.float32)[:, None]
        move += rows(adv)
        move -= rows(self.x)
        return self._nearest(move)

    def furthest(self, gradient: F32) -> F32:
        """The point of the region at which a linear function with that gradient is largest."""
        return self._add(self.distance.furthest(rows(gradient), *self._room(), self.epsilon))

    def _nearest(self, delta: Array) -> F32:
        return self._add(self.distance.nearest(delta, *self._room(), self.epsilon))

    def _room(self) -> tuple[Array, Array]:
        return rows(self.low - self.x), rows(self.high - self.x)

    def _add(self, delta: Array) -> F32:
        adv: F32 = self.x + delta.astype(np.float32, copy=False).reshape(self.x.shape)
        np.maximum(adv, self.low, out=adv)
        np.minimum(adv, self.high, out=adv)
        return self._fit(adv)

    def _fit(self, adv: F32) -> F32:
        """`adv` with rows that rounding has left outside the ball drawn towards x until they are in it."""
        length = self.distance.measure(self.x, adv)
        over = length > self.epsilon
        if over.any():
            x = self.x[over]
            ratio = column((self.epsilon[over] / length[over]), x.ndim)
            adv[over] = inward(x, np.subtract(adv[over], x, dtype=np.float64) * ratio)
        return adv


class BoxRegion(Region):
    """The linf region: the ball is a box too, so that everything is clipping."""

    __slots__ = ()

    def project(self, adv: F32) -> F32:
        np.maximum(adv, self.low, out=adv)  # numpy.clip, five times as fast
        return np.minimum(adv, self.high, out=adv)

    def step(self, adv: F32, gradient: F32, length: float | F64) -> F32:
        moved = np.sign(gradient)
        moved *= column((length * self.epsilon).astype(np.float32), moved.ndim)
        moved += adv
        return self.project(moved)

    def furthest(self, gradient: F32) -> F32:
        return np.where(gradient > 0, self.high, np.where(gradient < 0, self.low, self.x))


def rows(array: Array) -> Array:
    """(n, ...) as (n, d)."""
    return array.reshape(len(array), math.prod(array.shape[1:]))


def column(values: Array, ndim: int) -> Array:
    """(n,) as (n, 1, ..., 1) with `ndim` axes."""
    return values.reshape(len(values), *(1,) * (ndim - 1))


def inward(x: F32, reach: Array) -> F32:
    """x + reach in float32, rounded towards x."""
    end = (x + reach).astype(np.float32)
    over = np.abs(np.subtract(end, x, dtype=np.float64)) > np.abs(reach)
    return np.nextafter(end, x, out=end, where=over)
