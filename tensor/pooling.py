"""Rows of the op table for pooling over windows and over whole images."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.backend import Array, Namespace
from armour.tensor.conv import Pair
from armour.tensor.core import Tensor, lift
from armour.tensor.kernels import pool_kernels as kernels
from armour.tensor.op import Case, Op, op
from armour.tensor.padding import sizes
from armour.tensor.reduce import max as max_of
from armour.tensor.reduce import mean
from armour.tensor.resample import constant
from armour.tensor.shape import getitem, pad, reshape

PLACED: dict[str, Any] = {"kernel": (2, 2), "stride": (2, 2)}
OVERLAPPING: dict[str, Any] = {"kernel": (3, 2), "stride": (2, 1)}


def _check(x: tuple[int, ...], kernel: Pair) -> None:
    if len(x) != 4 or x[2] < kernel[0] or x[3] < kernel[1]:
        raise InvalidArgument(
            f"pooling expects input (n, c, h, w) at least as large as the window {kernel}, got {x}"
        )


# -- maximum ------------------------------------------------------


def _max_forward(xp: Namespace, x: Array, kernel: Pair, stride: Pair) -> Array:
    _check(x.shape, kernel)
    return kernels.max_pool2d(xp, x, kernel, stride)


_X, _Y = np.arange(16.0).reshape((1, 1, 4, 4)) % 7, np.array([[[[5.0, 6.0], [6.0, 1.0]]]])

_max_pool2d: Op = op(
    "max_pool2d",
    _max_forward,
    (lambda g, y, x, kernel, stride: _unpool(g, x, y, kernel=kernel, stride=stride),),
    cases=(Case(((2, 3, 4, 6),), PLACED), Case(((2, 3, 5, 4),), OVERLAPPING), Case(((0, 3, 4, 4),), PLACED)),
)
# Where the maximum was changes by jumps, so x and y have no gradient here.
_unpool: Op = op(
    "max_unpool2d",
    kernels.max_unpool2d,
    (lambda gg, r, g, x, y, kernel, stride: _pick(gg, x, y, kernel=kernel, stride=stride), None, None),
    cases=(Case(((1, 1, 2, 2), _X, _Y), PLACED),),
)
_pick: Op = op(
    "max_pick2d",
    kernels.max_pick2d,
    (lambda g, r, values, x, y, kernel, stride: _unpool(g, x, y, kernel=kernel, stride=stride), None, None),
    cases=(Case(((1, 1, 4, 4), _X, _Y), PLACED),),
)


def max_pool2d(
    x: Any,
    kernel: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
) -> Tensor:
    """Largest value of each window: (n, c, h, w) -> (n, c, oh, ow).

    NaN wins; of equal values the first one has the gradient, as in PyTorch.

    stride: the window's size if not given. padding: at most half the window; padded places never win.
    ceil_mode: a last window that begins inside the image counts although it ends outside.
    """
    return maxima(x, 2, kernel, stride, padding, ceil_mode)


# -- mean ------------------------------------------------------


def _avg_forward(xp: Namespace, x: Array, kernel: Pair, stride: Pair) -> Array:
    _check(x.shape, kernel)
    return kernels.avg_pool2d(xp, x, kernel, stride)


_avg_pool2d: Op = op(
    "avg_pool2d",
    _avg_forward,
    (lambda g, y, x, kernel, stride: _avg_unpool(g, size=x.shape[2:], kernel=kernel, stride=stride),),
    cases=(Case(((2, 3, 4, 6),), PLACED), Case(((2, 3, 5, 4),), OVERLAPPING), Case(((0, 3, 4, 4),), PLACED)),
)
_avg_unpool: Op = op(
    "avg_unpool2d",
    kernels.avg_unpool2d,
    (lambda gg, y, g, size, kernel, stride: _avg_pool2d(gg, kernel=kernel, stride=stride),),
    cases=(
        Case(((2, 3, 2, 3),), PLACED | {"size": (4, 6)}),
        Case(((0, 3, 2, 2),), PLACED | {"size": (4, 4)}),
    ),
)


def avg_pool2d(
    x: Any,
    kernel: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Mean of each window of x (n, c, h, w); -> (n, c, oh, ow). stride: the window's size if not given.

    ceil_mode: a last window that begins inside the image counts although it ends outside; its mean is over
    what is inside. count_include_pad: padded zeros count, as in PyTorch.
    """
    return averages(x, 2, kernel, stride, padding, ceil_mode, count_include_pad)


def global_avg_pool2d(x: Any) -> Tensor:
    """Mean over the image: (n, c, h, w) -> (n, c)."""
    return mean(x, axis=(2, 3))


