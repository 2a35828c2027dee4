"""Order: argsort and argmin as rows of the op table; sort, topk, quantiles as what they pick.

NaN counts as larger than any number, as in NumPy and PyTorch. Gradients go to the elements picked.
"""

from __future__ import annotations

import math
from typing import Any

from armour.checks import count
from armour.errors import InvalidArgument
from armour.tensor.axes import axis_of
from armour.tensor.backend import Array, Namespace
from armour.tensor.core import Tensor, lift
from armour.tensor.op import Case, Op, op
from armour.tensor.shape import getitem, take_along_axis


def _argsort_forward(xp: Namespace, x: Array, axis: int = -1, descending: bool = False) -> Array:
    if not descending:
        return xp.argsort(x, axis=axis, kind="stable")
    # Sorted backwards and read from its end, so that equal elements keep their order here too.
    order = xp.flip(xp.argsort(xp.flip(x, axis), axis=axis, kind="stable"), axis)
    return x.shape[axis] - 1 - order


_argsort: Op = op(
    "argsort",
    _argsort_forward,
    cases=(
        Case(((3, 4),)),
        Case(((3, 4),), {"axis": 0, "descending": True}),
        Case(((0, 4),)),
    ),
)
_argmin: Op = op(
    "argmin",
    lambda xp, x, axis=None: xp.argmin(x, axis=axis),
    cases=(Case(((3, 4),), {"axis": None}), Case(((2, 3, 4),), {"axis": 1}), Case(((0, 3),), {"axis": 1})),
)


def argmin(x: Any, axis: int | None = None) -> Tensor:
    """Index of the first minimum, int64; no gradient."""
    return _argmin(x, axis=axis)


def argsort(x: Any, axis: int = -1, descending: bool = False) -> Tensor:
    """Indices that sort x along `axis`, int64; equal elements keep their order."""
    (t,) = lift([x])
    return _argsort(t, axis=axis_of(axis, t.ndim, t.shape), descending=bool(descending))


def sort(x: Any, axis: int = -1, descending: bool = False) -> Tensor:
    """Elements in order along `axis`."""
    (t,) = lift([x])
    axis = axis_of(axis, t.ndim, t.shape)
    return take_along_axis(t, argsort(t, axis, descending), axis)


def topk(x: Any, k: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """(values, indices) of the k largest (or smallest) elements along `axis`, the first the most extreme."""
    (t,) = lift([x])
    axis = axis_of(axis, t.ndim, t.shape)
    k = count("k", k, at_least=0)
    if k > t.shape[axis]:
        raise InvalidArgument(
            f"topk expects k up to {t.shape[axis]} for shape {t.shape}, axis {axis}, got {k}"
        )
    order = argsort(t, axis, descending=largest)
    index = getitem(order, (*(slice(None),) * axis, slice(0, k)))
    return take_along_axis(t, index, axis), index


def kthvalue(x: Any, k: int, axis: int = -1) -> tuple[Tensor, Tensor]:
    """(values, indices) of the k-th smallest element along `axis`, without it; k counts from 1."""
    (t,) = lift([x])
    axis = axis_of(axis, t.ndim, t.shape)
    if not 1 <= count("k", k) <= t.shape[axis]:
        raise InvalidArgument(
            f"kthvalue expects k from 1 to {t.shape[axis]} for shape {t.shape}, axis {axis}, got {k}"
        )
    at = (*(slice(None),) * axis, slice(k - 1, k))
    index = getitem(argsort(t, axis), at)
    place = (*(slice(None),) * axis, 0)
    return getitem(take_along_axis(t, index, axis), place), getitem(index, place)


def quantile(x: Any, q: float, axis: int = -1, keepdims: bool = False) -> Tensor:
    """The value below which a fraction q of the elements along `axis` lies.

    q: in [0, 1]. Between two elements the value is interpolated linearly, as by NumPy and PyTorch.
    """
    (t,) = lift([x])
    axis = axis_of(axis, t.ndim, t.shape)
    n = t.shape[axis]
    if not n or not 0.0 <= q <= 1.0:
        raise InvalidArgument(
            f"quantile expects q in [0, 1] and at least one element along axis {axis}, "
            f"got q={q!r} for shape {t.shape}"
        )
    place = q * (n - 1)
    low, high = math.floor(place), math.ceil(place)
    ordered = sort(t, axis)
    parts = [
        getitem(ordered, (*(slice(None),) * axis, slice(i, i + 1) if keepdims else i)) for i in (low, high)
    ]
    return parts[0] if low == high else parts[0] * (high - place) + parts[1] * (place - low)


def median(x: Any, axis: int = -1, keepdims: bool = False) -> Tensor:
    """The middle element along `axis`; the mean of the two in the middle if their number is even."""
    return quantile(x, 0.5, axis, keepdims)
