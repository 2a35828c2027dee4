"""Gradients estimated from scores by differences along random directions, and the ascent along them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from armour.bounds import Bounds
from armour.criteria import Loss
from armour.regions import F32, Region, rows
from armour.rng import Streams

from .black_box import Asker, Rows
from .clock import time_is_up

# Relative difference between two scores that rounding alone can make.
ROUNDING = np.float32(4e-6)
# (numbers of samples (m,), step, pair) -> (m, d) directions.
Draw: TypeAlias = Callable[[Rows, int, int], F32]


@dataclass(frozen=True, slots=True)
class Noise:
    """Random directions, for each sample, step and pair its own.

    draw: makes them. reach: the largest size of a value. variance: the mean square of a value; None for
    directions that do not overlap, whose slopes are added up rather than averaged.
    """

    draw: Draw
    reach: float
    variance: float | None

    @classmethod
    def normal(cls, rng: Streams, size: int) -> Noise:
        """Standard normal values, cut at 3."""

        def draw(at: Rows, step: int, pair: int) -> F32:
            made: F32 = np.clip(rng[at].child(step).child(pair).normal((size,)), -_CUT, _CUT)
            return made

        return cls(draw, _CUT, _CUT_VARIANCE)

    @classmethod
    def signs(cls, rng: Streams, size: int) -> Noise:
        """Values of 1 and -1."""

        def draw(at: Rows, step: int, pair: int) -> F32:
            up = rng[at].child(step).child(pair).uniform((size,)) < 0.5
            return np.where(up, np.float32(1), np.float32(-1))

        return cls(draw, 1.0, 1.0)

    @classmethod
    def coordinates(cls, rng: Streams, size: int, width: int) -> Noise:
        """One value of 1 each, the `width` pairs of a step in turn; in a new random order on every pass."""
        orders: dict[int, NDArray[np.integer]] = {}

        def draw(at: Rows, step: int, pair: int) -> F32:
            turn, place = divmod(step * width + pair, size)
            if turn not in orders:
                orders.pop(turn - 2, None)
                orders[turn] = np.argsort(rng.child(turn).uniform((size,)), axis=1, kind="stable").astype(
                    np.int32
                )
            made = np.zeros((len(at), size), np.float32)
            made[np.arange(len(at)), orders[turn][at, place]] = 1
            return made

        return cls(draw, 1.0, None)


_CUT = 3.0  # standard deviations; the variance of what is cut there follows from the normal distribution
_TAIL = math.erfc(_CUT / math.sqrt(2))
_DENSITY = math.exp(-(_CUT**2) / 2) / math.sqrt(2 * math.pi)
_CUT_VARIANCE = 1 - _TAIL - 2 * _CUT * _DENSITY + _CUT**2 * _TAIL


class Estimate(NamedTuple):
    """gradient: (m, ...). met: (m,) whether a question met the criterion inside the region; found: which."""

    gradient: F32
    found: F32
    met: NDArray[np.bool_]


def inner(region: Region, half: F32 | float) -> tuple[F32, F32]:
    """The ends (n, d) of the region's box, `half` away from its sides, or as far as a narrow side allows."""
    low, high = rows(region.low), rows(region.high)
    room = np.minimum(half, (high - low) / 2).astype(np.float32)
    return low + room, high - room


def inside(region: Region, owner: Rows, asked: F32) -> NDArray[np.bool_]:
    """(k,) whether points in the region's box (k, ...) are in the ball of their owners (k,) too."""
    return np.asarray(region.distance.measure(region.x[owner], asked) <= region.epsilon[owner])


