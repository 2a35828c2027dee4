"""Where the transfer attacks go: gradients smoothed over steps, points, scales, views and neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from armour.checks import count, non_negative, positive
from armour.contract import Model
from armour.errors import UnsupportedError
from armour.objective import Objective
from armour.regions import F32, F64, Region, column
from armour.rng import Streams

from .gradient import Rows, finite
from .image_maps import Back, Diversity, Smoothing, scaled


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Points around an iterate whose mean gradient corrects that of the next one.

    count: how many. reach: radius of the ball they are drawn from, as a multiple of epsilon.
    Wang and He, 2021, https://arxiv.org/abs/2103.15571.
    """

    count: int = 20
    reach: float = 1.5

    def __post_init__(self) -> None:
        count("count", self.count)
        positive("reach", self.reach)


@dataclass(frozen=True, slots=True, kw_only=True)
class Momentum:
    """How a step is chosen, from parts that can be combined.

    The direction of step t is g_t = decay * g_(t-1) + G / mean|G|, where G is the gradient at the iterate, or
    what the parts make of it:

    nesterov: at the point that g_(t-1) alone would lead to. scales: the mean over so many copies, each half
    as bright as the one before. diversity: through a small random resizing. neighbours: plus the difference
    between the mean gradient of points around the last iterate and the last gradient (variance tuning).
    smoothing: averaged over neighbouring pixels. All points stay inside the model's bounds, which the papers'
    code does not see to. What needs images raises UnsupportedError for inputs that are none.
    Dong et al., 2018, https://arxiv.org/abs/1710.06081; Lin et al., 2020, https://arxiv.org/abs/1908.06281.
    They divide by the l1 norm; the mean of absolute values, as in their code, differs only in the length of
    the look-ahead, which would vanish on large inputs.
    """

    decay: float = 1.0
    nesterov: bool = False
    scales: int = 1
    diversity: Diversity | None = None
    neighbours: Neighbours | None = None
    smoothing: Smoothing | None = None

    def __post_init__(self) -> None:
        non_negative("decay", self.decay)
        count("scales", self.scales)

    def check(self, shape: tuple[int, ...]) -> None:
        """UnsupportedError if a part needs images and inputs of that shape are none."""
        for part in (self.diversity, self.smoothing):
            if part is not None and len(shape) != 3:
                raise UnsupportedError(
                    f"{type(part).__name__.lower()} needs images (c, h, w), got inputs of shape {shape}; use "
                    "mi-fgsm, ni-fgsm, si-fgsm, vmi-fgsm or vni-fgsm"
                )


class MomentumWay:
    """The way (gradient.Way) of a Momentum through one region, with its account of each sample.

    steps: how many will be taken. step_size: as a fraction of epsilon. rng: (n,) streams.
    """

    def __init__(
        self, parts: Momentum, model: Model, region: Region, *, steps: int, step_size: float, rng: Streams
    ) -> None:
        parts.check(region.x.shape[1:])
        self.parts, self.model, self.steps, self.rng = parts, model, steps, rng
        self.elsewhere = parts.nesterov or parts.scales > 1 or parts.diversity is not None
        self.velocity = np.zeros_like(region.x)
        self.variance = np.zeros_like(region.x)
        # A velocity of 1 everywhere looks one step ahead, in any norm.
        size = math.prod(region.x.shape[1:])
        self.ahead = (parts.decay * step_size / region.distance.longest(size, 1.0)) * region.epsilon

    def __call__(
        self, rows: Rows, step: int, point: F32, gradient: F32, objective: Objective, region: Region
    ) -> F32:
        """As gradient.Way."""
        parts, streams, velocity = self.parts, self.rng[rows].child(step), self.velocity[rows]
        if self.elsewhere:
            at = point
            if parts.nesterov:
                at = self._inside(point + column(self.ahead[rows].astype(np.float32), point.ndim) * velocity)
            gradient = self._slopes(lambda part: at[part, None], 1, objective, streams.child(0))
        with np.errstate(over="ignore", invalid="ignore"):  # of infinite gradients, which are largest floats
            tuned = gradient + self.variance[rows]
            if parts.smoothing is not None:
                tuned = parts.smoothing(tuned)
        # What a mask forbids is no part of the way.
        tuned = np.where(region.low < region.high, finite(tuned), np.float32(0))
        velocity = np.float32(parts.decay) * velocity + unit(tuned)
        self.velocity[rows] = velocity
        near, drawn = parts.neighbours, streams.child(1)
        if near is not None and step + 1 < self.steps:
            mean = self._slopes(
                lambda part: self._around(point[part], near, region[part], drawn[part]),
                near.count,
                objective,
                streams.child(2),
            )
            with np.errstate(over="ignore", invalid="ignore"):
                self.variance[rows] = mean - gradient
        return velocity

    def _slopes(
        self, points: Callable[[slice], F32], many: int, objective: Objective, streams: Streams
    ) -> F32:
        """(n, ...) the mean gradient over `many` points (m, many, ...) of each sample.

        As many samples at a time as make one batch of the model, so that memory stays bounded.
        """
        size = max(1, self.model.batch_size // (many * self.parts.scales))
        parts = [slice(first, first + size) for first in range(0, len(streams), size)]
        return np.concatenate([self._slope(points(p), objective[p], streams[p]) for p in parts])

    def _slope(self, points: F32, objective: Objective, streams: Streams) -> F32:
        """(n, ...) the mean gradient over points (n, k, ...) and the views of each, as one batch."""
        seen, ways = points, list[Back]()
        if self.parts.scales > 1:
            seen, back = scaled(seen, self.parts.scales, self.model.bounds.low)
            ways.append(back)
        if self.parts.diversity is not None:
            seen, back = self.parts.diversity(seen, self.model.bounds.low, streams)
            ways.append(back)
        batch = self._inside(seen.reshape(-1, *points.shape[2:]))
        owners = np.repeat(np.arange(len(points)), seen.shape[1])
        gradient, size = np.empty_like(batch), self.model.batch_size
        for first in range(0, len(batch), size):
            part = slice(first, first + size)
            gradient[part] = finite(self.model.gradient(batch[part], objective[owners[part]])[1])
        gradient = gradient.reshape(seen.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            for back in reversed(ways):
                gradient = back(gradient)
            return finite(np.asarray(gradient.mean(axis=1, dtype=np.float32)))

    def _around(self, point: F32, neighbours: Neighbours, region: Region, streams: Streams) -> F32:
        """(n, count, ...) points drawn from the balls around `point`."""
        n, many, size = len(point), neighbours.count, math.prod(point.shape[1:])
        radius: F64 = np.repeat(region.epsilon * neighbours.reach, many)
        each = Streams(np.stack([streams.child(i).keys for i in range(many)], axis=1).reshape(-1))
        drawn = region.distance.sample_ball(each, size, radius).astype(np.float32)
        drawn = drawn.reshape(n, many, *point.shape[1:]) * (region.low < region.high)[:, None]
        return self._inside(point[:, None] + drawn)

    def _inside(self, points: F32) -> F32:
        return self.model.bounds.clip(points, out=points)


def unit(gradient: F32) -> F32:
    """Each of (n, ...) over the mean of its absolute values; a row of zeros stays one."""
    size = np.abs(gradient).reshape(len(gradient), -1)
    # By the largest first: the squares of float32 may vanish, and so may sums of its smallest numbers.
    largest = size.max(axis=1, initial=0)
    largest[largest == 0] = 1
    mean = largest * (size / largest[:, None]).mean(axis=1)
    mean[mean == 0] = 1
    return np.asarray(gradient / column(mean, gradient.ndim))
