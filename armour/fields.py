"""Smooth random fields: cubic B-splines through a few random numbers, for elastic warps, fog and splashes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from armour.rng import Streams
from armour.tensor.backend import Array, Namespace


def smooth_fields(streams: Streams, count: int, cells: int, h: int, w: int, xp: Namespace) -> Array:
    """(n, count, h, w) float32 in [-1, 1], about `cells` bumps a side; standard deviation near 0.27."""
    return _through(xp.asarray(streams.uniform((count, cells + 3, cells + 3), -1, 1)), cells, h, w, xp)


def plasma(streams: Streams, h: int, w: int, xp: Namespace) -> Array:
    """(n, h, w) float32 clouds, each from 0 to 1: fields of 1, 2, 4 and 8 bumps, each 0.6 times as high."""
    cells = [k for k in (1, 2, 4, 8) if 3 * k <= max(3, min(h, w))]
    ends = np.cumsum([0] + [(k + 3) ** 2 for k in cells])
    drawn = xp.asarray(streams.uniform((int(ends[-1]),), -1, 1))
    total = xp.zeros((len(streams), 1, h, w), dtype=xp.float32)
    for octave, k in enumerate(cells):
        grid = drawn[:, int(ends[octave]) : int(ends[octave + 1])].reshape(-1, 1, k + 3, k + 3)
        total += _through(grid * xp.float32(0.6**octave), k, h, w, xp)
    low, high = total.min(axis=(2, 3), keepdims=True), total.max(axis=(2, 3), keepdims=True)
    return ((total - low) / xp.maximum(high - low, xp.float32(1e-6)))[:, 0]


def _through(grid: Array, cells: int, h: int, w: int, xp: Namespace) -> Array:
    return xp.matmul(xp.matmul(xp.asarray(_spline(h, cells)), grid), xp.asarray(_spline(w, cells).T))


@lru_cache(maxsize=256)
def _spline(size: int, cells: int) -> np.ndarray:
    """(size, cells + 3) float32: uniform cubic B-spline weights; each row sums to 1."""
    position = 1 + np.linspace(0, cells, size)
    distance = np.abs(position[:, None] - np.arange(cells + 3))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.maximum(2 - distance, 0) ** 3 / 6
    weights = np.where(distance < 1, near, far).astype(np.float32)
    weights.setflags(write=False)
    return weights