def estimate(
    asker: Asker,
    region: Region,
    at: Rows,
    point: F32,
    noise: Noise,
    step: int,
    *,
    pairs: int,
    sigma: float,
    loss: str | Loss,
) -> Estimate:
    """The gradient of the objective at `point` (m, ...), from 2 * pairs questions about each of its samples.

    Questions lie in opposite pairs, about sigma (in input units) away along random directions of their own
    for each sample and pair. Where a side of the region is too near, their middle is moved inward rather than
    the questions cut, which would halve the slope there; values without room have gradient 0. Of the
    questions inside the region the first that meets the criterion is handed back. at: (m,) the samples'
    numbers. Bounded memory: the model is asked for about a batch at once.
    """
    m, size = len(point), math.prod(point.shape[1:])
    room = rows(region.high) - rows(region.low)
    length = np.minimum(np.float32(sigma), room * np.float32(0.5 / noise.reach))
    low, high = inner(region, length * np.float32(noise.reach))
    middle = np.clip(rows(point), low, high)
    total = np.zeros((m, size), np.float32)
    found, met = point.copy(), np.zeros(m, bool)
    share = max(1, asker.model.batch_size // (2 * m))
    for first in range(0, pairs, share):
        labels = range(first, min(first + share, pairs))
        direction = np.stack([noise.draw(at, step, label) for label in labels], axis=1)
        move = direction * length[:, None]
        asked = np.stack([middle[:, None] + move, middle[:, None] - move], axis=2)
        np.maximum(asked, rows(region.low)[:, None, None], out=asked)
        np.minimum(asked, rows(region.high)[:, None, None], out=asked)
        questions = asked.reshape(-1, *point.shape[1:])
        owner = np.repeat(np.arange(m), 2 * len(labels))
        value, broken = asker.scores(at[owner], questions, loss)
        sides = value.reshape(m, len(labels), 2)
        with np.errstate(invalid="ignore"):
            slope = sides[:, :, 0] - sides[:, :, 1]
            real = np.isfinite(slope) & (np.abs(slope) > ROUNDING * np.abs(sides).max(axis=2))
        slope = np.where(real, slope, np.float32(0))
        # Pair after pair, so that the sum does not depend on how many are asked at once.
        for pair in range(len(labels)):
            total += slope[:, pair, None] * direction[:, pair]
        hits = np.flatnonzero(broken)
        hits = hits[inside(region, owner[hits], questions[hits])]
        whose, place = np.unique(owner[hits], return_index=True)
        new = ~met[whose]
        found[whose[new]], met[whose[new]] = questions[hits[place[new]]], True
    scale = np.divide(1, length, out=np.zeros_like(length), where=length > 0)
    weight = 2.0 if noise.variance is None else 2 * pairs * noise.variance
    total *= scale * np.float32(1 / weight)
    return Estimate(total.reshape(point.shape), found, met)


def away(sigma: float, grid: float | None, bounds: Bounds) -> float:
    """How far from a point to ask, in input units: on a grid one step at least, or answers do not differ."""
    return max(sigma * bounds.span, grid or 0.0)


class Mover(Protocol):
    """How an ascent moves: the state of all n samples, of which some are moved."""

    def __call__(
        self, region: Region, at: Rows, point: F32, gradient: F32, stalled: NDArray[np.int64]
    ) -> F32:
        """The next points (m, ...) of the region. stalled: (m,) steps since the objective last grew."""


def climb(
    asker: Asker,
    region: Region,
    noise: Noise,
    move: Mover,
    *,
    draws: int,
    sigma: float,
    loss: str | Loss,
) -> F32:
    """Go up along estimated gradients from x, and ask at each new point, until the questions are used up.

    draws: pairs of questions a step, fewer in the last one. Returns for each sample the point that met the
    criterion, or else the one with the largest objective.
    """
    point, best = region.x.copy(), region.x.copy()
    value = np.full(len(best), -np.inf, np.float32)
    stalled = np.zeros(len(best), np.int64)
    left, step = np.arange(len(best)), 0
    while left.size and not time_is_up():
        # All that are left have been asked about equally often.
        pairs = min(draws, (int(asker.left(left[:1])[0]) - 1) // 2)
        if pairs < 1:
            break
        part = region[left]
        slope, found, met = estimate(
            asker, part, left, point[left], noise, step, pairs=pairs, sigma=sigma, loss=loss
        )
        best[left[met]] = found[met]
        if met.any():
            left, part, slope = left[~met], part[~met], slope[~met]
            if not left.size:
                break
        tried = move(part, left, point[left], slope, stalled[left])
        now, met = asker.scores(left, tried, loss)
        point[left] = tried
        better = met | (now > value[left])
        best[left[better]], value[left[better]] = tried[better], now[better]
        stalled[left] = np.where(better, 0, stalled[left] + 1)
        left, step = left[~met], step + 1
    return best


class Adam:
    """Adam's directions for samples (n, ...); a value without gradient stays as it is, and is not counted.

    Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980, without the constant in the denominator, which
    would depend on the units.
    """

    def __init__(self, like: F32, first: float = 0.9, second: float = 0.999) -> None:
        self.first, self.second = np.float32(first), np.float32(second)
        self.mean, self.square = np.zeros_like(like), np.zeros_like(like)
        self.steps = np.zeros(like.shape, np.int32)

    def __call__(self, at: Rows, gradient: F32) -> F32:
        """The direction (m, ...) for the samples numbered `at`."""
        moves = gradient != 0
        steps = self.steps[at] + moves
        mean = np.where(moves, self.first * self.mean[at] + (1 - self.first) * gradient, self.mean[at])
        square = np.where(
            moves, self.second * self.square[at] + (1 - self.second) * gradient**2, self.square[at]
        )
        self.mean[at], self.square[at], self.steps[at] = mean, square, steps
        moves &= square > 0
        late = np.maximum(steps, 1)
        root = np.sqrt(square / (1 - self.second**late))
        made: F32 = np.divide(mean / (1 - self.first**late), root, out=np.zeros_like(mean), where=moves)
        return made
