"""Elementwise steps of a captured plan as single passes over memory, compiled by Numba.

All take C-contiguous float32 arrays and write into one of them. "Flat" arrays are one-dimensional views of
the memory, rows (m, c) have the channels last. NaN goes through as in the eager operations: relu(NaN) is NaN
and a masked gradient is multiplied by 0 or 1. See numba_compile.Kernel for calling and binding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from armour.tensor.kernels.numba_compile import available as available
from armour.tensor.kernels.numba_compile import kernel
from armour.tensor.kernels.numba_compile import why_not as why_not

Flat = Any  # (size,) float32
Rows = Any  # (m, c) float32
ZERO, ONE = np.float32(0), np.float32(1)


@kernel("void(f4[::1])")
def relu(y: Flat) -> None:
    """y[...] = relu(y)."""
    for i in range(y.size):
        v = y[i]
        y[i] = ZERO if v <= ZERO else v


@kernel("void(f4[::1], f4[::1])")
def relu_of(x: Flat, y: Flat) -> None:
    """y[...] = relu(x), where both are needed."""
    for i in range(y.size):
        v = x[i]
        y[i] = ZERO if v <= ZERO else v


@kernel("void(f4[:, ::1], f4[::1])")
def bias_relu(y: Rows, b: Flat) -> None:
    """y (m, c) = relu(y + b), b (c,)."""
    for i in range(y.shape[0]):
        for k in range(y.shape[1]):
            v = y[i, k] + b[k]
            y[i, k] = ZERO if v <= ZERO else v


@kernel("void(f4[::1], f4[::1])")
def add_relu(y: Flat, r: Flat) -> None:
    """y[...] = relu(y + r)."""
    for i in range(y.size):
        v = y[i] + r[i]
        y[i] = ZERO if v <= ZERO else v


@kernel("void(f4[::1], f4[::1])")
def relu_mask(g: Flat, y: Flat) -> None:
    """g[...] *= y != 0: the gradient through y = relu(x)."""
    for i in range(g.size):
        g[i] = g[i] * (ONE if y[i] != ZERO else ZERO)


@kernel("void(f4[::1], f4[::1], f4[::1])")
def add_relu_mask(g: Flat, r: Flat, y: Flat) -> None:
    """g[...] = (g + r) * (y != 0): two gradients that meet at y = relu(x)."""
    for i in range(g.size):
        g[i] = (g[i] + r[i]) * (ONE if y[i] != ZERO else ZERO)


@kernel("void(f4[:, ::1], f4[::1], f4[::1], f4[:, ::1])")
def scale_shift(x: Rows, scale: Flat, shift: Flat, out: Rows) -> None:
    """out (m, c) = x * scale + shift; scale and shift (c,)."""
    for i in range(x.shape[0]):
        for k in range(x.shape[1]):
            out[i, k] = x[i, k] * scale[k] + shift[k]


@kernel("void(f4[:, ::1], f4[::1], f4[::1], f4[:, ::1])")
def scale_shift_relu(x: Rows, scale: Flat, shift: Flat, out: Rows) -> None:
    """out (m, c) = relu(x * scale + shift)."""
    for i in range(x.shape[0]):
        for k in range(x.shape[1]):
            v = x[i, k] * scale[k] + shift[k]
            out[i, k] = ZERO if v <= ZERO else v


@kernel("void(f4[:, :, ::1], f4[:, :, ::1])")
def swap_last(x: Any, out: Any) -> None:
    """out (n, b, a) = x (n, a, b): (n, c, h * w) to (n, h * w, c) and back."""
    for s in range(x.shape[0]):
        for i in range(x.shape[2]):
            for k in range(x.shape[1]):
                out[s, i, k] = x[s, k, i]


@kernel("void(f4[:, ::1], i8[::1], f4[::1], f4[:, ::1])")
def softmax_cross_entropy(logits: Rows, labels: Any, loss: Flat, grad: Rows) -> None:
    """loss (n,) per sample, and its gradient by logits (n, k); labels (n,) int64, checked by the caller.

    The same formulas as losses.cross_entropy: the label's own term is left out of the sums, so that a sure
    answer keeps the digits of its small loss and gradient.
    """
    for i in range(logits.shape[0]):
        own = labels[i]
        top = logits[i, 0]
        for k in range(1, logits.shape[1]):
            v = logits[i, k]
            if v > top or v != v:
                top = v
        others = ZERO
        for k in range(logits.shape[1]):
            e = np.exp(logits[i, k] - top)
            grad[i, k] = e
            if k != own:
                others += e
        gap = top - logits[i, own]
        loss[i] = gap + np.log1p(others + np.expm1(-gap))
        total = ONE / (others + grad[i, own])
        rest = ZERO
        for k in range(logits.shape[1]):
            p = grad[i, k] * total
            grad[i, k] = p
            if k != own:
                rest += p
        grad[i, own] = -rest
