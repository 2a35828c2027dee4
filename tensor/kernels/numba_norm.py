"""Batch normalisation in training, forward and backward, as passes over float32 memory with channels last.

Lines are views (m, r * c) of the memory of (n, h, w, c): r pixels to a line, so that the inner loops are long
whatever c is (a few hundred elements are best). Vectors are (c,). Sums are float32 within a few lines and
float64 over all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from armour.tensor.kernels.numba_compile import kernel
from armour.tensor.kernels.numba_kernels import ONE, ZERO, Flat

Lines = Any  # (m, r * c) float32
LENGTH = 512  # elements of a line, about


def lines(x: np.ndarray) -> np.ndarray:
    """x (..., c), C-contiguous, as lines of as many pixels as divide it evenly, up to LENGTH elements."""
    c = x.shape[-1]
    pixels = x.size // c if c else 0
    r = next((r for r in range(max(1, LENGTH // max(c, 1)), 1, -1) if pixels % r == 0), 1)
    return x.reshape(pixels // r, r * c)


@kernel("void(f4[:, ::1], f4[::1], f4[::1])")
def batch_statistics(x: Lines, mean: Flat, var: Flat) -> None:
    """Mean and variance (divided by the count) of each channel; the mean is subtracted before squaring."""
    m, size, c = x.shape[0], x.shape[1], mean.size
    count = m * (size // c)
    part, middle, total = np.zeros(size, np.float32), np.zeros(size, np.float32), np.zeros(c, np.float64)
    for turn in range(2):
        total[:] = 0.0
        for i in range(m):
            if turn == 0:
                for k in range(size):
                    part[k] += x[i, k]
            else:
                for k in range(size):
                    v = x[i, k] - middle[k]
                    part[k] += v * v
            if i % 16 == 15 or i == m - 1:
                for r in range(size // c):
                    for k in range(c):
                        total[k] += part[r * c + k]
                part[:] = ZERO
        for k in range(c):
            if turn == 0:
                mean[k] = total[k] / count
            else:
                var[k] = total[k] / count
        for r in range(size // c):
            for k in range(c):
                middle[r * c + k] = mean[k]


@kernel("void(f4[:, ::1], f4[::1], f4[::1], f4[::1], f4[:, ::1], b1)")
def normalise(x: Lines, mean: Flat, scale: Flat, shift: Flat, out: Lines, relu: bool) -> None:
    """out[...] = (x - mean) * scale + shift, then relu if asked for; scale is weight / sqrt(var + eps)."""
    m, size, c = x.shape[0], x.shape[1], mean.size
    middle, factor, level = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
    for r in range(size // c):
        for k in range(c):
            middle[r * c + k] = mean[k]
            factor[r * c + k] = scale[k]
            level[r * c + k] = shift[k]
    for i in range(m):
        if relu:
            for k in range(size):
                v = (x[i, k] - middle[k]) * factor[k] + level[k]
                out[i, k] = ZERO if v <= ZERO else v
        else:
            for k in range(size):
                out[i, k] = (x[i, k] - middle[k]) * factor[k] + level[k]


@kernel(
    "void(f4[:, ::1], f4[:, ::1], f4[:, ::1], f4[::1], f4[::1], f4[::1], f4[:, ::1], f4[::1], f4[::1], b1)"
)
def normalise_grad(
    x: Lines,
    y: Lines,
    g: Lines,
    mean: Flat,
    inverse: Flat,
    weight: Flat,
    out: Lines,
    d_weight: Flat,
    d_bias: Flat,
    relu: bool,
) -> None:
    """Gradients of y = normalise(x) with the batch's own statistics: by x in `out`, by weight and by bias.

    inverse: 1 / sqrt(var + eps). relu: y went through a relu, whose gradient is taken first. out may be g.
    """
    m, size, c = x.shape[0], x.shape[1], mean.size
    count = m * (size // c)
    middle, plain, along = np.empty(size, np.float32), np.zeros(size, np.float32), np.zeros(size, np.float32)
    total, moment = np.zeros(c, np.float64), np.zeros(c, np.float64)
    for r in range(size // c):
        for k in range(c):
            middle[r * c + k] = mean[k]
    for i in range(m):
        for k in range(size):
            v = g[i, k]
            if relu:
                v *= ONE if y[i, k] != ZERO else ZERO
            out[i, k] = v
            plain[k] += v
            along[k] += v * (x[i, k] - middle[k])
        if i % 16 == 15 or i == m - 1:
            for r in range(size // c):
                for k in range(c):
                    total[k] += plain[r * c + k]
                    moment[k] += along[r * c + k]
            plain[:] = ZERO
            along[:] = ZERO
    # scale * (g - mean of g - (x - mean) * (mean of g * (x - mean)) / (var + eps)), sorted by g and x - mean.
    factor, level = np.empty(size, np.float32), np.empty(size, np.float32)
    for r in range(size // c):
        for k in range(c):
            scale = weight[k] * inverse[k]
            factor[r * c + k] = scale
            along[r * c + k] = -scale * inverse[k] * inverse[k] * moment[k] / count
            level[r * c + k] = -scale * total[k] / count
    for i in range(m):
        for k in range(size):
            out[i, k] = out[i, k] * factor[k] + (x[i, k] - middle[k]) * along[k] + level[k]
    for k in range(c):
        d_bias[k] = total[k]
        d_weight[k] = moment[k] * inverse[k]
