"""Linear maps of images that the transfer attacks look through, each with the way back of its gradient.

Images are float32 (n, k, c, h, w): k views of each of n inputs. `low` is black, the lowest value an input may
have: it is what images are darkened to and padded with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from armour.checks import count, fraction, positive
from armour.errors import InvalidArgument
from armour.regions import F32, F64
from armour.rng import Streams

# The gradient for the views, taken back to what they are views of.
Back = Callable[[F32], F32]


def scaled(x: F32, copies: int, low: float) -> tuple[F32, Back]:
    """Each of x (n, k, ...) at brightness 1, 1/2, 1/4, ...: (n, k * copies, ...).

    The way back gives the mean of the gradients of the copies, each with the factor that it was scaled by.
    """
    factors = (0.5 ** np.arange(copies)).astype(np.float32).reshape(copies, *(1,) * (x.ndim - 2))
    many = (x - np.float32(low))[:, :, None] * factors + np.float32(low)
    shape = (len(x), x.shape[1] * copies, *x.shape[2:])

    def back(gradient: F32) -> F32:
        return np.asarray((gradient.reshape(many.shape) * factors).mean(axis=2, dtype=np.float32))

    return many.reshape(shape), back


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversity:
    """An image made a little smaller at random, and put somewhere at random on black of the old size.

    probability: share of the views that this is done to, in [0, 1]; the others are the image itself.
    smallest: least side, as a fraction of the whole, in (0, 1].
    Xie et al., 2019, https://arxiv.org/abs/1803.06978 (whose network takes the larger image instead).
    """

    probability: float = 0.5
    smallest: float = 0.9

    def __post_init__(self) -> None:
        fraction("probability", self.probability)
        fraction("smallest", positive("smallest", self.smallest))

    def __call__(self, x: F32, low: float, streams: Streams) -> tuple[F32, Back]:
        """Views like x (n, k, c, h, w), each by its own draw from its input's stream; bilinear."""
        k, (height, width) = x.shape[1], x.shape[3:]
        chosen, size, top, left = np.moveaxis(streams.uniform((k, 4), dtype=np.float64), 2, 0)
        down, across = (
            _resizing(side, self.smallest, size, place, chosen < self.probability)[:, :, None]
            for side, place in ((height, top), (width, left))
        )
        views = down @ (x - np.float32(low)) @ across.swapaxes(-1, -2)

        def back(gradient: F32) -> F32:
            return np.asarray(down.swapaxes(-1, -2) @ gradient @ across)

        return views + np.float32(low), back


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothing:
    """A Gaussian window over a gradient, which makes it that of many shifted images; 0 beyond the edges.

    size: side of the window in pixels, odd. reach: standard deviations from its centre to its edge.
    Dong et al., 2019, https://arxiv.org/abs/1904.02884.
    """

    size: int = 15
    reach: float = 3.0

    def __post_init__(self) -> None:
        if count("size", self.size) % 2 == 0:
            raise InvalidArgument(f"expected a window with a centre, of an odd size, got size={self.size}")
        positive("reach", self.reach)

    def __call__(self, gradient: F32) -> F32:
        """The weighted mean around each pixel of (n, c, h, w)."""
        down, across = (_window(side, self.size, self.reach) for side in gradient.shape[-2:])
        return np.asarray(down @ gradient @ across)

    def weights(self) -> F64:
        """One row of the window, (size,), summing to 1; the window is its outer product with itself."""
        half = self.size // 2
        weights = np.exp(-0.5 * (np.arange(-half, half + 1) * (self.reach / max(half, 1))) ** 2)
        return np.asarray(weights / weights.sum())


def _resizing(
    side: int, smallest: float, size: F64, place: F64, chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> F32:
    """(n, k, side, side) matrices that shrink a line and move it; the identity where not chosen.

    size, place: (n, k) in [0, 1). Pixels are areas: position i of m is at (i + 1/2) / m.
    """
    least = min(max(1, int(smallest * side)), side)
    length = least + np.floor(size * max(1, side - least))
    first = np.floor(place * (side - length + 1))
    i = np.arange(side) - first[..., None]
    length = length[..., None]
    source = np.clip((i + 0.5) * (side / length) - 0.5, 0, side - 1)
    weights = np.maximum(1 - np.abs(source[..., None] - np.arange(side)), 0)
    weights *= ((i >= 0) & (i < length))[..., None]
    return np.where(chosen[..., None, None], weights, np.eye(side)).astype(np.float32)


@lru_cache(maxsize=16)
def _window(side: int, size: int, reach: float) -> F32:
    """(side, side) the symmetric matrix of a window along a line."""
    weights = Smoothing(size=size, reach=reach).weights()
    offset = np.arange(side)[:, None] - np.arange(side) + size // 2
    inside = (offset >= 0) & (offset < size)
    matrix = np.where(inside, weights[np.clip(offset, 0, size - 1)], 0).astype(np.float32)
    matrix.flags.writeable = False
    return matrix
