"""Square: random search over square windows, by scores alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.checks import fraction
from armour.distances import Norm
from armour.regions import F32, Region
from armour.rng import Streams

from .base import ATTACKS
from .black_box import Asker, ScoreAttack

# Of 10,000 queries, those after which the windows' share of the image is halved.
_HALVED = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


@ATTACKS.register("square")
@dataclass(frozen=True, slots=True, kw_only=True)
class Square(ScoreAttack):
    """Square attack under an linf budget: random search that needs no gradients.

    It starts from vertical stripes at the ends of the budget. Each further query moves one square window of
    each sample, at a random place, to the ends of the budget, every channel to one of them, and keeps it if
    the objective has grown. Windows shrink as the queries are used up. A sample is left alone once it is
    broken. Inputs that are no images are taken for a column of pixels. Only asks for scores; a model that
    gives labels alone shows it no way.

    queries, loss: as for ScoreAttack. window: share of the image that the first windows cover, in (0, 1].
    start: True begins from the stripes, False from x.
    Andriushchenko et al., 2020, https://arxiv.org/abs/1912.00049.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf",)

    window: float = 0.8
    start: bool = True

    def __post_init__(self) -> None:
        ScoreAttack.__post_init__(self)
        fraction("window", self.window)

    def find(self, asker: Asker, x: F32, epsilon: float, *, rng: Streams) -> F32:
        """As ScoreAttack.find."""
        region = self.region(asker.model, x, epsilon)
        best = _ends(region, _stripes(x, rng.child(0))) if self.start else x.copy()
        left = np.arange(len(x))
        value, met = asker.scores(left, best, self.loss)
        left = left[~met]
        for query in range(1, self.queries):
            if not left.size:
                break
            part, streams = region[left], rng[left].child(query)
            tried = best[left].copy()
            self._move(tried, part, streams, query)
            now, met = asker.scores(left, tried, self.loss)
            better = met | (now > value[left])
            best[left[better]], value[left[better]] = tried[better], now[better]
            left = left[~met]
        return best

    def _move(self, adv: F32, region: Region, streams: Streams, query: int) -> None:
        """Move one window of each sample; adv (n, ...) is written to."""
        images, low, high = _images(adv), _images(region.low), _images(region.high)
        n, channels, height, width = images.shape
        share = self.window / 2.0 ** sum(query * 10_000 // self.queries > at for at in _HALVED)
        side = max(1, round(math.sqrt(share * height * width)))
        # A column of pixels has windows of the same share, not of the same side.
        tall, wide = (
            (max(1, round(share * height)), 1) if width == 1 else (min(side, height), min(side, width))
        )
        place = streams.uniform((2,), dtype=np.float64)
        top = np.floor(place[:, 0] * (height - tall + 1)).astype(np.int64)
        start = np.floor(place[:, 1] * (width - wide + 1)).astype(np.int64)
        i = np.arange(n)[:, None, None, None]
        c = np.arange(channels)[None, :, None, None]
        r = (top[:, None] + np.arange(tall))[:, None, :, None]
        s = (start[:, None] + np.arange(wide))[:, None, None, :]
        up = (streams.uniform((channels,)) < 0.5)[:, :, None, None]
        moved = np.where(up, high[i, c, r, s], low[i, c, r, s])
        # A window that is there already would be a query for nothing: the other end then.
        same = (moved == images[i, c, r, s]).all(axis=(1, 2, 3), keepdims=True)
        images[i, c, r, s] = np.where(same, np.where(up, low[i, c, r, s], high[i, c, r, s]), moved)


def _stripes(x: F32, streams: Streams) -> np.ndarray:
    """True where the stripes go up: (n, ...) like x; one draw for each channel and column."""
    n, channels, height, width = _images(x).shape
    shape = (channels, height, 1) if width == 1 else (channels, 1, width)
    up = streams.uniform(shape) < 0.5
    return np.broadcast_to(up, (n, channels, height, width)).reshape(x.shape)


def _ends(region: Region, up: np.ndarray) -> F32:
    return np.where(up, region.high, region.low)


def _images(array: F32) -> F32:
    """A view as (n, c, h, w)."""
    if array.ndim == 4:
        return array
    return array.reshape(len(array), 1, math.prod(array.shape[1:]), 1)
