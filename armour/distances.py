"""Distances l0, l1, l2 and linf: the only norm arithmetic of the project (its solvers are in projections.py).

Inputs and perturbed inputs are float32 (n, ...); a distance is float64 (n,), over all axes but the first.
Methods that take (n, d) work on flattened differences. `Distance.region` is the set that an attack searches.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from armour import hyperplanes, projections
from armour.bounds import Bounds
from armour.checks import describe, one_of
from armour.errors import InvalidArgument, UnsupportedError
from armour.regions import F32, F64, Array, BoxRegion, Region, column, inward, rows
from armour.rng import Streams

Norm: TypeAlias = Literal["l0", "l1", "l2", "linf"]

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

    def toward(self, x: F32, adv: F32, share: F64) -> F32:
        """The points on the way from adv (n, ...) to x at `share` (n,), in [0, 1], of their distance.

        Straight for l1 and l2; for linf every value is clipped, so that only the largest change.
        """
        return np.asarray(x + column(share.astype(np.float32), x.ndim) * (adv - x), np.float32)

    @abstractmethod
    def steepest(self, gradient: Array, low: Array, high: Array) -> Array:
        """(n, d) directions of length 1 in this norm along which a function with that gradient rises fastest.

        low, high: (n, d), low <= 0 <= high, the room each coordinate has left. A row without gradient stays
        0.
        """

    def sparsest(self, gradient: Array, keep: NDArray[np.int64]) -> Array:
        """(n, d) the signs of the `keep` (n,) largest entries of each row, over their number: l1 length 1.

        Entries as large as the least of those move too; zeros never move.
        """
        size = np.abs(gradient)
        place = size.shape[1] - np.minimum(keep, size.shape[1])
        least = np.take_along_axis(np.sort(size, axis=1), place[:, None], axis=1)
        signs = np.sign(gradient) * (size >= least)
        count = np.count_nonzero(signs, axis=1)[:, None]
        signs /= np.maximum(count, 1).astype(gradient.dtype)
        return signs

    def measure(self, x: Array, adv: Array) -> F64:
        """Distance (n,) between the rows of two arrays (n, ...)."""
        if x.shape != adv.shape:
            raise InvalidArgument(f"expected two arrays of one shape, got {x.shape} and {adv.shape}")
        return self.norm(rows(np.subtract(adv, x, dtype=np.float64)))

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

    def nearest(self, delta: Array, low: Array, high: Array, epsilon: F64) -> Array:
        """The points (n, d) nearest to delta with this norm at most epsilon and low <= point <= high."""
        raise UnsupportedError(f"no projection onto the {self.name} ball")

    def furthest(self, gradient: Array, low: Array, high: Array, epsilon: F64) -> Array:
        """The points (n, d) of that set with the largest inner product with the gradient."""
        raise UnsupportedError(f"no furthest point in the {self.name} ball")

    def shortest(self, gradient: Array, low: Array, high: Array, gain: Array) -> Array:
        """The shortest (n, d) in the box whose inner product with the gradient is at least gain (n,).

        Where the box has none, its corner furthest along the gradient. Coordinates without gradient stay 0.
        """
        raise UnsupportedError(f"no shortest point in {self.name}")

    def slope(self, gradient: Array) -> F64:
        """(n,) how fast a function with that gradient rises along its steepest direction: the dual norm."""
        raise UnsupportedError(f"no steepest direction in {self.name}")

    def __repr__(self) -> str:
        return self.name


class Linf(Distance):
    """Largest absolute difference."""

    name = "linf"

    def norm(self, delta: Array) -> F64:
        return np.asarray(np.abs(delta).max(axis=1, initial=0.0), np.float64)

    def longest(self, size: int, span: float) -> float:
        return span

    def sample_ball(self, streams: Streams, size: int, epsilon: F64) -> F64:
        return streams.uniform((size,), -1.0, 1.0) * epsilon[:, None]

    def toward(self, x: F32, adv: F32, share: F64) -> F32:
        reach = column((share * self.measure(x, adv)).astype(np.float32), x.ndim)
        return np.minimum(np.maximum(adv, x - reach), x + reach)

    def steepest(self, gradient: Array, low: Array, high: Array) -> Array:
        return np.sign(gradient)

    def _region(self, x: F32, epsilon: F64, low: F32, high: F32) -> Region:
        reach = column(epsilon, x.ndim)
        return BoxRegion(
            self, x, epsilon, np.maximum(low, inward(x, -reach)), np.minimum(high, inward(x, reach))
        )

    def nearest(self, delta: Array, low: Array, high: Array, epsilon: F64) -> Array:
        reach = epsilon[:, None].astype(delta.dtype)
        return np.clip(delta, np.maximum(low, -reach), np.minimum(high, reach))

    def shortest(self, gradient: Array, low: Array, high: Array, gain: Array) -> Array:
        return hyperplanes.shortest_linf(gradient, low, high, gain)

    def slope(self, gradient: Array) -> F64:
        return l1.norm(gradient)


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

    def nearest(self, delta: Array, low: Array, high: Array, epsilon: F64) -> Array:
        return projections.project_l2(delta, low, high, epsilon * _SHY)

    def furthest(self, gradient: Array, low: Array, high: Array, epsilon: F64) -> Array:
        return projections.furthest_l2(gradient, low, high, epsilon * _SHY)

    def shortest(self, gradient: Array, low: Array, high: Array, gain: Array) -> Array:
        return hyperplanes.shortest_l2(gradient, low, high, gain)

    def slope(self, gradient: Array) -> F64:
        return l2.norm(gradient)


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
        keep, moving = max(1, round(_L1_DENSITY * gradient.shape[1])), gradient
        if keep < gradient.shape[1]:
            least = np.partition(free, -keep, axis=1)[:, -keep, None]
            moving = gradient * (np.abs(gradient) >= least)
            free *= free >= least
        total = free.sum(axis=1)[:, None]
        return moving / np.where(total > 0, total, np.inf)

    def nearest(self, delta: Array, low: Array, high: Array, epsilon: F64) -> Array:
        return projections.project_l1(delta, low, high, epsilon * _SHY)

    def furthest(self, gradient: Array, low: Array, high: Array, epsilon: F64) -> Array:
        return projections.furthest_l1(gradient, low, high, epsilon * _SHY)

    def shortest(self, gradient: Array, low: Array, high: Array, gain: Array) -> Array:
        return hyperplanes.shortest_l1(gradient, low, high, gain)

    def slope(self, gradient: Array) -> F64:
        return linf.norm(gradient)


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

    def nearest(self, delta: Array, low: Array, high: Array, epsilon: F64) -> Array:
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


def _free(gradient: Array, low: Array, high: Array) -> Array:
    """(n, d) size of the gradient where the coordinate can follow it, 0 where it is at its bound."""
    least = np.float32(1e-6) * (high - low)  # rounding leaves a coordinate just short of its bound
    up, down = (gradient > 0) & (high > least), (gradient < 0) & (low < -least)
    return np.abs(gradient) * (up | down)


def snr(x: Array, adv: Array) -> F64:
    """Signal-to-noise ratio (n,) in decibels of perturbed signals (n, ...): 20 log10(|x|_2 / |adv - x|_2).

    Infinity where nothing was changed, minus infinity where silence was.
    """
    signal, noise = l2.measure(np.zeros_like(x), x), l2.measure(x, adv)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: F64 = 20 * (np.log10(signal) - np.log10(noise))
    ratio[noise == 0] = math.inf
    return ratio


def snr_epsilon(x: Array, decibels: float) -> F64:
    """The l2 budget (n,) at which perturbed signals x (n, ...) have this signal-to-noise ratio in decibels.

    One budget for all: the smallest of them. Raises InvalidArgument unless decibels is a finite number.
    """
    try:
        ratio = float(decibels)
    except (TypeError, ValueError):
        ratio = math.nan
    if not math.isfinite(ratio):
        raise InvalidArgument(f"expected a number of decibels, got {describe('decibels', decibels)}")
    return l2.measure(np.zeros_like(x), x) * 10 ** (-ratio / 20)
