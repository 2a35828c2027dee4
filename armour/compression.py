"""What storage and screens lose: quantised cosines, coarse pixels, few levels.

Contract as in armour/transforms.py.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from armour.bounds import Bounds
from armour.tensor.backend import Array, get_xp

from .transforms import per_item, settle

# Annex K of the JPEG standard (ITU-T T.81): quantiser steps for luminance and chrominance at quality 50.
_LUMINANCE = (
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62 "
    "18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 "
    "72 92 95 98 112 100 103 99"
)
_CHROMINANCE = (
    "17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99 "
    + "99 " * 32
)
# RGB to YCbCr (ITU-R BT.601, full range), and back.
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def jpeg(x: Array, coarseness: Array, bounds: Bounds) -> Array:
    """Quantise 8 by 8 cosine coefficients as JPEG does; 0 is identity, 1 is quality 50 and 5 quality 10.

    Three channels are taken for RGB and quantised as luminance and chrominance (not subsampled); any other
    number, each as luminance. Differs from a real JPEG file by rounding alone: the steps are not rounded to
    whole numbers.
    """
    xp = get_xp(x)
    n, c, h, w = x.shape
    levels = (x - bounds.low) * (255 / bounds.span) - 128
    if c == 3:
        levels = _mix(levels, _TO_YCC)
        tables = xp.asarray(np.stack([_table(_LUMINANCE), _table(_CHROMINANCE), _table(_CHROMINANCE)]))
    else:
        tables = xp.asarray(_table(_LUMINANCE))[None]
    if h % 8 or w % 8:
        rows, columns = xp.minimum(xp.arange(h + -h % 8), h - 1), xp.minimum(xp.arange(w + -w % 8), w - 1)
        levels = levels[:, :, rows[:, None], columns]
    down, right = xp.asarray(_cosines(levels.shape[2])), xp.asarray(_cosines(levels.shape[3]))
    coefficients = xp.matmul(xp.matmul(down, levels), right.T)
    blocks = coefficients.reshape(n, c, levels.shape[2] // 8, 8, levels.shape[3] // 8, 8)
    step = (
        xp.maximum(coarseness, xp.float32(1e-3))[:, None, None, None, None, None]
        * tables[:, None, :, None, :]
    )
    blocks /= step
    xp.rint(blocks, out=blocks)
    blocks *= step
    levels = xp.matmul(xp.matmul(down.T, coefficients), right)[:, :, :h, :w]
    if c == 3:
        levels = _mix(levels, _TO_RGB)
    out = (levels + 128) * (bounds.span / 255) + bounds.low
    return settle(x, out, coarseness != 0, bounds)


def pixelate(x: Array, block: Array, bounds: Bounds) -> Array:
    """Replace squares of `block` pixels by their mean (1 is identity); a fractional size mixes two sizes."""
    xp = get_xp(x)
    h, w = x.shape[2:]
    down = _block_means(block, h)
    right = down if h == w else _block_means(block, w)
    return settle(x, xp.matmul(xp.matmul(down, x), right), block != 1, bounds)


def quantise(x: Array, step: Array, bounds: Bounds) -> Array:
    """Round to multiples of `step` (fraction of the span) above the low bound; 0 is identity."""
    xp = get_xp(x)
    size = per_item(xp.maximum(step, xp.float32(1e-6)) * bounds.span)
    out = (x - bounds.low) / size
    xp.rint(out, out=out)
    out *= size
    out += bounds.low
    return settle(x, out, step != 0, bounds)


def _mix(levels: Array, matrix: tuple[tuple[float, ...], ...]) -> Array:
    # Three products a channel in a fixed order; a matrix product's bits might depend on the size of the
    # batch.
    xp = get_xp(levels)
    return xp.stack([sum(levels[:, k] * weight for k, weight in enumerate(row)) for row in matrix], axis=1)


def _block_means(block: Array, size: int) -> Array:
    """(n, 1, size, size): row i averages the pixels of i's block. The matrix is symmetric."""
    xp = get_xp(block)
    number = xp.floor(xp.arange(size, dtype=xp.float32) / xp.maximum(block, 1)[:, None])
    same = (number[:, :, None] == number[:, None, :]).astype(xp.float32)
    return (same / same.sum(axis=2, keepdims=True))[:, None]


@lru_cache(maxsize=64)
def _cosines(size: int) -> np.ndarray:
    """(size, size) float32: the orthonormal 8-point cosine transform, repeated down the diagonal."""
    k = np.arange(8)
    basis = np.cos((2 * k + 1) * k[:, None] * np.pi / 16) / 2
    basis[0] /= np.sqrt(2)
    full = np.kron(np.eye(size // 8), basis).astype(np.float32)
    full.setflags(write=False)
    return full


@lru_cache(maxsize=2)
def _table(text: str) -> np.ndarray:
    return np.array(text.split(), dtype=np.float32).reshape(8, 8)
