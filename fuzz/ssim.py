"""Structural similarity of two batches of images."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from armour.bounds import Bounds
from armour.tensor.backend import Array, get_xp

WINDOW = 7
_C1, _C2 = 0.01**2, 0.03**2  # (K1 L)**2 and (K2 L)**2 for values measured in spans, so L = 1
_LONG = 64  # pixels of a side above which sums slide along it; up to it they are a product with a matrix
_CHUNK = 1 << 16  # values at a time: five maps of them fit into a core's cache


def ssim(x: Array, y: Array, bounds: Bounds) -> Array:
    """(n,) float32: mean structural similarity of x and y (n, c, h, w), in [-1, 1], 1 where they are equal.

    Uniform 7 by 7 windows that lie wholly inside the image (smaller ones for images under 7 pixels),
    population variances, K1 = 0.01, K2 = 0.03; values are measured from the low bound in units of the span,
    so that the result does not depend on the bounds an image is written in. The mean is over windows and
    channels (Wang et al. 2004, doi:10.1109/TIP.2003.819861). Of sides of 128 pixels and more every second to
    seventh window counts, so that there are 64 to 128; nearly all pixels still lie in one.
    """
    xp = get_xp(x, y)
    if max(x.shape[2:]) > _LONG and x.shape[1] > 1:
        # One plane at a time stays in the cache.
        planes = (len(x) * x.shape[1], 1, *x.shape[2:])
        each = ssim(x.reshape(planes), y.reshape(planes), bounds)
        return each.reshape(len(x), x.shape[1]).mean(axis=1)
    out = xp.empty(len(x), dtype=xp.float32)
    size = max(1, _CHUNK // max(1, x[:1].size))
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        out[part] = _ssim(x[part], y[part], bounds)
    return out


def _ssim(x: Array, y: Array, bounds: Bounds) -> Array:
    xp = get_xp(x)
    n, c, h, w = x.shape
    maps = xp.empty((4, n * c, h, w), dtype=xp.float32)
    for image, unit in ((x, maps[0]), (y, maps[1])):
        xp.subtract(image.reshape(n * c, h, w), bounds.low, out=unit)
        unit *= 1 / bounds.span
    xp.multiply(maps[0], maps[0], out=maps[2])
    maps[2] += maps[1] * maps[1]
    xp.multiply(maps[0], maps[1], out=maps[3])
    # Sums over windows, not means, so that a flat window's variance is exactly zero; hence all constants
    # times count**2.
    sum_x, sum_y, squares, product = _sums(maps)
    count = min(WINDOW, h) * min(WINDOW, w)
    c1, c2 = _C1 * count**2, _C2 * count**2
    cross = sum_x * sum_y
    sum_x *= sum_x
    sum_y *= sum_y
    level = sum_x + sum_y
    product *= count
    product -= cross
    product *= 2
    product += c2
    squares *= count
    squares -= level
    squares += c2
    cross *= 2
    cross += c1
    level += c1
    cross *= product
    level *= squares
    cross /= level
    return cross.reshape(n, -1).mean(axis=1)


def _sums(maps: Array) -> Array:
    """(..., h - 6, w - 6): the sums of maps (..., h, w) over all windows, or over some of a large image."""
    xp = get_xp(maps)
    h, w = maps.shape[-2:]
    if max(h, w) <= _LONG:
        return xp.matmul(xp.matmul(xp.asarray(_windows(h).T), maps), xp.asarray(_windows(w)))
    down = _sliding(maps).swapaxes(-1, -2)
    return _sliding(down).swapaxes(-1, -2)


def _sliding(maps: Array) -> Array:
    """(..., windows, w): sums of seven rows of (..., h, w), by sums of two and of four."""
    if maps.shape[-2] <= WINDOW:
        return maps.sum(axis=-2, keepdims=True)
    pairs = maps[..., :-1, :] + maps[..., 1:, :]
    sums = pairs[..., :-5, :] + pairs[..., 2:-3, :]
    sums += pairs[..., 4:-1, :]
    sums += maps[..., 6:, :]
    return sums[..., :: min(WINDOW, max(1, maps.shape[-2] // _LONG)), :]


@lru_cache(maxsize=64)
def _windows(size: int) -> np.ndarray:
    """(size, size - 6) float32: column i adds up the seven positions from i on."""
    width = min(WINDOW, size)
    first = np.arange(size - width + 1)
    place = np.arange(size)[:, None]
    weights = ((place >= first) & (place < first + width)).astype(np.float32)
    weights.setflags(write=False)
    return weights
