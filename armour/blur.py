"""Blurs, as products with small banded matrices: one for each side, or one for each row of the kernel.

Contract as in armour/transforms.py. Beyond the edge the nearest pixel repeats.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from armour.bounds import Bounds
from armour.tensor.backend import Array, Namespace, asnumpy, get_xp

from .transforms import largest, per_item, ramp, settle

TRUNCATE = 3.0  # a Gaussian ends at this many standard deviations


def gaussian_blur(x: Array, sigma: Array, bounds: Bounds) -> Array:
    """Gaussian blur of standard deviation `sigma` pixels (0 is identity), cut off at three of them."""
    xp = get_xp(x)
    width = xp.maximum(sigma, xp.float32(1e-3))[:, None]
    radius = int(TRUNCATE * largest(width) + 0.5)
    k = xp.arange(radius + 1, dtype=xp.float32)
    inside = k <= xp.floor(TRUNCATE * width + 0.5)
    half = xp.where(inside, xp.exp(-0.5 * xp.minimum((k / width) ** 2, 60)), 0).astype(xp.float32)
    return settle(x, _separable(x, half), sigma != 0, bounds)


def box_blur(x: Array, radius: Array, bounds: Bounds) -> Array:
    """Mean over a square of side 2 `radius` + 1 pixels; `radius` may be fractional (0 is identity)."""
    xp = get_xp(x)
    k = xp.arange(math.ceil(largest(radius)) + 1, dtype=xp.float32)
    return settle(
        x, _separable(x, xp.minimum(xp.maximum(radius[:, None] + 1 - k, 0), 1)), radius != 0, bounds
    )


def sharpen(x: Array, amount: Array, bounds: Bounds) -> Array:
    """Unsharp mask: add `amount` times the difference to a Gaussian blur of 1 pixel (0 is identity)."""
    out = x - gaussian_blur(x, amount * 0 + 1, bounds)
    out *= per_item(amount)
    out += x
    return settle(x, out, amount != 0, bounds)


def defocus_blur(x: Array, radius: Array, bounds: Bounds) -> Array:
    """Mean over a disk of `radius` pixels (0 is identity), with a soft rim one pixel wide."""
    xp = get_xp(x)
    reach = xp.ceil(radius)
    k = _around(int(largest(reach)), xp)
    distance = xp.sqrt(k[:, None] ** 2 + k**2)
    kernel = xp.minimum(xp.maximum(radius[:, None, None] + 1 - distance, 0), 1)
    return settle(x, _correlate(x, kernel, reach), radius != 0, bounds)


def motion_blur(x: Array, length: Array, degrees: Array, bounds: Bounds) -> Array:
    """Mean along a line of `length` pixels (0 is identity) in the direction `degrees` (0: right, 90: up)."""
    xp = get_xp(x)
    reach = xp.ceil(length / 2)
    k = _around(int(largest(reach)), xp)
    angle = (degrees * xp.float32(xp.pi / 180))[:, None]
    # Points along the line, each shared out among its four nearest pixels; their number depends on the image
    # alone.
    count = 2 * (min(x.shape[2:]) // 8) + 3
    place = length[:, None] * ramp(count, xp) / 2
    across = xp.maximum(1 - abs(k - (place * xp.cos(angle))[:, :, None]), 0)
    down = xp.maximum(1 - abs(k + (place * xp.sin(angle))[:, :, None]), 0)
    kernel = (down[:, :, :, None] * across[:, :, None, :]).sum(axis=1)
    return settle(x, _correlate(x, kernel, reach), length != 0, bounds)


def _separable(x: Array, half: Array) -> Array:
    """Blur both ways with a symmetric kernel; half: (n, r + 1), its centre and right side, not normalised."""
    xp = get_xp(x)
    total = half[:, 0].copy()
    # From the centre outward: a kernel longer by zeros, for a batch mate's sake, sums to the same bits.
    for k in range(1, half.shape[1]):
        total += 2 * half[:, k]
    weights = half / total[:, None]
    kernel = xp.concatenate([weights[:, :0:-1], weights], axis=1)[:, None]
    h, w = x.shape[2:]
    across = _bands(kernel, w)
    down = across if h == w else _bands(kernel, h)
    return xp.matmul(xp.matmul(down.swapaxes(-1, -2), x), across)


def _correlate(x: Array, kernel: Array, reach: Array) -> Array:
    """Weighted means of shifted copies; kernel: (n, 2 r + 1, 2 r + 1), zero beyond an item's `reach`."""
    xp = get_xp(x)
    out = xp.empty_like(x)
    r = kernel.shape[1] // 2
    # One product for each reach, because a product's bits may depend on how long its rows are.
    for radius in sorted({int(value) for value in asnumpy(reach)}):
        chosen = xp.nonzero(reach == radius)[0]
        near = kernel[chosen][:, r - radius : r + radius + 1, r - radius : r + radius + 1]
        near = xp.ascontiguousarray(near) / near.sum(axis=(1, 2), keepdims=True)
        out[chosen] = _correlate_one_size(x[chosen], near)
    return out


def _correlate_one_size(x: Array, kernel: Array) -> Array:
    xp = get_xp(x)
    n, c, h, w = x.shape
    size = kernel.shape[1]
    # Each row of the picture beside its neighbours above and below; one banded matrix then does all columns
    # at once.
    beside = x.take(xp.asarray(_neighbours(h, size // 2)), axis=2).reshape(n, c, h, size * w)
    return xp.matmul(beside, _bands(kernel, w).reshape(n, 1, size * w, w))


def _bands(kernel: Array, size: int) -> Array:
    """(n, m, size, size) from kernels (n, m, 2 r + 1): column j holds one about row j."""
    xp = get_xp(kernel)
    n, m, length = kernel.shape
    r = length // 2
    padded = xp.zeros((n, m, length + 1), dtype=kernel.dtype)
    padded[:, :, :length] = kernel
    bands = padded.take(xp.asarray(_places(size, r)), axis=2)
    # What falls above row 0 for column j is everything up to place r - j - 1; likewise below, from the other
    # end.
    edge = min(r, size)
    bands[:, :, 0, :edge] += xp.cumsum(kernel, axis=2)[:, :, r - edge : r][:, :, ::-1]
    bands[:, :, -1, size - edge :] += xp.cumsum(kernel[:, :, ::-1], axis=2)[:, :, r - edge : r]
    return bands


def _around(radius: int, xp: Namespace) -> Array:
    return xp.arange(-radius, radius + 1, dtype=xp.float32)


@lru_cache(maxsize=256)
def _neighbours(size: int, radius: int) -> np.ndarray:
    """(size, 2 r + 1): the rows beside each row, the edge repeated."""
    rows: np.ndarray = np.clip(np.arange(size)[:, None] + np.arange(-radius, radius + 1), 0, size - 1)
    return rows


@lru_cache(maxsize=256)
def _places(size: int, radius: int) -> np.ndarray:
    """(size, size): the place in a kernel of length 2 r + 1 about column j that reaches row i, or 2 r + 1."""
    place = np.arange(size)[:, None] - np.arange(size) + radius
    return np.where((place >= 0) & (place <= 2 * radius), place, 2 * radius + 1)