def global_max_pool2d(x: Any) -> Tensor:
    """Largest value of the image: (n, c, h, w) -> (n, c); the first of equal values has the gradient."""
    h, w = x.shape[2:]
    return (
        getitem(max_pool2d(x, (h, w)), (slice(None), slice(None), 0, 0))
        if h and w
        else max_of(x, axis=(2, 3))
    )


# -- any number of axes ------------------------------------------------------


def maxima(
    x: Any, axes: int, kernel: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False
) -> Tensor:
    """max_pool2d with `axes` axes of positions, 1 to 3."""
    (t,) = lift([x])
    axis = _along(t, axes, kernel, stride, padding, ceil_mode)
    return _over(_max_pool2d, _surrounded(t, axis, float("-inf")), axis)


def averages(
    x: Any,
    axes: int,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """avg_pool2d with `axes` axes of positions, 1 to 3."""
    (t,) = lift([x])
    axis = _along(t, axes, kernel, stride, padding, ceil_mode)
    out = _over(_avg_pool2d, _surrounded(t, axis, 0.0), axis)
    if not any(a.padding or a.after for a in axis):
        return out
    shares = [a.shares(count_include_pad) for a in axis]
    if all((s == 1).all() for s in shares):
        return out
    return out * constant(out, functools.reduce(np.multiply.outer, shares))


class _Axis(NamedTuple):
    """Windows along one axis."""

    size: int
    kernel: int
    stride: int
    padding: int
    out: int

    @property
    def after(self) -> int:
        """Zeros needed after the last element."""
        return max(0, (self.out - 1) * self.stride + self.kernel - self.size - self.padding)

    def shares(self, padded: bool) -> np.ndarray:
        """For each window its length over the number of places that count."""
        starts = np.arange(self.out) * self.stride - self.padding
        ends = np.minimum(starts + self.kernel, self.size + self.padding)
        if not padded:
            starts, ends = np.maximum(starts, 0), np.minimum(ends, self.size)
        shares: np.ndarray = self.kernel / np.maximum(ends - starts, 1)
        return shares


def _along(t: Tensor, axes: int, kernel: Any, stride: Any, padding: Any, ceil_mode: bool) -> list[_Axis]:
    window = sizes("kernel", kernel, axes, 1)
    step = window if stride is None else sizes("stride", stride, axes, 1)
    around = sizes("padding", padding, axes, 0)
    if t.ndim != axes + 2:
        raise InvalidArgument(
            f"pooling expects x (n, c, ...) with {axes} axes of positions, got shape {t.shape}"
        )
    if any(2 * p > k for p, k in zip(around, window, strict=True)):
        raise InvalidArgument(f"expected padding of at most half the window {window}, got {around}")
    return _axes(t.shape[2:], window, step, around, bool(ceil_mode))


@functools.lru_cache(maxsize=1024)
def _axes(
    lengths: tuple[int, ...],
    window: tuple[int, ...],
    step: tuple[int, ...],
    around: tuple[int, ...],
    ceil_mode: bool,
) -> list[_Axis]:
    found = []
    for n, k, s, p in zip(lengths, window, step, around, strict=True):
        room = n + 2 * p - k
        out = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (out - 1) * s >= n + p:
            out -= 1  # it would see padding alone
        if out < 1 or room < 0:
            raise InvalidArgument(
                f"pooling expects input at least as large as the window {window}, got {lengths}"
            )
        found.append(_Axis(n, k, s, p, out))
    return found


def _surrounded(t: Tensor, axis: list[_Axis], value: float) -> Tensor:
    if not any(a.padding or a.after for a in axis):
        return t
    return pad(t, ((0, 0), (0, 0), *((a.padding, a.after) for a in axis)), value)


def _over(row: Op, t: Tensor, axis: list[_Axis]) -> Tensor:
    n, c = t.shape[:2]
    kernel, stride = tuple(a.kernel for a in axis), tuple(a.stride for a in axis)
    if len(axis) == 2:
        return row(t, kernel=kernel, stride=stride)
    if len(axis) == 1:
        flat = row(reshape(t, (n, c, 1, t.shape[2])), kernel=(1, *kernel), stride=(1, *stride))
        return reshape(flat, (n, c, flat.shape[3]))
    d, h, w = t.shape[2:]
    flat = row(reshape(t, (n, c * d, h, w)), kernel=kernel[1:], stride=stride[1:])
    oh, ow = flat.shape[2:]
    flat = row(reshape(flat, (n, c, d, oh * ow)), kernel=(kernel[0], 1), stride=(stride[0], 1))
    return reshape(flat, (n, c, flat.shape[2], oh, ow))
