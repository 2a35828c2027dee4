"""Blurs, as products with small banded matrices: one for each side, or one for each row of the kernel.

Contract as in armour/transforms.py. Beyond the edge the nearest pixel repeats.
"""

from __future__ import annotations

import math

from armour.bounds import Bounds
from armour.tensor.backend import Array, asnumpy, get_xp

from .transforms import per_item, ramp, settle

TRUNCATE = 3.0  # a Gaussian ends at this many standard deviations


def gaussian_blur(x: Array, sigma: Array, bounds: Bounds) -> Array:
    """Gaussian blur of standard deviation `sigma` pixels (0 is identity), cut off at 3 standard deviations."""
    xp = get_xp(x)
    width = xp.maximum(sigma, xp.float32(1e-3))[:, None]
    radius = int(TRUNCATE * float(width.max()) + 0.5)
    k = xp.arange(radius + 1, dtype=xp.float32)
    inside = k <= xp.floor(TRUNCATE * width + 0.5)
    half = xp.where(inside, xp.exp(-0.5 * xp.minimum((k / width) ** 2, 60)), 0).astype(xp.float32)
    return settle(x, _separable(x, half), sigma != 0, bounds)


def box_blur(x: Array, radius: Array, bounds: Bounds) -> Array:
    """Mean over a square of side 2 `radius` + 1 pixels; `radius` may be fractional (0 is identity)."""
    xp = get_xp(x)
    k = xp.arange(math.ceil(float(radius.max())) + 1, dtype=xp.float32)
    return settle(x, _separable(x, xp.clip(radius[:, None] + 1 - k, 0, 1)), radius != 0, bounds)


def sharpen(x: Array, amount: Array, bounds: Bounds) -> Array:
    """Unsharp mask: add `amount` times the difference to a Gaussian blur of 1 pixel (0 is identity)."""
    out = x - gaussian_blur(x, amount * 0 + 1, bounds)
    out *= per_item(amount)
    out += x
    return settle(x, out, amount != 0, bounds)


def defocus_blur(x: Array, radius: Array, bounds: Bounds) -> Array:
    """Mean over a disk of `radius` pixels (0 is identity), with a soft rim one pixel wide."""
    xp = get_xp(x)
    size = math.ceil(float(radius.max()))
    k = xp.arange(-size, size + 1, dtype=xp.float32)
    distance = xp.sqrt(k[:, None] ** 2 + k**2)
    return settle(x, _correlate(x, xp.clip(radius[:, None, None] + 1 - distance, 0, 1)), radius != 0, bounds)


def motion_blur(x: Array, length: Array, degrees: Array, bounds: Bounds) -> Array:
    """Mean along a line of `length` pixels (0 is identity) in the direction `degrees` (0: right, 90: up)."""
    xp = get_xp(x)
    size = math.ceil(float(length.max()) / 2)
    k = xp.arange(-size, size + 1, dtype=xp.float32)
    angle = (degrees * xp.float32(xp.pi / 180))[:, None]
    # Points along the line, each shared out among its four nearest pixels; their number depends on the image
    # alone.
    count = 2 * (min(x.shape[2:]) // 8) + 3
    place = length[:, None] * ramp(count, xp) / 2
    across = xp.maximum(1 - abs(k - (place * xp.cos(angle))[:, :, None]), 0)
    down = xp.maximum(1 - abs(k + (place * xp.sin(angle))[:, :, None]), 0)
    kernel = (down[:, :, :, None] * across[:, :, None, :]).sum(axis=1)
    return settle(x, _correlate(x, kernel), length != 0, bounds)


def _separable(x: Array, half: Array) -> Array:
    """Blur both ways with the symmetric kernel whose centre and right half are `half` (n, r + 1), not normalised."""
    xp = get_xp(x)
    total = half[:, 0].copy()
    # From the centre outward: a kernel longer by zeros, for a batch mate's sake, sums to the same bits.
    for k in range(1, half.shape[1]):
        total += 2 * half[:, k]
    weights = half / total[:, None]
    kernel = xp.concatenate([weights[:, :0:-1], weights], axis=1)[:, None]
    h, w = x.shape[2:]
    down = _bands(kernel, h)
    right = down if h == w else _bands(kernel, w)
    return xp.matmul(xp.matmul(down, x), right.swapaxes(-1, -2))


def _correlate(x: Array, kernel: Array) -> Array:
    """Weighted sum of shifted copies; kernel: (n, 2 r + 1, 2 r + 1), not normalised, zero outside an item's own reach."""
    xp = get_xp(x)
    out = xp.empty_like(x)
    r = kernel.shape[1] // 2
    reach = xp.maximum(abs(xp.arange(-r, r + 1))[:, None], abs(xp.arange(-r, r + 1))) * (kernel > 0)
    own = asnumpy(reach.max(axis=(1, 2)))
    # One product for each radius, because a product's bits may depend on how long its rows are.
    for radius in sorted(set(own.tolist())):
        chosen = xp.asarray(own == radius)
        near = slice(r - radius, r + radius + 1)
        out[chosen] = _correlate_one_size(x[chosen], xp.ascontiguousarray(kernel[chosen, near, near]))
    return out


def _correlate_one_size(x: Array, kernel: Array) -> Array:
    xp = get_xp(x)
    n, c, h, w = x.shape
    size = kernel.shape[1]
    kernel = kernel / kernel.reshape(n, -1).sum(axis=1)[:, None, None]
    # Each row of the picture beside its neighbours above and below; one banded matrix then does all columns
    # at once.
    rows = xp.clip(xp.arange(h)[:, None] + xp.arange(-(size // 2), size // 2 + 1), 0, h - 1)
    beside = x[:, :, rows].reshape(n, c, h, size * w)
    bands = _bands(kernel, w).swapaxes(-1, -2).reshape(n, 1, size * w, w)
    return xp.matmul(beside, bands)


def _bands(kernel: Array, size: int) -> Array:
    """(n, m, size, size) from kernels (n, m, 2 r + 1): row i holds a kernel about column i, its ends piled on the edges."""
    xp = get_xp(kernel)
    n, m, length = kernel.shape
    r = length // 2
    i = xp.arange(size)
    offset = xp.clip(i - i[:, None] + r, -1, length) + 1
    bands = xp.pad(kernel, ((0, 0), (0, 0), (1, 1)))[:, :, offset]
    # What would fall left of column 0 in row i is everything up to offset -i - 1, that is place r - i - 1.
    left = min(r, size)
    bands[:, :, :left, 0] += xp.cumsum(kernel, axis=2)[:, :, r - left : r][:, :, ::-1]
    bands[:, :, size - left :, -1] += xp.cumsum(kernel[:, :, ::-1], axis=2)[:, :, r - left : r]
    return bands
