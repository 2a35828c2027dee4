"""What the rows for arrays, mathematics and linear systems must compute, in plain NumPy and loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special


def repeated(x: Any, axis: int, function: Callable[[Any], Any]) -> Any:
    """`function` of each line along `axis`, element by element: (first k elements) -> element k."""
    out = np.zeros(x.shape)
    lines, targets = np.moveaxis(x, axis, -1), np.moveaxis(out, axis, -1)
    for at in np.ndindex(*lines.shape):
        targets[at] = function(lines[at[:-1]][: at[-1] + 1])
    return out


def recurrence(a: Any, b: Any, axis: int) -> Any:
    """y_k = a_k y_{k-1} + b_k, with 0 before the first; each round makes one more element right."""
    steps = [np.zeros(b.shape)]
    for _ in range(b.shape[axis]):
        rolled = np.roll(steps[-1], 1, axis)
        first = np.moveaxis(rolled, axis, 0)
        first[0] = 0.0
        steps.append(a * rolled + b)
    return steps[-1]


def gathered(x: Any, indices: Any, axis: int) -> Any:
    """x.take, one index at a time."""
    moved = np.moveaxis(x, axis, 0)
    picked = np.array([moved[i] for i in np.ravel(indices)]).reshape((*np.shape(indices), *moved.shape[1:]))
    axis %= x.ndim
    return np.moveaxis(picked, range(np.ndim(indices)), range(axis, axis + np.ndim(indices)))


def gather_grad(g: Any, indices: Any, axis: int, shape: Any) -> Any:
    out = np.zeros(shape)
    axis %= len(shape)
    lines = np.moveaxis(g, range(axis, axis + np.ndim(indices)), range(np.ndim(indices)))
    target = np.moveaxis(out, axis, 0)
    for at in np.ndindex(*np.shape(indices)):
        target[indices[at]] += lines[at]
    return out


def gathered_nd(x: Any, indices: Any) -> Any:
    parts = [x[tuple(place)] for place in indices.reshape(-1, indices.shape[-1])]
    return np.array(parts).reshape((*indices.shape[:-1], *x.shape[indices.shape[-1] :]))


def scattered_nd(values: Any, indices: Any, shape: Any) -> Any:
    out = np.zeros(shape)
    for at in np.ndindex(*indices.shape[:-1]):
        out[tuple(indices[at])] += values[at]
    return out


def scatter_updated(x: Any, values: Any, indices: Any) -> Any:
    out = x.copy()
    for at in np.ndindex(*indices.shape[:-1]):
        out[tuple(indices[at])] = values[at]
    return out


def added_along(x: Any, values: Any, indices: Any, axis: int) -> Any:
    out = x.copy()
    for at in np.ndindex(*indices.shape):
        to = list(at)
        to[axis] = indices[at]
        out[tuple(to)] += values[at]
    return out


def diagonal_matrices(x: Any, offset: int) -> Any:
    size = x.shape[-1] + abs(offset)
    out = np.zeros((*x.shape[:-1], size, size))
    for at in np.ndindex(*x.shape[:-1]):
        out[at] = np.diag(x[at], offset)
    return out


def determinants(a: Any) -> Any:
    """By the rule of Sarrus, for matrices of three rows."""
    total = np.zeros(a.shape[:-2])
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        total += a[..., 0, i] * a[..., 1, j] * a[..., 2, k] - a[..., 0, i] * a[..., 1, k] * a[..., 2, j]
    return total


def inverses(a: Any) -> Any:
    """By cofactors, for matrices of three rows."""
    out = np.zeros(a.shape)
    for i in range(3):
        for j in range(3):
            minor = np.delete(np.delete(a, i, -2), j, -1)
            value = minor[..., 0, 0] * minor[..., 1, 1] - minor[..., 0, 1] * minor[..., 1, 0]
            out[..., j, i] = (-1) ** (i + j) * value / determinants(a)
    return out


def lower_roots(a: Any) -> Any:
    """The Cholesky-Banachiewicz algorithm."""
    out = np.zeros(a.shape)
    for i in range(a.shape[-1]):
        for j in range(i + 1):
            rest = a[..., i, j] - (out[..., i, :j] * out[..., j, :j]).sum(axis=-1)
            out[..., i, j] = np.sqrt(rest) if i == j else rest / out[..., j, j]
    return out


ARRAY_REFERENCES: dict[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in (
        *("acos", "acosh", "all", "any", "argmin", "asin", "asinh", "atan", "atan2", "atanh"),
        *("ceil", "cosh", "cumprod", "exp2", "floor_divide", "isfinite", "isinf", "isnan", "log10"),
        *("log2", "logical_and", "logical_not", "logical_or", "logical_xor", "mod", "prod"),
        *("reciprocal", "repeat", "roll", "round", "sinh", "square", "tan", "tile", "tril", "triu"),
        "trunc",
    )
} | {
    "add_along_axis": added_along,
    "add_n": lambda *xs: sum(xs),
    "argsort": lambda x, axis=-1, descending=False: np.argsort(-x if descending else x, axis=axis),
    "cholesky": lower_roots,
    "cumargmax": lambda x, axis: repeated(x, axis, np.argmax).astype(int),
    "cumargmin": lambda x, axis: repeated(x, axis, np.argmin).astype(int),
    "det": determinants,
    "det_sign": lambda a: np.sign(determinants(a)),
    "diag_embed": diagonal_matrices,
    "erfc": scipy.special.erfc,
    "erfinv": scipy.special.erfinv,
    "full_like": lambda x, value, dtype=None: np.full_like(x, value, dtype=dtype),
    "gather": gathered,
    "gather_grad": gather_grad,
    "gather_nd": gathered_nd,
    "index_add": lambda x, v, indices, axis: x + gather_grad(v, indices, axis, x.shape),
    "inv": inverses,
    "logabsdet": lambda a: np.log(np.abs(determinants(a))),
    "logaddexp": lambda a, b: np.log(np.exp(a) + np.exp(b)),
    "recurrence": recurrence,
    "rsqrt": lambda x: x**-0.5,
    "scatter_nd": scattered_nd,
    "scatter_nd_add": lambda x, v, indices: x + scattered_nd(v, indices, x.shape),
    "scatter_update": scatter_updated,
    "solve": lambda a, b: inverses(a) @ b,
    "stop_gradient": lambda x: x,
}
