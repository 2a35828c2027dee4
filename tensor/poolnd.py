"""Pooling along one to three axes, with uneven windows at the end, and adaptive pooling.

All of it is made of the rows for two axes: an axis of length 1 makes two of one, and the windows of three
axes are those of the last two and then of the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor import pooling
from armour.tensor.backend import get_xp
from armour.tensor.core import Tensor, lift, wrap
from armour.tensor.elementwise import power
from armour.tensor.padding import Sizes, sizes
from armour.tensor.reduce import argmax
from armour.tensor.resample import along_axis
from armour.tensor.scatter import gather
from armour.tensor.shape import reshape, take_along_axis

OutputSize = int | Sequence[int | None] | None


# -- windows of one size ----------------


def avg_pool1d(
    x: Any,
    kernel: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Mean of each window of x (n, c, l); see avg_pool2d."""
    return pooling.averages(x, 1, kernel, stride, padding, ceil_mode, count_include_pad)


def avg_pool3d(
    x: Any,
    kernel: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Mean of each window of x (n, c, d, h, w); see avg_pool2d."""
    return pooling.averages(x, 3, kernel, stride, padding, ceil_mode, count_include_pad)


def max_pool1d(
    x: Any, kernel: Sizes, stride: Sizes | None = None, padding: Sizes = 0, ceil_mode: bool = False
) -> Tensor:
    """Largest value of each window of x (n, c, l); see max_pool2d."""
    return pooling.maxima(x, 1, kernel, stride, padding, ceil_mode)


def max_pool3d(
    x: Any, kernel: Sizes, stride: Sizes | None = None, padding: Sizes = 0, ceil_mode: bool = False
) -> Tensor:
    """Largest value of each window of x (n, c, d, h, w); see max_pool2d."""
    return pooling.maxima(x, 3, kernel, stride, padding, ceil_mode)


def lp_pool1d(
    x: Any, norm_type: float, kernel: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """lp_pool2d for x (n, c, l)."""
    return _lp_pool(x, 1, norm_type, kernel, stride, ceil_mode)


def lp_pool2d(
    x: Any, norm_type: float, kernel: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum of x ** norm_type) ** (1 / norm_type) over each window of x (n, c, h, w).

    Without absolute values, as in PyTorch: meant for inputs at or above 0, or an even norm_type.
    """
    return _lp_pool(x, 2, norm_type, kernel, stride, ceil_mode)


def _lp_pool(x: Any, axes: int, norm_type: float, kernel: Any, stride: Any, ceil_mode: bool) -> Tensor:
    if not norm_type > 0:
        raise InvalidArgument(f"expected norm_type above 0, got {norm_type}")
    (t,) = lift([x])
    means = pooling.averages(power(t, float(norm_type)), axes, kernel, stride, 0, ceil_mode)
    return power(means * float(math.prod(sizes("kernel", kernel, axes, 1))), 1.0 / norm_type)


# -- the whole image ----------------


def global_avg_pool1d(x: Any) -> Tensor:
    """Mean over positions: (n, c, l) -> (n, c)."""
    return _check(x, 1).mean(axis=2)


def global_avg_pool3d(x: Any) -> Tensor:
    """Mean over positions: (n, c, d, h, w) -> (n, c)."""
    return _check(x, 3).mean(axis=(2, 3, 4))


def global_max_pool1d(x: Any) -> Tensor:
    """Largest value: (n, c, l) -> (n, c); the first of equal values has the gradient."""
    return _largest(_check(x, 1))


def global_max_pool3d(x: Any) -> Tensor:
    """Largest value: (n, c, d, h, w) -> (n, c); the first of equal values has the gradient."""
    return _largest(_check(x, 3))


def _largest(t: Tensor) -> Tensor:
    n, c = t.shape[:2]
    flat = reshape(t, (n, c, math.prod(t.shape[2:])))
    return reshape(take_along_axis(flat, reshape(argmax(flat, 2), (n, c, 1)), 2), (n, c))


# -- adaptive: windows from the number of outputs ----------------


def adaptive_avg_pool1d(x: Any, output_size: OutputSize) -> Tensor:
    """adaptive_avg_pool2d for x (n, c, l)."""
    return _adaptive_avg(x, 1, output_size)


def adaptive_avg_pool2d(x: Any, output_size: OutputSize) -> Tensor:
    """Means of x (n, c, h, w) over windows that give `output_size` (oh, ow); -> (n, c, oh, ow).

    Window i of an axis of length l begins at floor(i l / o) and ends before ceil((i + 1) l / o), as in
    PyTorch.
    output_size: one number for both axes or a pair, where None keeps the input's length.
    """
    return _adaptive_avg(x, 2, output_size)


def adaptive_avg_pool3d(x: Any, output_size: OutputSize) -> Tensor:
    """adaptive_avg_pool2d for x (n, c, d, h, w)."""
    return _adaptive_avg(x, 3, output_size)


def adaptive_max_pool1d(x: Any, output_size: OutputSize) -> Tensor:
    """adaptive_max_pool2d for x (n, c, l)."""
    return _adaptive_max(x, 1, output_size)


def adaptive_max_pool2d(x: Any, output_size: OutputSize) -> Tensor:
    """Largest values of x (n, c, h, w) in the windows of adaptive_avg_pool2d; the first has the gradient."""
    return _adaptive_max(x, 2, output_size)


def adaptive_max_pool3d(x: Any, output_size: OutputSize) -> Tensor:
    """adaptive_max_pool2d for x (n, c, d, h, w)."""
    return _adaptive_max(x, 3, output_size)


def output_sizes(value: Any, axes: int) -> tuple[int | None, ...]:
    """The `output_size` of adaptive pooling as a tuple; raises InvalidArgument."""
    several = (value,) * axes if value is None or isinstance(value, int) else tuple(value)
    kept = tuple(None if v is None else sizes("output_size", (v,), 1, 1)[0] for v in several)
    if len(kept) != axes:
        raise InvalidArgument(f"expected output_size of one or {axes} numbers, got {value}")
    return kept


def _plan(x: Any, axes: int, output_size: Any) -> tuple[Tensor, list[int]]:
    t = _check(x, axes)
    wanted = output_sizes(output_size, axes)
    return t, [size if o is None else o for o, size in zip(wanted, t.shape[2:], strict=True)]


def _bins(size: int, out: int) -> list[tuple[int, int]]:
    return [(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


def _adaptive_avg(x: Any, axes: int, output_size: Any) -> Tensor:
    t, out = _plan(x, axes, output_size)
    if all(size % o == 0 for size, o in zip(t.shape[2:], out, strict=True)):
        return pooling.averages(t, axes, [s // o for s, o in zip(t.shape[2:], out, strict=True)])
    for i, o in enumerate(out):
        size = t.shape[2 + i]
        if o != size:
            matrix = np.zeros((o, size))
            for row, (first, end) in zip(matrix, _bins(size, o), strict=True):
                row[first:end] = 1.0 / (end - first)
            t = along_axis(t, 2 + i, matrix)
    return t


def _adaptive_max(x: Any, axes: int, output_size: Any) -> Tensor:
    t, out = _plan(x, axes, output_size)
    if math.prod(out) == 1:
        return reshape(_largest(t), (*t.shape[:2], *out))
    kernel = [1] * axes
    for i, o in enumerate(out):
        size = t.shape[2 + i]
        if size % o == 0:
            kernel[i] = size // o
            continue
        # Windows of one length, one after another; a shorter one repeats its last element, which never wins
        # against the first of equals.
        bins = _bins(size, o)
        kernel[i] = max(end - first for first, end in bins)
        index = [min(first + k, end - 1) for first, end in bins for k in range(kernel[i])]
        t = gather(t, wrap(get_xp(t.data).asarray(index)), 2 + i)
    return pooling.maxima(t, axes, kernel)


def _check(x: Any, axes: int) -> Tensor:
    (t,) = lift([x])
    if t.ndim != axes + 2 or min(t.shape[2:]) < 1:
        raise InvalidArgument(
            f"pooling expects x (n, c, ...) with {axes} axes of positions, got shape {t.shape}"
        )
    return t
