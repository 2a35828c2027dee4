"""Rows of the op table for pooling over windows and over whole images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.backend import Array, Namespace
from armour.tensor.conv import Pair, pair
from armour.tensor.core import Tensor
from armour.tensor.kernels import pool_kernels as kernels
from armour.tensor.op import Case, Op, op
from armour.tensor.reduce import max as max_of
from armour.tensor.reduce import mean
from armour.tensor.shape import getitem, pad

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
) -> Tensor:
    """Largest value of each window: (n, c, h, w) -> (n, c, oh, ow).

    NaN wins; of equal values the first one has the gradient, as in PyTorch.

    stride: the window's size if not given. padding: at most half the window; padded places never win.
    """
    window, step = pair("kernel", kernel, 1), pair("stride", kernel if stride is None else stride, 1)
    ph, pw = _padding(padding, window)
    if ph or pw:
        x = pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), float("-inf"))
    return _max_pool2d(x, kernel=window, stride=step)


def _padding(padding: int | Sequence[int], kernel: Pair) -> Pair:
    both = pair("padding", padding, 0)
    if 2 * both[0] > kernel[0] or 2 * both[1] > kernel[1]:
        raise InvalidArgument(f"expected padding of at most half the window {kernel}, got {both}")
    return both


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
) -> Tensor:
    """Mean of each window of x (n, c, h, w); -> (n, c, oh, ow). Padded zeros count, as in PyTorch."""
    window, step = pair("kernel", kernel, 1), pair("stride", kernel if stride is None else stride, 1)
    ph, pw = _padding(padding, window)
    if ph or pw:
        x = pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    return _avg_pool2d(x, kernel=window, stride=step)


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
