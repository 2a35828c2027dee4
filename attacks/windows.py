"""Windows of images at places of their own in each sample, and the bumps that Square puts into them."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from armour.distances import distance
from armour.regions import F32

Places = NDArray[np.int64]


def as_images(array: F32) -> F32:
    """A view as (n, c, h, w); inputs that are no images are a column of pixels."""
    if array.ndim == 4:
        return array
    return array.reshape(len(array), 1, math.prod(array.shape[1:]), 1)


def window(shape: tuple[int, ...], share: float, least: int = 1, odd: bool = False) -> tuple[int, int]:
    """Height and width of a square window on that share of images (n, c, h, w), cut to their size.

    A column of pixels has windows of the same share, not of the same side. odd: sides are made odd.
    """
    height, width = shape[2:]
    side = max(least, round(share * height) if width == 1 else round(math.sqrt(share * height * width)))
    side += odd and side % 2 == 0
    return min(side, height), min(side, width)


def places(
    shape: tuple[int, ...], size: tuple[int, int], down: NDArray[np.floating], right: NDArray[np.floating]
) -> Places:
    """Flat indices (n, c, tall, wide) into images of that shape of one window in each.

    down, right: (n,) in [0, 1), where between the ends the window lies.
    """
    n, channels, height, width = shape
    tall, wide = size
    top = np.floor(down * (height - tall + 1)).astype(np.int64)
    left = np.floor(right * (width - wide + 1)).astype(np.int64)
    corner = np.arange(n) * (channels * height * width) + top * width + left
    inside = np.arange(tall)[:, None] * width + np.arange(wide)
    inside = inside + (np.arange(channels) * (height * width))[:, None, None]
    found: Places = corner[:, None, None, None] + inside
    return found


@lru_cache(maxsize=64)
def bump(tall: int, wide: int, norm: str) -> F32:
    """(tall, wide): a peak in the upper half and its negative in the lower, of length 1 in l2 or l1.

    Andriushchenko et al., 2020, section 3.4; for l1 the peaks are narrower (Croce and Hein, 2021).
    """
    measure = distance("l1" if norm == "l1" else "l2").norm
    half = tall // 2
    parts = [_peak(half, wide, 4 if norm == "l1" else 2), -_peak(tall - half, wide, 4 if norm == "l1" else 2)]
    made = np.concatenate([part / max(measure(part.reshape(1, -1))[0], 1e-30) for part in parts])
    made /= measure(made.reshape(1, -1))[0]
    made = made.astype(np.float32)
    made.flags.writeable = False
    return made


def _peak(tall: int, wide: int, power: int) -> NDArray[np.float64]:
    """(tall, wide): squares around the middle laid on each other, the i-th 1 / i ** power high."""
    reach = max(tall // 2, wide // 2) + 1
    height = np.cumsum(1.0 / np.arange(reach, 0, -1) ** power)[::-1]
    rows, columns = np.abs(np.arange(tall) - tall // 2), np.abs(np.arange(wide) - wide // 2)
    return height[np.maximum(rows[:, None], columns)]
