"""Distances l0, l1, l2 and linf, and the region an attack may search: a ball cut with the bounds.

The only norm arithmetic of the project (its solvers are in projections.py). Inputs and perturbed inputs are
float32 (n, ...); a distance is float64 (n,), over all axes but the first. Every float32 point handed out is
inside the ball as it stands, not only before it was rounded.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from armour import projections
from armour.bounds import Bounds
from armour.checks import describe, one_of
from armour.errors import InvalidArgument, UnsupportedError
from armour.rng import Streams

Norm: TypeAlias = Literal["l0", "l1", "l2", "linf"]
F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]
Array: TypeAlias = NDArray[np.floating[Any]]  # differences: float32 on the way, float64 to measure
Index: TypeAlias = NDArray[np.bool_] | NDArray[np.int64] | slice

# Share of the coordinates that an l1 step moves. Moving only the steepest is short-sighted on a network, and
# moving all leaves nearly all of them to the projection. Tramer and Boneh, 2019,
# https://arxiv.org/abs/1904.13000, move 1 to 5 %.
_L1_DENSITY = 0.02
# Points are projected a little further inside, so that float32 rounding seldom takes them out again.
_SHY = 1 - 5e-7
# Standard deviation, as a fraction of epsilon, of the noise whose projection starts an l1 search.
_L1_START = 0.1


class Distance(ABC):
    """One Lp distance: measures, samples its ball, knows its steepest directions and makes regions."""

    name: Norm

    @abstractmethod
    def norm(self, delta: Array) -> F64:
        """Length (n,) of each row of (n, d)."""

    @abstractmethod
    def longest(self, size: int, span: float) -> float:
        """The largest distance between two points of a box with `size` sides of length `span`."""

    @abstractmethod
    def sample_ball(self, streams: Streams, size: int, epsilon: F64) -> F64:
        """(n, size) points uniform in balls of radius epsilon (n,) around 0, one from each stream."""

    def start(self, streams: Streams, size: int, epsilon: F64) -> F64:
        """(n, size) where a search starts, before it is projected onto the region: uniform in the ball."""
        return self.sample_ball(streams, size, epsilon)

    @abstractmethod
    def steepest(self, gradient: Array, low: Array, high: Array) -> Array:
        """(n, d) directions of length 1 in this norm along which a function with that gradient rises fastest.

        low, high: (n, d), low <= 0 <= high, the room each coordinate has left. A row without gradient stays
        0.
        """

    def measure(self, x: Array, adv: Array) -> F64:
        """Distance (n,) between the rows of two arrays (n, ...)."""
        if x.shape != adv.shape:
            raise InvalidArgument(f"expected two arrays of one shape, got {x.shape} and {adv.shape}")
        return self.norm(_rows(np.subtract(adv, x, dtype=np.float64)))

    def region(self, x: F32, epsilon: float | F64, bounds: Bounds) -> Region:
        """The balls of radius epsilon (a number, or one per row) around x (n, ...), cut with the bounds."""
        low = np.minimum(x, np.float32(bounds.low))
        high = np.maximum(x, np.float32(bounds.high))
        return self._region(x, np.broadcast_to(np.asarray(epsilon, np.float64), len(x)), low, high)

    def project(self, x: F32, adv: F32, epsilon: float | F64, bounds: Bounds) -> F32:
        """The nearest point within epsilon of x and inside the bounds; bit-identical if that is `adv`."""
        return self.region(x, epsilon, bounds).project(adv.copy())

    def _region(self, x: F32, epsilon: F64, low: F32, high: F32) -> Region:
        return Region(self, x, epsilon, low, high)

    def _project(self, delta: Array, low: Array, high: Array, epsilon: F64) -> Array:
        raise UnsupportedError(f"no projection onto the {self.name} ball")

    def _furthest(self, gradient: Array, low: Array, high: Array, epsilon: F64) -> Array:
        raise UnsupportedError(f"no furthest point in the {self.name} ball")

    def __repr__(self) -> str:
        return self.name


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
            boxed[outside] = part._nearest(_rows(adv[outside] - part.x))
        adv[...] = boxed
        return adv

    def step(self, adv: F32, gradient: F32, length: float) -> F32:
        """The nearest point of the region to `adv` moved by length * epsilon along the steepest direction."""
        move = self.distance.steepest(_rows(gradient), _rows(self.low - adv), _rows(self.high - adv))
        move *= (length * self.epsilon).astype(np.float32)[:, None]
        move += _rows(adv)
        move -= _rows(self.x)
        return self._nearest(move)

    def furthest(self, gradient: F32) -> F32:
        """The point of the region at which a linear function with that gradient is largest."""
        return self._add(self.distance._furthest(_rows(gradient), *self._room(), self.epsilon))

    def _nearest(self, delta: Array) -> F32:
        return self._add(self.distance._project(delta, *self._room(), self.epsilon))

    def _room(self) -> tuple[Array, Array]:
        return _rows(self.low - self.x), _rows(self.high - self.x)

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
            ratio = _column((self.epsilon[over] / length[over]), x.ndim)
            adv[over] = _inward(x, np.subtract(adv[over], x, dtype=np.float64) * ratio)
        return adv


class _Box(Region):
    """The linf region: the ball is a box too, so that everything is clipping."""

    __slots__ = ()

    def project(self, adv: F32) -> F32:
        return np.clip(adv, self.low, self.high, out=adv)

    def step(self, adv: F32, gradient: F32, length: float) -> F32:
        moved = np.sign(gradient)
        moved *= _column((length * self.epsilon).astype(np.float32), moved.ndim)
        moved += adv
        return self.project(moved)

    def furthest(self, gradient: F32) -> F32:
        return np.where(gradient > 0, self.high, np.where(gradient < 0, self.low, self.x))


class Linf(Distance):
    """Largest absolute difference."""

    name = "linf"

    def norm(self, delta: Array) -> F64:
        return np.asarray(np.abs(delta).max(axis=1, initial=0.0), np.float64)

    def longest(self, size: int, span: float) -> float:
        return span

    def sample_ball(self, streams: Streams, size: int, epsilon: F64) -> F64:
        return streams.uniform((size,), -1.0, 1.0) * epsilon[:, None]

    def steepest(self, gradient: Array, low: Array, high: Array) -> Array:
        return np.sign(gradient)

    def _region(self, x: F32, epsilon: F64, low: F32, high: F32) -> Region:
        reach = _column(epsilon, x.ndim)
        return _Box(
            self, x, epsilon, np.maximum(low, _inward(x, -reach)), np.minimum(high, _inward(x, reach))
        )


class L2(Distance):
    """Euclidean distance."""

    name = "l2"

    def norm(self, delta: Array) -> F64:
        return np.asarray(np.sqrt(np.einsum("nd,nd->n", delta, delta)), np.float64)

    def longest(self, size: int, span: float) -> float:
        return span * math.sqrt(size)

    def sample_ball(self, streams: Streams, size: int, epsilon: F64) -> F64:
        direction = streams.normal((size,), dtype=np.float64)
        # The share of the ball within radius r is r ** size.
        radius = epsilon * streams.uniform(dtype=np.float64) ** (1 / max(size, 1))
        return direction * (radius / np.maximum(self.norm(direction), 1e-300))[:, None]

    def steepest(self, gradient: Array, low: Array, high: Array) -> Array:
        """The gradient over its length; coordinates at their bounds cost nothing of it.

        Such a coordinate cannot move further, but must go on pushing, or the projection would take it back.
        """
        # Divided by the largest first: squares of small float32 gradients would vanish.
        free = _free(gradient, low, high)
        largest = free.max(axis=1, initial=0)[:, None]
        free /= np.where(largest > 0, largest, 1)
        length = largest * np.sqrt(np.einsum("nd,nd->n", free, free))[:, None]
        return gradient / np.where(length > 0, length, np.inf)

    def _project(self, delta: Array, low: Array, high: Array, epsilon: F64) -> Array:
        return projections.project_l2(delta, low, high, epsilon * _SHY)

    def _furthest(self, gradient: Array, low: Array, high: Array, epsilon: F64) -> Array:
        return projections.furthest_l2(gradient, low, high, epsilon * _SHY)


class L1(Distance):
    """Sum of absolute differences."""

    name = "l1"

    def norm(self, delta: Array) -> F64:
        return np.asarray(np.abs(delta).sum(axis=1), np.float64)

    def longest(self, size: int, span: float) -> float:
        return span * size

    def sample_ball(self, streams: Streams, size: int, epsilon: F64) -> F64:
        # size + 1 exponentials over their sum are uniform on the simplex; all but the last, with random
        # signs, are uniform in the ball.
        parts = -np.log1p(-streams.uniform((size + 1,), dtype=np.float64))
        signs = np.where(streams.uniform((size,)) < 0.5, -1.0, 1.0)
        return np.asarray(signs * parts[:, :size] / parts.sum(axis=1, keepdims=True) * epsilon[:, None])

    def start(self, streams: Streams, size: int, epsilon: F64) -> F64:
        """Noise whose projection is a few dozen random coordinates.

        In many dimensions a uniform point of the ball differs a little from x everywhere, which is where an
        l1 search that starts from x ends up anyway; Croce and Hein, 2021, start from projected noise too.
        """
        return streams.normal((size,), dtype=np.float64) * (_L1_START * epsilon)[:, None]

    def steepest(self, gradient: Array, low: Array, high: Array) -> Array:
        """The steepest coordinates, in proportion to their gradients; at their bounds as in L2.steepest."""
        free = _free(gradient, low, high)
        keep = max(1, round(_L1_DENSITY * gradient.shape[1]))
        if keep < gradient.shape[1]:
            least = np.partition(free, -keep, axis=1)[:, -keep, None]
            moving = gradient * (np.abs(gradient) >= least)
            free *= free >= least
        total = free.sum(axis=1)[:, None]
        return moving / np.where(total > 0, total, np.inf)

    def _project(self, delta: Array, low: Array, high: Array, epsilon: F64) -> Array:
        return projections.project_l1(delta, low, high, epsilon * _SHY)

    def _furthest(self, gradient: Array, low: Array, high: Array, epsilon: F64) -> Array:
        return projections.furthest_l1(gradient, low, high, epsilon * _SHY)


class L0(Distance):
    """Number of differing coordinates (every channel of a pixel counts)."""

    name = "l0"

    def norm(self, delta: Array) -> F64:
        return np.asarray(np.count_nonzero(delta, axis=1), np.float64)

    def longest(self, size: int, span: float) -> float:
        return float(size)

    def sample_ball(self, streams: Streams, size: int, epsilon: F64) -> F64:
        raise UnsupportedError("an l0 ball has no uniform distribution; start from x, or use l1, l2 or linf")

    def steepest(self, gradient: Array, low: Array, high: Array) -> Array:
        raise UnsupportedError("an l0 ball has no steepest direction; use l1, l2 or linf")

    def _project(self, delta: Array, low: Array, high: Array, epsilon: F64) -> Array:
        return projections.project_l0(delta, low, high, epsilon)


l0, l1, l2, linf = L0(), L1(), L2(), Linf()
_BY_NAME: dict[str, Distance] = {d.name: d for d in (l0, l1, l2, linf)}


def distance(norm: Norm) -> Distance:
    """The distance of that name; InvalidArgument for another name."""
    return _BY_NAME[one_of("norm", norm, _BY_NAME)]


def parse_epsilon(value: float | str) -> float:
    """A budget in input units from a number or from text such as "0.1" or "8/255".

    Raises InvalidArgument unless it is a finite number at or above 0.
    """
    number = math.nan
    try:
        if isinstance(value, str):
            top, slash, bottom = value.partition("/")
            number = float(top) / float(bottom) if slash else float(top)
        elif not isinstance(value, bool):
            number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        pass
    if not (math.isfinite(number) and number >= 0):
        raise InvalidArgument(
            f'expected a number at or above 0, or text such as "8/255", got {describe("epsilon", value)}'
        )
    return number


def _rows(array: Array) -> Array:
    """(n, ...) as (n, d)."""
    return array.reshape(len(array), math.prod(array.shape[1:]))


def _column(values: Array, ndim: int) -> Array:
    """(n,) as (n, 1, ..., 1) with `ndim` axes."""
    return values.reshape(len(values), *(1,) * (ndim - 1))


def _free(gradient: Array, low: Array, high: Array) -> Array:
    """(n, d) size of the gradient where the coordinate can follow it, 0 where it is at its bound."""
    least = np.float32(1e-6) * (high - low)  # rounding leaves a coordinate just short of its bound
    up, down = (gradient > 0) & (high > least), (gradient < 0) & (low < -least)
    return np.abs(gradient) * (up | down)


def _inward(x: F32, reach: Array) -> F32:
    """x + reach in float32, rounded towards x."""
    end = (x + reach).astype(np.float32)
    over = np.abs(np.subtract(end, x, dtype=np.float64)) > np.abs(reach)
    return np.nextafter(end, x, out=end, where=over)
