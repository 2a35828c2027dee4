"""Operators that make arrays: constants, ranges, identity matrices, triangles, one-hot rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import armour.tensor as T
from armour.errors import CheckpointError
from armour.tensor.core import Tensor

from .rules import Call, rule
from .values import dtype_of

MAX_MADE = 1 << 26  # elements of an array made from numbers in the file
MAX_VIEW = 1 << 40  # elements of one that is a view of a single number


def check_size(c: Call, *lengths: int) -> None:
    """CheckpointError before an array of absurd size is made."""
    if any(n < 0 for n in lengths) or math.prod(lengths) > MAX_MADE:
        raise CheckpointError(
            f"node {c.node.shown} asks for an array of {' x '.join(str(n)[:20] for n in lengths)} elements, "
            f"above the limit of {MAX_MADE:,}; it is refused"
        )


@rule("Constant")
def constant(c: Call) -> np.ndarray:
    """A tensor, number or list in the file."""
    attrs = c.node.attrs
    for name, dtype in (
        ("value_float", "float32"),
        ("value_floats", "float32"),
        ("value_int", "int64"),
        ("value_ints", "int64"),
    ):
        if name in attrs:
            return np.array(attrs[name], dtype)
    value: np.ndarray | None = c.attr("value", None)
    if not isinstance(value, np.ndarray):
        raise c.unsupported(f"a constant of {', '.join(attrs) or 'nothing'}")
    return value


@rule("ConstantOfShape")
def constant_of_shape(c: Call) -> np.ndarray:
    """One value throughout, 0 if none is given; a view, so that it takes no memory."""
    lengths = c.ints(0)
    value = c.attr("value", None)
    one = np.zeros(1, np.float32) if value is None else value.reshape(-1)[:1]
    if not len(one):
        raise CheckpointError(f"node {c.node.shown} has no value to fill with; get the file again")
    if any(n < 0 for n in lengths) or math.prod(lengths) > MAX_VIEW:
        raise CheckpointError(f"node {c.node.shown} asks for an array of {str(lengths)[:80]}; it is refused")
    filled: np.ndarray = np.broadcast_to(one[0], lengths)
    return filled


@rule("Range")
def range_(c: Call) -> np.ndarray:
    """start, start + delta, ... below the limit."""
    start, limit, delta = (c.known(i).reshape(-1)[0] for i in range(3))
    if delta == 0:
        raise CheckpointError(f"node {c.node.shown} has a step of 0; get the file again")
    count = max(0, math.ceil((limit.item() - start.item()) / delta.item()))
    check_size(c, count)
    steps: np.ndarray = (start + np.arange(count) * delta).astype(c.dtype())
    return steps


@rule("EyeLike")
def eye_like(c: Call) -> np.ndarray:
    """1 on a diagonal of a matrix of the input's shape."""
    rows, columns = c.shape()
    code = c.attr("dtype", 0)
    check_size(c, rows, columns)
    return np.eye(rows, columns, int(c.attr("k", 0)), dtype_of(code) if code else c.dtype())


@rule("Trilu")
def trilu(c: Call) -> Tensor:
    """The upper or the lower triangle."""
    k = c.ints(1)[0] if c.has(1) else 0
    return T.triu(c.x(), k) if c.attr("upper", 1) else T.tril(c.x(), k)


@rule("OneHot")
def one_hot(c: Call) -> Tensor:
    """The second of two values at each index, the first elsewhere; indices outside give none."""
    indices, depth = c.x(0), int(c.known(1).reshape(-1)[0])
    off, on = c.known(2).reshape(-1)
    axis = int(c.attr("axis", -1))
    check_size(c, *indices.shape, depth)
    axis = axis % (indices.ndim + 1)
    places = np.arange(depth).reshape((-1,) + (1,) * (indices.ndim - axis))
    whole = T.cast(indices, "int64")
    wrapped = T.where(T.less(whole, 0), T.add(whole, depth), whole)
    hit = T.equal(T.expand_dims(wrapped, axis), places)
    return T.where(hit, np.asarray(on), np.asarray(off))


@rule("NonZero")
def non_zero(c: Call) -> np.ndarray:
    """Places that are not 0, one column for each."""
    return np.array(np.nonzero(c.known(0)), np.int64)


@rule("Unique", "Compress")
def by_value(c: Call) -> Any:
    """Operators whose output's shape depends on values: only on arrays that are known."""
    x = c.known(0)
    axis = c.attr("axis", None)
    if c.node.op == "Compress":
        keep = c.known(1).astype(bool)
        kept = np.flatnonzero(keep)
        return np.take(x.reshape(-1), kept) if axis is None else np.take(x, kept, axis=int(axis))
    values, first, inverse, counts = np.unique(
        x, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    inverse = inverse.reshape(-1)
    if not c.attr("sorted", 1):
        order = np.argsort(first)
        values = np.take(values, order, axis=0 if axis is None else axis)
        first, counts = first[order], counts[order]
        inverse = np.argsort(order)[inverse]
    return values, *(a.astype(np.int64) for a in (first, inverse, counts))
