"""Rows of the op table for products over axes, and running products and extremes; cumsum is in reduce.py."""

from __future__ import annotations

import math
from typing import Any

from armour.tensor.axes import axis_of
from armour.tensor.backend import Array, Namespace
from armour.tensor.core import Tensor, lift
from armour.tensor.op import Case, Op, op
from armour.tensor.reduce import REDUCTIONS, Axis, kept
from armour.tensor.shape import flip, getitem, pad, reshape, take_along_axis, transpose

ALONG = (
    Case(((3, 4),), {"axis": 1}),
    Case(((2, 3, 4),), {"axis": 1}),
    Case(((3, 1),), {"axis": -1}),
    Case(((0, 3),), {"axis": 0}),
)


def _part(t: Tensor, axis: int, start: int | None, stop: int | None) -> Tensor:
    return getitem(t, (*(slice(None),) * (axis % t.ndim), slice(start, stop)))


def _shifted(t: Tensor, axis: int, fill: float) -> Tensor:
    """Elements moved on by one along `axis`, with `fill` as the first."""
    axis %= t.ndim
    if not t.shape[axis]:
        return t
    widths = [(1, 0) if i == axis else (0, 0) for i in range(t.ndim)]
    return pad(_part(t, axis, None, -1), widths, fill)


# -- a first-order recurrence, of which the gradients of products are made -------------------------------


def _recurrence_forward(xp: Namespace, a: Array, b: Array, axis: int) -> Array:
    out = xp.empty_like(b)
    axis %= b.ndim
    before = None
    for i in range(b.shape[axis]):
        at = (*(slice(None),) * axis, i)
        before = b[at] if before is None else a[at] * before + b[at]
        out[at] = before
    return out


def _recurrence_b(g: Tensor, y: Tensor, a: Tensor, b: Tensor, axis: int) -> Tensor:
    # Backwards in time: what reaches y_k goes on to y_{k-1} by the factor a_k.
    backwards = flip(a, axis)
    return flip(_recurrence(_shifted(backwards, axis, 0.0), flip(g, axis), axis=axis), axis)


_recurrence: Op = op(
    "recurrence",
    _recurrence_forward,
    (
        lambda g, y, a, b, axis: _recurrence_b(g, y, a, b, axis) * _shifted(y, axis, 0.0),
        _recurrence_b,
    ),
    cases=(
        Case(((3, 4), (3, 4)), {"axis": 1}),
        Case(((2, 3, 4), (2, 3, 4)), {"axis": -2}),
        Case(((0, 3), (0, 3)), {"axis": 0}),
    ),
)

# -- products -------------------------------------------------------------------------------------------


def _cumprod_vjp(g: Tensor, y: Tensor, x: Tensor, axis: int) -> Tensor:
    # The factor of x_k in all products is the product of those before it times s_k = g_k + x_{k+1} s_{k+1}.
    # No division, so zeros are no exception.
    after = flip(_recurrence(_shifted(flip(x, axis), axis, 0.0), flip(g, axis), axis=axis), axis)
    return _cumprod(_shifted(x, axis, 1.0), axis=axis) * after


_cumprod: Op = op("cumprod", lambda xp, x, axis: xp.cumprod(x, axis=axis), (_cumprod_vjp,), cases=ALONG)


def _prod_vjp(g: Tensor, y: Tensor, x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    if not x.ndim:
        return g
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    gone = sorted(a % x.ndim for a in axes)
    # The reduced axes as one, at the end: there the others' product is that before times that after.
    order = [i for i in range(x.ndim) if i not in gone] + gone
    moved = transpose(x, order)
    lengths = moved.shape[: x.ndim - len(gone)]
    line = reshape(moved, (*lengths, moved.size // max(1, math.prod(lengths))))
    before = _cumprod(_shifted(line, -1, 1.0), axis=-1)
    after = flip(_cumprod(_shifted(flip(line, -1), -1, 1.0), axis=-1), -1)
    others = reshape(before * after, moved.shape)
    return kept(g, x, axis, keepdims) * transpose(others, [order.index(i) for i in range(x.ndim)])


_prod: Op = op(
    "prod",
    lambda xp, x, axis=None, keepdims=False: xp.prod(x, axis=axis, keepdims=keepdims),
    (_prod_vjp,),
    cases=REDUCTIONS,
)


def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Product over `axis` (an int, a tuple, or None for all); gradients are right where factors are 0."""
    return _prod(x, axis=axis, keepdims=keepdims)


def cumprod(x: Any, axis: int) -> Tensor:
    """Running product along `axis`; gradients are right where factors are 0."""
    (t,) = lift([x])
    return _cumprod(t, axis=axis_of(axis, t.ndim, t.shape))


# -- running extremes -----------------------------------------------------------------------------------


def _running(xp: Namespace, x: Array, axis: int, largest: bool) -> Array:
    """Index of the extreme of all elements up to each; of equal ones the last, and a NaN stays."""
    axis %= x.ndim
    n = x.shape[axis]
    line = (*(1,) * axis, n, *(1,) * (x.ndim - axis - 1))
    index = xp.broadcast_to(xp.arange(n).reshape(line), x.shape).copy()
    values, step = x.copy(), 1
    while step < n:  # after each pass an element knows twice as many of those before it
        late, early = ((*(slice(None),) * axis, s) for s in (slice(step, None), slice(None, n - step)))
        a, b = values[late], values[early]
        stays = xp.logical_or(a >= b if largest else a <= b, a != a)
        values[late], index[late] = xp.where(stays, a, b), xp.where(stays, index[late], index[early])
        step *= 2
    return index


_cumargmax: Op = op("cumargmax", lambda xp, x, axis: _running(xp, x, axis, True), cases=ALONG)
_cumargmin: Op = op("cumargmin", lambda xp, x, axis: _running(xp, x, axis, False), cases=ALONG)


def cummax(x: Any, axis: int) -> tuple[Tensor, Tensor]:
    """(values, indices): the largest element so far along `axis`, and where it is; of equal ones the last."""
    return _cumulative(_cumargmax, x, axis)


def cummin(x: Any, axis: int) -> tuple[Tensor, Tensor]:
    """(values, indices): as cummax, of the smallest element so far."""
    return _cumulative(_cumargmin, x, axis)


def _cumulative(row: Op, x: Any, axis: int) -> tuple[Tensor, Tensor]:
    (t,) = lift([x])
    axis = axis_of(axis, t.ndim, t.shape)
    index = row(t, axis=axis)
    return take_along_axis(t, index, axis), index
