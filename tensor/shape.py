"""Rows of the op table that move elements: reshape, transpose, index, gather, join, pad."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.backend import Array, Namespace, scatter_add
from armour.tensor.core import Tensor
from armour.tensor.op import Case, Op, op

# -- reshape, transpose, broadcast ------------------------------------------------------


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    order = [a % len(axes) for a in axes]
    return tuple(order.index(i) for i in range(len(order)))


_reshape: Op = op(
    "reshape",
    lambda xp, x, shape: x.reshape(shape),
    (lambda g, y, x, shape: reshape(g, x.shape),),
    cases=(
        Case(((3, 4),), {"shape": (2, -1)}),
        Case(((0, 3),), {"shape": (3, 0)}),
        Case(((1,),), {"shape": ()}),
    ),
)
_transpose: Op = op(
    "transpose",
    lambda xp, x, axes: x.transpose(axes),
    (lambda g, y, x, axes: transpose(g, _inverse(axes)),),
    cases=(Case(((2, 3, 4),), {"axes": (2, 0, 1)}), Case(((0, 3),), {"axes": (1, 0)})),
)
_broadcast_to: Op = op(
    "broadcast_to",
    lambda xp, x, shape: xp.broadcast_to(x, shape),
    (lambda g, y, x, shape: g,),  # backward sums it to the input's shape
    cases=(
        Case(((3, 1),), {"shape": (2, 3, 4)}),
        Case(((1, 4),), {"shape": (0, 4)}),
        Case(((),), {"shape": (2,)}),
    ),
)
_flip: Op = op(
    "flip",
    lambda xp, x, axis: xp.flip(x, axis),
    (lambda g, y, x, axis: flip(g, axis),),
    cases=(Case(((3, 4),), {"axis": 1}), Case(((2, 3, 4),), {"axis": (0, 2)}), Case(((0, 3),), {"axis": 0})),
)


def reshape(x: Any, shape: Sequence[int]) -> Tensor:
    """The same elements in another shape; one length may be -1."""
    return _reshape(x, shape=tuple(int(n) for n in shape))


def transpose(x: Any, axes: Sequence[int] | None = None) -> Tensor:
    """Axes permuted; all reversed if none are given."""
    if axes is None:
        axes = range(x.ndim)[::-1]
    return _transpose(x, axes=tuple(int(a) for a in axes))


def broadcast_to(x: Any, shape: Sequence[int]) -> Tensor:
    """Repeated without copying along axes of length 1 and along new leading axes."""
    return _broadcast_to(x, shape=tuple(shape))


def flip(x: Any, axis: int | tuple[int, ...]) -> Tensor:
    """Elements in reverse order along `axis`."""
    return _flip(x, axis=axis)


def flatten(x: Any, start_axis: int = 1) -> Tensor:
    """Axes from `start_axis` on merged into one."""
    start = start_axis % x.ndim
    return reshape(x, (*x.shape[:start], math.prod(x.shape[start:])))


# -- indexing ------------------------------------------------------


def _index_on(xp: Namespace, index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_index_on(xp, i) for i in index)
    return xp.asarray(index) if isinstance(index, (np.ndarray, list)) else index


def _repeats(index: Any) -> bool:
    # Only arrays of integers can name an element twice.
    parts = index if isinstance(index, tuple) else (index,)
    return any(hasattr(i, "dtype") and i.dtype.kind in "iu" and i.ndim > 0 for i in parts)


def _scatter(xp: Namespace, g: Array, index: Any, shape: tuple[int, ...]) -> Array:
    index = _index_on(xp, index)
    out = xp.zeros(shape, g.dtype)
    if _repeats(index):
        return scatter_add(xp, out, index, g)
    out[index] = g
    return out


INDEXED = (
    Case(((3, 4),), {"index": (slice(None), 1)}),
    Case(((3, 4, 2),), {"index": (0, slice(None, None, -2), None)}),
    Case(((3, 4),), {"index": np.array([2, 0, 2])}),
    Case(((3, 4),), {"index": (np.array([2, 0, 2]), np.array([1, 1, 1]))}),
    Case(((3,),), {"index": np.array([True, False, True])}),
    Case(((0, 4),), {"index": slice(0, 0)}),
)
_getitem: Op = op(
    "getitem",
    lambda xp, x, index: x[_index_on(xp, index)],
    (lambda g, y, x, index: _getitem_grad(g, index=index, shape=x.shape),),
    cases=INDEXED,
)
_getitem_grad: Op = op(
    "getitem_grad",
    _scatter,
    (lambda gg, y, g, index, shape: _getitem(gg, index=index),),
    cases=(
        Case(((3,),), {"index": (slice(None), 1), "shape": (3, 4)}),
        Case(((3, 4),), {"index": np.array([2, 0, 2]), "shape": (3, 4)}),
        Case(((0,),), {"index": slice(0, 0), "shape": (4,)}),
    ),
)


def getitem(x: Any, index: Any) -> Tensor:
    """x[index] with ints, slices, None, Ellipsis, and arrays of integers or booleans."""
    return _getitem(x, index=index)


def full_index(xp: Namespace, indices: Array, axis: int) -> tuple[Array, ...]:
    """What take_along_axis takes as an index of all axes."""
    grid = []
    for i, n in enumerate(indices.shape):
        shape = [1] * indices.ndim
        shape[i] = n
        grid.append(indices if i == axis % indices.ndim else xp.arange(n).reshape(shape))
    return tuple(grid)


def _scatter_along(xp: Namespace, g: Array, indices: Array, axis: int, shape: tuple[int, ...]) -> Array:
    return scatter_add(xp, xp.zeros(shape, g.dtype), full_index(xp, indices, axis), g)


TAKEN = [[0, 2], [1, 1], [3, 0]]
_take_along_axis: Op = op(
    "take_along_axis",
    lambda xp, x, indices, axis: xp.take_along_axis(x, indices, axis=axis),
    (lambda g, y, x, indices, axis: _take_along_axis_grad(g, indices, axis=axis, shape=x.shape), None),
    cases=(Case(((3, 4), TAKEN), {"axis": 1}), Case(((4, 2), TAKEN), {"axis": 0})),
)
_take_along_axis_grad: Op = op(
    "take_along_axis_grad",
    _scatter_along,
    (lambda gg, y, g, indices, axis, shape: take_along_axis(gg, indices, axis), None),
    cases=(
        Case(((3, 2), TAKEN), {"axis": 1, "shape": (3, 4)}),
        Case(((3, 2), TAKEN), {"axis": 0, "shape": (4, 2)}),
    ),
)


def take_along_axis(x: Any, indices: Any, axis: int) -> Tensor:
    """out[i, j] = x[i, indices[i, j]] for axis 1, and so on; the other axes must have equal length."""
    return _take_along_axis(x, indices, axis=axis)


# -- joining and padding ------------------------------------------------------


def _concat_vjp(i: int, g: Tensor, y: Tensor, *inputs: Tensor, axis: int = 0) -> Tensor:
    axis %= g.ndim
    start = 0
    for t in inputs[:i]:
        start += t.shape[axis]
    return getitem(g, (*(slice(None),) * axis, slice(start, start + inputs[i].shape[axis])))


_concat: Op = op(
    "concat",
    lambda xp, *xs, axis=0: xp.concatenate(xs, axis=axis),
    _concat_vjp,
    cases=(Case(((2, 3), (1, 3), (0, 3)), {"axis": 0}), Case(((2, 1), (2, 3)), {"axis": -1})),
)
_stack: Op = op(
    "stack",
    lambda xp, *xs, axis=0: xp.stack(xs, axis=axis),
    lambda i, g, y, *xs, axis=0: getitem(g, (*(slice(None),) * (axis % g.ndim), i)),
    cases=(
        Case(((2, 3), (2, 3)), {"axis": 0}),
        Case(((2, 3), (2, 3)), {"axis": -1}),
        Case(((0,), (0,)), {"axis": 0}),
    ),
)


def _pad_vjp(g: Tensor, y: Tensor, x: Tensor, widths: Any, value: float = 0.0) -> Tensor:
    return getitem(
        g, tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))
    )


_pad: Op = op(
    "pad",
    lambda xp, x, widths, value=0.0: xp.pad(x, widths, constant_values=value),
    (_pad_vjp,),
    cases=(
        Case(((2, 3),), {"widths": ((1, 0), (2, 1)), "value": 0.5}),
        Case(((0, 3),), {"widths": ((0, 0), (1, 1)), "value": 0.0}),
    ),
)


def concat(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Joined along an axis they have."""
    if not len(tensors):
        raise InvalidArgument("expected at least one tensor to concatenate, got none")
    return _concat(*tensors, axis=axis)


def stack(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Joined along a new axis."""
    if not len(tensors):
        raise InvalidArgument("expected at least one tensor to stack, got none")
    return _stack(*tensors, axis=axis)


def pad(x: Any, widths: Sequence[Sequence[int]], value: float = 0.0) -> Tensor:
    """Extended by a constant. widths: (before, after) for each axis."""
    pairs = tuple((int(a), int(b)) for a, b in widths)
    return _pad(x, widths=pairs, value=float(value))
