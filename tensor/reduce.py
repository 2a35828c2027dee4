"""Rows of the op table that reduce or accumulate along axes, and softmax."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from armour.errors import InvalidArgument
from armour.tensor.backend import Array, Namespace
from armour.tensor.core import Tensor
from armour.tensor.elementwise import equal, exp, floating, multiply
from armour.tensor.op import Case, Op, op
from armour.tensor.shape import broadcast_to, flip

Axis = int | tuple[int, ...] | None

REDUCTIONS = (
    Case(((3, 4),), {"axis": None, "keepdims": False}),
    Case(((2, 3, 4),), {"axis": 1, "keepdims": False}),
    Case(((2, 3, 4),), {"axis": (0, -1), "keepdims": True}),
    Case(((0, 3),), {"axis": 1, "keepdims": False}),
)


def kept(y: Tensor, x: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    """A reduction's output (or its gradient) with the reduced axes back as length 1."""
    if keepdims or not x.ndim:
        return y
    if axis is None:
        return y.reshape((1,) * x.ndim)
    gone = {a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
    return y.reshape(tuple(1 if i in gone else n for i, n in enumerate(x.shape)))


def _count(x: Any, axis: Axis) -> int:
    if axis is None:
        return int(math.prod(x.shape))
    return int(math.prod(x.shape[a] for a in (axis if isinstance(axis, tuple) else (axis,))))


def _sum_vjp(g: Tensor, y: Tensor, x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return broadcast_to(kept(g, x, axis, keepdims), x.shape)


def _mean_vjp(g: Tensor, y: Tensor, x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return broadcast_to(kept(g, x, axis, keepdims) * (1.0 / _at_least_one(_count(x, axis))), x.shape)


def _at_least_one(n: int) -> int:
    """At least 1, so that the gradient of an empty mean is an empty array and not an error."""
    return n if n > 0 else 1


def _var(xp: Namespace, x: Array, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Array:
    return xp.var(floating(x), axis=axis, keepdims=keepdims, ddof=ddof)


def _var_vjp(
    g: Tensor, y: Tensor, x: Tensor, axis: Axis = None, keepdims: bool = False, ddof: int = 0
) -> Tensor:
    scale = 2.0 / _at_least_one(_count(x, axis) - ddof)
    return kept(g, x, axis, keepdims) * scale * (x - x.mean(axis=axis, keepdims=True))


def _extreme_vjp(g: Tensor, y: Tensor, x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    hit = equal(x, kept(y, x, axis, keepdims)).astype(x.dtype)
    return kept(g, x, axis, keepdims) * (hit / hit.sum(axis=axis, keepdims=True))


def _logsumexp(xp: Namespace, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    x = floating(x)
    top = xp.max(x, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros((), x.dtype))
    total = xp.log(xp.sum(xp.exp(x - top), axis=axis, keepdims=True)) + top
    return total if keepdims else _squeeze(total, axis)


def _squeeze(a: Array, axis: Axis) -> Array:
    return a.reshape(()) if axis is None else a.squeeze(axis)


def _logsumexp_vjp(g: Tensor, y: Tensor, x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return kept(g, x, axis, keepdims) * exp(x - kept(y, x, axis, keepdims))


def _mean(xp: Namespace, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    return xp.mean(floating(x), axis=axis, keepdims=keepdims)


_sum: Op = op(
    "sum",
    lambda xp, x, axis=None, keepdims=False: xp.sum(x, axis=axis, keepdims=keepdims),
    (_sum_vjp,),
    cases=REDUCTIONS,
)
_mean_row: Op = op("mean", _mean, (_mean_vjp,), cases=REDUCTIONS)
_var_row: Op = op(
    "var",
    _var,
    (_var_vjp,),
    cases=(*REDUCTIONS, Case(((3, 4),), {"axis": 0, "keepdims": False, "ddof": 1})),
)
_max: Op = op(
    "max",
    lambda xp, x, axis=None, keepdims=False: xp.max(x, axis=axis, keepdims=keepdims),
    (_extreme_vjp,),
    cases=REDUCTIONS,
)
_min: Op = op(
    "min",
    lambda xp, x, axis=None, keepdims=False: xp.min(x, axis=axis, keepdims=keepdims),
    (_extreme_vjp,),
    cases=REDUCTIONS,
)
_logsumexp_row: Op = op("logsumexp", _logsumexp, (_logsumexp_vjp,), cases=REDUCTIONS)
_argmax: Op = op(
    "argmax",
    lambda xp, x, axis=None: xp.argmax(x, axis=axis),
    cases=(Case(((3, 4),), {"axis": None}), Case(((2, 3, 4),), {"axis": 1}), Case(((0, 3),), {"axis": 1})),
)
_cumsum: Op = op(
    "cumsum",
    lambda xp, x, axis: xp.cumsum(x, axis=axis),
    (lambda g, y, x, axis: flip(cumsum(flip(g, axis), axis), axis),),
    cases=(Case(((3, 4),), {"axis": 1}), Case(((0, 3),), {"axis": 0})),
)


_add_n: Op = op(
    "add_n",
    lambda xp, *xs: functools.reduce(xp.add, xs),
    lambda i, g, y, *xs: g,
    cases=(Case(((3, 4), (3, 4), (3, 4))), Case(((2, 3), (3,))), Case(((0, 3), (0, 3)))),
)


def add_n(tensors: Sequence[Any]) -> Tensor:
    """The sum of several tensors, element by element; they broadcast."""
    if not len(tensors):
        raise InvalidArgument("expected at least one tensor to add, got none")
    return _add_n(*tensors)


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum over `axis` (an int, a tuple, or None for all)."""
    return _sum(x, axis=axis, keepdims=keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Mean over `axis`."""
    return _mean_row(x, axis=axis, keepdims=keepdims)


def var(x: Any, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """Variance over `axis`, divided by n - ddof."""
    return _var_row(x, axis=axis, keepdims=keepdims, ddof=ddof)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Largest value over `axis`; ties share the gradient evenly."""
    return _max(x, axis=axis, keepdims=keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Smallest value over `axis`; ties share the gradient evenly."""
    return _min(x, axis=axis, keepdims=keepdims)


def argmax(x: Any, axis: int | None = None) -> Tensor:
    """Index of the first maximum, int64; no gradient."""
    return _argmax(x, axis=axis)


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log of the sum of exponentials over `axis`, without overflow."""
    return _logsumexp_row(x, axis=axis, keepdims=keepdims)


def cumsum(x: Any, axis: int) -> Tensor:
    """Running sum along `axis`."""
    return _cumsum(x, axis=axis)


# -- softmax ------------------------------------------------------

SOFTMAX = (Case(((3, 4),), {"axis": -1}), Case(((2, 3, 4),), {"axis": 1}), Case(((0, 3),), {"axis": -1}))


def _softmax_values(xp: Namespace, x: Array, axis: int = -1) -> Array:
    x = floating(x)
    e = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return e / xp.sum(e, axis=axis, keepdims=True)


def _log_softmax_values(xp: Namespace, x: Array, axis: int = -1) -> Array:
    x = floating(x)
    shifted = x - xp.max(x, axis=axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))


def _softmax_vjp(g: Tensor, y: Tensor, x: Tensor, axis: int = -1) -> Tensor:
    gy = multiply(g, y)
    return gy - y * gy.sum(axis=axis, keepdims=True)


_softmax: Op = op("softmax", _softmax_values, (_softmax_vjp,), cases=SOFTMAX)
_log_softmax: Op = op(
    "log_softmax",
    _log_softmax_values,
    (lambda g, y, x, axis=-1: g - exp(y) * g.sum(axis=axis, keepdims=True),),
    cases=SOFTMAX,
)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """Softmax along `axis`."""
    return _softmax(x, axis=axis)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """Logarithm of the softmax along `axis`."""
    return _log_softmax(x, axis=axis)
