"""Rows of the op table that read and write elements at positions which are themselves inputs.

Gathering and scattering are each other's gradients. Positions may be negative, counted from the end; one
beyond the axis is an InvalidArgument on the host (a GPU does not check). Functions that write return a new
tensor: nothing is changed in place. Where a position is named twice, adding adds both values; writing keeps
one of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from armour.checks import count
from armour.errors import InvalidArgument
from armour.tensor.axes import axis_of
from armour.tensor.backend import Array, Namespace, add_rows, scatter_add
from armour.tensor.core import Tensor, lift
from armour.tensor.op import Case, Op, op
from armour.tensor.shape import full_index, take_along_axis

ROWS = np.array([[2, 0], [2, -1]])
PLACES = np.array([[2, 0], [0, 1], [2, 0]])


# -- slices along one axis --------------------------------------------------------------------------------


def _gather_forward(xp: Namespace, x: Array, indices: Array, axis: int) -> Array:
    _integers("gather", indices)
    return xp.take(x, indices, axis=axis)


def _gather_add(xp: Namespace, g: Array, indices: Array, axis: int, shape: tuple[int, ...]) -> Array:
    _integers("gather_grad", indices)
    axis %= len(shape)
    if axis == 0 and g.size:
        return add_rows(xp, g, indices, shape[0], math.prod(shape[1:])).reshape(shape)
    return scatter_add(xp, xp.zeros(shape, g.dtype), (*(slice(None),) * axis, indices), g)


_gather: Op = op(
    "gather",
    _gather_forward,
    (lambda g, y, x, indices, axis: _gather_grad(g, indices, axis=axis, shape=x.shape), None),
    cases=(
        Case(((3, 4), ROWS), {"axis": 0}),
        Case(((2, 3, 4), ROWS), {"axis": 1}),
        Case(((3, 4), np.array(1)), {"axis": -1}),
        Case(((3, 0), ROWS), {"axis": 0}),
    ),
)
_gather_grad: Op = op(
    "gather_grad",
    _gather_add,
    (lambda gg, y, g, indices, axis, shape: gather(gg, indices, axis), None),
    cases=(
        Case(((2, 2, 4), ROWS), {"axis": 0, "shape": (3, 4)}),
        Case(((2, 2, 2, 4), ROWS), {"axis": -2, "shape": (2, 3, 4)}),
        Case(((2, 2, 0), ROWS), {"axis": 0, "shape": (3, 0)}),
    ),
)


def _index_add_forward(xp: Namespace, x: Array, values: Array, indices: Array, axis: int) -> Array:
    _integers("index_add", indices)
    axis %= x.ndim
    expected = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    if values.shape != expected:
        raise InvalidArgument(
            f"index_add expects values of shape {expected} for x {x.shape}, indices {indices.shape} and "
            f"axis={axis}, got {values.shape}"
        )
    return scatter_add(xp, x.copy(), (*(slice(None),) * axis, indices), values)


_index_add: Op = op(
    "index_add",
    _index_add_forward,
    (lambda g, y, x, v, indices, axis: g, lambda g, y, x, v, indices, axis: gather(g, indices, axis), None),
    cases=(
        Case(((3, 4), (2, 2, 4), ROWS), {"axis": 0}),
        Case(((2, 3, 4), (2, 2, 2, 4), ROWS), {"axis": -2}),
        Case(((3, 0), (2, 2, 0), ROWS), {"axis": 0}),
    ),
)
_add_along_axis: Op = op(
    "add_along_axis",
    lambda xp, x, values, indices, axis: scatter_add(xp, x.copy(), full_index(xp, indices, axis), values),
    (
        lambda g, y, x, v, indices, axis: g,
        lambda g, y, x, v, indices, axis: take_along_axis(g, indices, axis),
        None,
    ),
    cases=(
        Case(((3, 4), (3, 2), [[0, 2], [1, 1], [3, 0]]), {"axis": 1}),
        Case(((4, 2), (3, 2), [[0, 2], [1, 1], [3, 0]]), {"axis": 0}),
        Case(((0, 2), (0, 3), np.zeros((0, 3), int)), {"axis": 1}),
    ),
)


def gather(x: Any, indices: Any, axis: int = 0) -> Tensor:
    """The slices of x along `axis` that `indices` names: the axis is replaced by the axes of `indices`."""
    t, places = lift([x, indices])
    return _gather(t, places, axis=axis_of(axis, t.ndim, t.shape))


def index_add(x: Any, indices: Any, values: Any, axis: int = 0) -> Tensor:
    """x with `values` added to the slices along `axis` that `indices` names.

    values: shaped like gather(x, indices, axis).
    """
    t, places, added = lift([x, indices, values])
    return _index_add(t, added, places, axis=axis_of(axis, t.ndim, t.shape))


def scatter_add_along_axis(x: Any, indices: Any, values: Any, axis: int) -> Tensor:
    """x with values[i, j] added at [i, indices[i, j]] for axis 1, and so on: take_along_axis backwards."""
    t, places, added = lift([x, indices, values])
    return _add_along_axis(t, added, places, axis=axis_of(axis, t.ndim, t.shape))


def segment_sum(x: Any, segments: Any, number: int) -> Tensor:
    """(n, ...) -> (number, ...): the sums of the slices that each of the numbers in `segments` (n,) names."""
    t, places = lift([x, segments])
    if not t.ndim or places.shape != t.shape[:1]:
        raise InvalidArgument(
            f"segment_sum expects one segment for each slice of x {t.shape}, got segments {places.shape}"
        )
    return _gather_grad(t, places, axis=0, shape=(count("number", number, at_least=0), *t.shape[1:]))


# -- elements and slices at positions of several axes -----------------------------------------------------


def _places(name: str, indices: Array, shape: tuple[int, ...]) -> tuple[Array, ...]:
    _integers(name, indices)
    if not indices.ndim or indices.shape[-1] > len(shape):
        raise InvalidArgument(
            f"{name} expects indices (..., k) with k at most {len(shape)} for shape {shape}, "
            f"got {indices.shape}"
        )
    return tuple(indices[..., i] for i in range(indices.shape[-1]))


def _fitting(name: str, values: Array, indices: Array, shape: tuple[int, ...]) -> None:
    expected = (*indices.shape[:-1], *shape[indices.shape[-1] :])
    if values.shape != expected:
        raise InvalidArgument(
            f"{name} expects values of shape {expected} for indices {indices.shape} and shape {shape}, "
            f"got {values.shape}"
        )


def _gather_nd_forward(xp: Namespace, x: Array, indices: Array) -> Array:
    return x[_places("gather_nd", indices, x.shape)]


def _scatter_nd_forward(xp: Namespace, values: Array, indices: Array, shape: tuple[int, ...]) -> Array:
    places = _places("scatter_nd", indices, shape)
    _fitting("scatter_nd", values, indices, shape)
    return scatter_add(xp, xp.zeros(shape, values.dtype), places, values)


def _scatter_nd_add_forward(xp: Namespace, x: Array, values: Array, indices: Array) -> Array:
    places = _places("scatter_nd_add", indices, x.shape)
    _fitting("scatter_nd_add", values, indices, x.shape)
    return scatter_add(xp, x.copy(), places, values)


def _scatter_update_forward(xp: Namespace, x: Array, values: Array, indices: Array) -> Array:
    out = x.copy()
    out[_places("scatter_update", indices, x.shape)] = values
    return out


_gather_nd: Op = op(
    "gather_nd",
    _gather_nd_forward,
    (lambda g, y, x, indices: _scatter_nd(g, indices, shape=x.shape), None),
    cases=(
        Case(((3, 4), PLACES)),
        Case(((3, 2, 2), PLACES)),
        Case(((3, 4), PLACES[:, :1])),
        Case(((3, 2, 0), PLACES)),
    ),
)
_scatter_nd: Op = op(
    "scatter_nd",
    _scatter_nd_forward,
    (lambda gg, y, g, indices, shape: gather_nd(gg, indices), None),
    cases=(
        Case(((3,), PLACES), {"shape": (3, 4)}),
        Case(((3, 2), PLACES), {"shape": (3, 2, 2)}),
        Case(((3, 4), PLACES[:, :1]), {"shape": (3, 4)}),
        Case(((3, 0), PLACES), {"shape": (3, 2, 0)}),
    ),
)
_scatter_nd_add: Op = op(
    "scatter_nd_add",
    _scatter_nd_add_forward,
    (lambda g, y, x, v, indices: g, lambda g, y, x, v, indices: gather_nd(g, indices), None),
    cases=(
        Case(((3, 4), (3,), PLACES)),
        Case(((3, 2, 2), (3, 2), PLACES)),
        Case(((3, 2, 0), (3, 0), PLACES)),
    ),
)
_scatter_update: Op = op(
    "scatter_update",
    _scatter_update_forward,
    (
        lambda g, y, x, values, indices: _scatter_update(g, 0.0, indices),
        lambda g, y, x, values, indices: gather_nd(g, indices),
        None,
    ),
    cases=(
        Case(((3, 4), (2,), PLACES[:2])),
        Case(((3, 2, 2), (2, 2), PLACES[:2])),
        Case(((3, 2, 0), (2, 0), PLACES[:2])),
    ),
)


def gather_nd(x: Any, indices: Any) -> Tensor:
    """x[indices[..., 0], indices[..., 1], ...]: the last axis of `indices` (..., k) holds k coordinates.

    -> (..., *x.shape[k:]).
    """
    return _gather_nd(x, indices)


def scatter_nd(indices: Any, values: Any, shape: Sequence[int]) -> Tensor:
    """Zeros of `shape` with values (..., *shape[k:]) added at the k coordinates in indices (..., k)."""
    places, added = lift([indices, values])
    return _scatter_nd(added, places, shape=tuple(int(n) for n in shape))


def scatter_nd_add(x: Any, indices: Any, values: Any) -> Tensor:
    """x with `values` added at the positions `indices`, as in scatter_nd."""
    t, places, added = lift([x, indices, values])
    return _scatter_nd_add(t, added, places)


def scatter_update(x: Any, indices: Any, values: Any) -> Tensor:
    """x with `values` in place of the elements at the positions `indices`, as in scatter_nd.

    A position must not be named twice: which value stays is not defined, nor is the gradient.
    """
    t, places, written = lift([x, indices, values])
    return _scatter_update(t, written, places)


def _integers(name: str, indices: Array) -> None:
    if indices.dtype.kind not in "iu":
        raise InvalidArgument(f"{name} expects integers as indices, got {indices.dtype}; use .astype")
