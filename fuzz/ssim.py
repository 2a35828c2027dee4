"""Structural similarity of two batches of images."""

from __future__ import annotations

from armour.bounds import Bounds
from armour.tensor.backend import Array, get_xp

WINDOW = 7


def ssim(x: Array, y: Array, bounds: Bounds) -> Array:
    """(n,) float32: mean structural similarity of x and y (n, c, h, w), in [-1, 1], 1 where they are equal.

    Uniform 7 by 7 windows that lie wholly inside the image (smaller ones for images under 7 pixels),
    population variances, K1 = 0.01, K2 = 0.03, L = the span; the mean is over windows and channels (Wang et
    al. 2004, doi:10.1109/TIP.2003.819861).
    """
    xp = get_xp(x, y)
    n, c, h, w = x.shape
    c1, c2 = (0.01 * bounds.span) ** 2, (0.03 * bounds.span) ** 2
    middle = (bounds.low + bounds.high) / 2
    # About the middle of the range the squares stay small, so that float32 variances of flat windows are
    # exact enough.
    a, b = x - middle, y - middle
    maps = xp.stack([a, b, a * a + b * b, a * b])
    means = _box(_box(maps, min(WINDOW, w), -1), min(WINDOW, h), -2)
    mean_a, mean_b, squares, product = means
    cross = mean_a * mean_b
    level = mean_a * mean_a + mean_b * mean_b
    covariance = product - cross
    variances = xp.maximum(squares - level, 0)
    true_cross = cross + (mean_a + mean_b) * middle + middle**2
    true_level = level + 2 * middle * (mean_a + mean_b) + 2 * middle**2
    value = (2 * true_cross + c1) * (2 * covariance + c2) / ((true_level + c1) * (variances + c2))
    return value.reshape(n, -1).mean(axis=1)


def _box(a: Array, width: int, axis: int) -> Array:
    """Means of `width` neighbours along a trailing axis; the axis gets shorter by width - 1."""
    xp = get_xp(a)
    size = a.shape[axis] - width + 1
    if axis == -1:
        parts = [a[..., k : k + size] for k in range(width)]
    else:
        parts = [a[..., k : k + size, :] for k in range(width)]
    total = xp.array(parts[0])
    for part in parts[1:]:
        total += part
    total *= 1 / width
    return total
