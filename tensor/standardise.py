"""Rows of the op table that normalise the last axis: what layer, group, instance and RMS normalisation share.

Elementary rows would pass over memory some ten times; here blocks of rows stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from armour.tensor.backend import Array, Namespace
from armour.tensor.core import Tensor
from armour.tensor.elementwise import floating
from armour.tensor.op import Case, Op, op

BLOCK = 1 << 16  # elements of a block: 256 KB of float32, about an L2 cache


def _blocks(xp: Namespace, rows: Array) -> Iterator[slice]:
    n = rows.shape[0]
    step = max(1, BLOCK // max(1, rows.shape[1])) if xp.__name__ == "numpy" else max(1, n)
    return (slice(i, i + step) for i in range(0, n, step))


def _rows(xp: Namespace, x: Array) -> Array:
    last = x.shape[-1]
    return xp.ascontiguousarray(x).reshape((x.size // last if last else 0, last))


def _means(xp: Namespace, block: Array) -> Array:
    # By a matrix product: a reduction along short rows would cost a call for each.
    ones = xp.full(block.shape[1], 1.0 / max(1, block.shape[1]), block.dtype)
    with np.errstate(invalid="ignore"):  # OpenBLAS was seen to raise the flag on finite numbers, here only
        return xp.matmul(block, ones)[:, None]


def _mean_squares(xp: Namespace, block: Array) -> Array:
    return xp.einsum("ij,ij->i", block, block)[:, None] * block.dtype.type(1.0 / max(1, block.shape[1]))


def _standardise(xp: Namespace, x: Array, eps: float, centred: bool) -> Array:
    x = floating(x)
    rows = _rows(xp, x)
    out = xp.empty(rows.shape, rows.dtype)
    for part in _blocks(xp, rows):
        block, target = rows[part], out[part]
        if centred:
            # Subtracting the mean first loses no digits where it is large beside the deviation.
            block = xp.subtract(block, _means(xp, block), out=target)
        scale = 1 / xp.sqrt(_mean_squares(xp, block) + x.dtype.type(eps))
        xp.multiply(block, scale, out=target)
    return out.reshape(x.shape)


def _inverse(xp: Namespace, x: Array, eps: float, centred: bool) -> Array:
    x = floating(x)
    rows = _rows(xp, x)
    out = xp.empty((rows.shape[0], 1), rows.dtype)
    for part in _blocks(xp, rows):
        block = rows[part]
        if centred:
            block = block - _means(xp, block)
        out[part] = 1 / xp.sqrt(_mean_squares(xp, block) + x.dtype.type(eps))
    return out.reshape((*x.shape[:-1], 1))


def _backward(xp: Namespace, g: Array, y: Array, inverse: Array, centred: bool) -> Array:
    cotangents, values = _rows(xp, g), _rows(xp, y)
    scales = xp.ascontiguousarray(inverse).reshape((-1 if inverse.size else 0, 1))
    out = xp.empty(values.shape, g.dtype)
    share = g.dtype.type(1.0 / max(1, values.shape[1]))
    for part in _blocks(xp, values):
        block, along = cotangents[part], values[part]
        target = xp.multiply(along, xp.einsum("ij,ij->i", block, along)[:, None] * -share, out=out[part])
        target += block
        if centred:
            target -= _means(xp, block)
        target *= scales[part]
    return out.reshape(g.shape)


def _part(gg: Tensor, g: Tensor, y: Tensor, centred: bool) -> Tensor:
    # The gradient for the inverse deviation: what it multiplies, along gg.
    inner = g - y * (g * y).mean(axis=-1, keepdims=True)
    if centred:
        inner = inner - g.mean(axis=-1, keepdims=True)
    return (gg * inner).sum(axis=-1, keepdims=True)


def _y_vjp(gg: Tensor, r: Tensor, g: Tensor, y: Tensor, inverse: Tensor, centred: bool) -> Tensor:
    scaled = gg * inverse
    return -(scaled * (g * y).mean(axis=-1, keepdims=True) + g * (scaled * y).mean(axis=-1, keepdims=True))


def _inverse_vjp(g: Tensor, y: Tensor, x: Tensor, eps: float, centred: bool) -> Tensor:
    return g * (y * y) * standardise(x, eps, centred) * (-1.0 / max(1, x.shape[-1]))


_row: Op = op(
    "standardise",
    _standardise,
    (
        lambda g, y, x, eps, centred: _grad_row(
            g, y, inverse_deviation(x, eps=eps, centred=centred), centred=centred
        ),
    ),
    cases=(
        Case(((3, 5),), {"eps": 0.1, "centred": True}),
        Case(((2, 3, 4),), {"eps": 0.1, "centred": False}),
        Case(((0, 3),), {"eps": 0.1, "centred": True}),
    ),
)
inverse_deviation: Op = op(
    "inverse_deviation",
    _inverse,
    (_inverse_vjp,),
    cases=(
        Case(((3, 5),), {"eps": 0.1, "centred": True}),
        Case(((2, 3, 4),), {"eps": 0.1, "centred": False}),
        Case(((0, 3),), {"eps": 0.1, "centred": True}),
    ),
)
_grad_row: Op = op(
    "standardise_grad",
    _backward,
    (
        lambda gg, r, g, y, inverse, centred: _grad_row(gg, y, inverse, centred=centred),
        _y_vjp,
        lambda gg, r, g, y, inverse, centred: _part(gg, g, y, centred),
    ),
    cases=(
        Case(((3, 5), (3, 5), (3, 1)), {"centred": True}),
        Case(((2, 3, 4), (2, 3, 4), (2, 3, 1)), {"centred": False}),
        Case(((0, 3), (0, 3), (0, 1)), {"centred": True}),
    ),
)


def standardise(x: Any, eps: float = 1e-5, centred: bool = True) -> Tensor:
    """The last axis with mean 0 and variance 1: (x - mean) / sqrt(variance + eps).

    centred: False leaves the mean alone and divides by the root of the mean square.
    """
    return _row(x, eps=float(eps), centred=bool(centred))
