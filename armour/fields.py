"""Smooth random fields: cubic B-splines through a few random numbers, for elastic warps, fog and splashes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from armour.rng import Streams
from armour.tensor.backend import Array, Namespace


def smooth_field(streams: Streams, cells: int, h: int, w: int, xp: Namespace) -> Array:
    """(n, h, w) float32 with about `cells` bumps along each side; every value lies within -2.5 .. 2.5.

    Made from normal numbers on a grid, one grid for each stream; the field's standard deviation is about 0.5.
    """
    grid = xp.asarray(np.clip(streams.normal((cells + 3, cells + 3)), -2.5, 2.5))
    return xp.matmul(xp.matmul(xp.asarray(_spline(h, cells)), grid), xp.asarray(_spline(w, cells).T))


def plasma(streams: Streams, h: int, w: int, xp: Namespace) -> Array:
    """(n, h, w) float32 cloud in [0, 1], each item from 0 to 1: fields of 1, 2, 4, ... bumps a side, halving in height."""
    cells = [1 << k for k in range(4) if 1 << k <= max(1, min(h, w) // 3)]
    total = smooth_field(streams.child(0), cells[0], h, w, xp)
    for octave, count in enumerate(cells[1:], start=1):
        total += smooth_field(streams.child(octave), count, h, w, xp) * xp.float32(0.6**octave)
    flat = total.reshape(len(total), -1)
    low, high = flat.min(axis=1)[:, None, None], flat.max(axis=1)[:, None, None]
    return (total - low) / xp.maximum(high - low, xp.float32(1e-6))


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
