"""Blurs: separable ones as one small matrix for each side, others as a sum of shifted images.

Contract as in armour/transforms.py. Beyond the edge the nearest pixel repeats.
"""

from __future__ import annotations

import math

from armour.bounds import Bounds
from armour.tensor.backend import Array, get_xp

from .transforms import per_item, settle

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
    return settle(x, _separable(x, xp.clip(radius[:, None] + 0.5 - k, 0, 1)), radius != 0, bounds)


def sharpen(x: Array, amount: Array, bounds: Bounds) -> Array:
    """Unsharp mask: add `amount` times the difference to a Gaussian blur of 1 pixel (0 is identity)."""
    out = x - gaussian_blur(x, amount * 0 + 1, bounds)
    out *= per_item(amount)
    out += x
    return settle(x, out, amount != 0, bounds)


def defocus_blur(x: Array, radius: Array, bounds: Bounds) -> Array:
    """Mean over a disk of `radius` pixels (0 is identity), with a soft rim one pixel wide."""
    xp = get_xp(x)
    size = math.ceil(float(radius.max()) + 0.5)
    k = xp.arange(-size, size + 1, dtype=xp.float32)
    distance = xp.sqrt(k[:, None] ** 2 + k**2)
    return settle(
        x, _correlate(x, xp.clip(radius[:, None, None] + 0.5 - distance, 0, 1)), radius != 0, bounds
    )


def motion_blur(x: Array, length: Array, degrees: Array, bounds: Bounds) -> Array:
    """Mean along a line of `length` pixels (0 is identity) in the direction `degrees` (0 is to the right, 90 up)."""
    xp = get_xp(x)
    size = math.ceil(float(length.max()) / 2 + 0.5)
    k = xp.arange(-size, size + 1, dtype=xp.float32)
    angle = (degrees * xp.float32(xp.pi / 180))[:, None, None]
    right, down = xp.cos(angle), -xp.sin(angle)
    along = abs(right * k + down * k[:, None])
    beside = abs(right * k[:, None] - down * k)
    half = length[:, None, None] / 2
    kernel = xp.clip(half + 0.5 - along, 0, 1) * xp.maximum(1 - beside, 0)
    return settle(x, _correlate(x, kernel), length != 0, bounds)


def _separable(x: Array, half: Array) -> Array:
    """Blur both ways with the symmetric kernel whose centre and right half are `half` (n, r + 1), not yet normalised."""
    xp = get_xp(x)
    total = half[:, 0].copy()
    # From the centre outward: a longer kernel, padded with zeros for a batch mate's sake, sums to the same
    # bits.
    for k in range(1, half.shape[1]):
        total += 2 * half[:, k]
    weights = half / total[:, None]
    h, w = x.shape[2:]
    down = _band(weights, h)[:, None]
    right = down if h == w else _band(weights, w)[:, None]
    return xp.matmul(xp.matmul(down, x), right.swapaxes(-1, -2))


def _band(weights: Array, size: int) -> Array:
    """(n, size, size): row i holds the kernel about column i; what falls outside is added to the edge column."""
    xp = get_xp(weights)
    band = xp.zeros((len(weights), size, size), dtype=xp.float32)
    i = xp.arange(size)
    band[:, i, i] = weights[:, :1]
    for k in range(1, weights.shape[1]):
        band[:, i, xp.minimum(i + k, size - 1)] += weights[:, k : k + 1]
        band[:, i, xp.maximum(i - k, 0)] += weights[:, k : k + 1]
    return band


def _correlate(x: Array, kernel: Array) -> Array:
    """Weighted sum of shifted copies; kernel: (n, 2 r + 1, 2 r + 1), not yet normalised, zero outside an item's reach."""
    xp = get_xp(x)
    n, c, h, w = x.shape
    r = kernel.shape[1] // 2
    padded = xp.pad(x, ((0, 0), (0, 0), (r, r), (r, r)), mode="edge")
    wide = w + 2 * r
    # One run of memory for each image: the columns that wrap around fall into the padding and are cut off at
    # the end.
    run = (h - 1) * wide + w
    flat = padded.reshape(n, c, -1)
    out = xp.zeros((n, c, h * wide), dtype=x.dtype)
    total = xp.zeros(n, dtype=x.dtype)
    part = xp.empty((n, c, run), dtype=x.dtype)
    for a, b in _outward(r):
        weight = kernel[:, a, b]
        if not weight.any():
            continue
        start = a * wide + b
        xp.multiply(flat[:, :, start : start + run], weight[:, None, None], out=part)
        out[:, :, :run] += part
        total += weight
    out /= total[:, None, None]
    return out.reshape(n, c, h, wide)[:, :, :, :w].copy()


def _outward(r: int) -> list[tuple[int, int]]:
    """Kernel positions ring by ring, so that an item's own taps come in the same order whatever the batch's radius."""
    k = range(-r, r + 1)
    rings = sorted((max(abs(a), abs(b)), a, b) for a in k for b in k)
    return [(a + r, b + r) for _, a, b in rings]
