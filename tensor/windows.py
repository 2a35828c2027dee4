"""Windows that slide along an axis, their transpose, and what is made of them: im2col and col2im."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from armour.errors import InvalidArgument
from armour.tensor.backend import Array, Namespace
from armour.tensor.conv import Pair, pair
from armour.tensor.core import Tensor, lift
from armour.tensor.op import Case, Op, op
from armour.tensor.shape import getitem, pad, reshape, transpose


def steps(length: int, size: int, stride: int, dilation: int) -> int:
    """How many windows of `size` places, `dilation` apart, there are along an axis, `stride` apart."""
    return (length - dilation * (size - 1) - 1) // stride + 1


def _windows(xp: Namespace, x: Array, axis: int, size: int, stride: int, dilation: int) -> Array:
    axis %= x.ndim
    count = steps(x.shape[axis], size, stride, dilation)
    if count < 1 or min(size, stride, dilation) < 1:
        raise InvalidArgument(
            f"a window of {size} places, {dilation} apart, does not fit the {x.shape[axis]} elements of "
            f"axis {axis}"
        )
    shape = (*x.shape[:axis], count, size, *x.shape[axis + 1 :])
    along = x.strides[axis]
    strides = (*x.strides[:axis], along * stride, along * dilation, *x.strides[axis + 1 :])
    # A view: windows overlap in memory, and whoever multiplies them copies what it needs.
    return xp.lib.stride_tricks.as_strided(x, shape, strides)


def _overlap_add(xp: Namespace, g: Array, axis: int, length: int, stride: int, dilation: int) -> Array:
    axis %= g.ndim - 1
    count, size = g.shape[axis : axis + 2]
    if min(stride, dilation) < 1 or (count - 1) * stride + dilation * (size - 1) >= length:
        raise InvalidArgument(f"expected a length that holds {count} windows of {size}, got {length}")
    out = xp.zeros((*g.shape[:axis], length, *g.shape[axis + 2 :]), g.dtype)
    before = (slice(None),) * axis
    for i in range(size):
        start = i * dilation
        place = out[(*before, slice(start, start + (count - 1) * stride + 1, stride))]
        place += g[(*before, slice(None), i)]
    return out


def _overlap_vjp(
    gg: Tensor, y: Tensor, g: Tensor, axis: int, length: int, stride: int, dilation: int
) -> Tensor:
    axis %= g.ndim - 1
    count, size = g.shape[axis : axis + 2]
    reach = (count - 1) * stride + dilation * (size - 1) + 1
    if steps(length, size, stride, dilation) != count:  # some elements no window reaches
        gg = getitem(gg, (*(slice(None),) * axis, slice(0, reach)))
    return sliding_windows(gg, axis, size, stride, dilation)


_sliding: Op = op(
    "sliding_windows",
    _windows,
    (
        lambda g, y, x, axis, size, stride, dilation: overlap_add(
            g, axis % x.ndim, x.shape[axis], stride, dilation
        ),
    ),
    cases=(
        Case(((2, 7, 3),), {"axis": 1, "size": 3, "stride": 2, "dilation": 1}),
        Case(((2, 8),), {"axis": -1, "size": 3, "stride": 1, "dilation": 2}),
        Case(((4, 2),), {"axis": 0, "size": 1, "stride": 3, "dilation": 1}),
        Case(((0, 4),), {"axis": 1, "size": 2, "stride": 2, "dilation": 1}),
    ),
)
_overlap: Op = op(
    "overlap_add",
    _overlap_add,
    (_overlap_vjp,),
    cases=(
        Case(((2, 3, 3, 2),), {"axis": 1, "length": 7, "stride": 2, "dilation": 1}),
        Case(((4, 3),), {"axis": 0, "length": 9, "stride": 1, "dilation": 2}),
        Case(((0, 2, 2),), {"axis": 1, "length": 4, "stride": 2, "dilation": 1}),
    ),
)


def sliding_windows(x: Any, axis: int, size: int, stride: int = 1, dilation: int = 1) -> Tensor:
    """Windows of `size` elements, `dilation` apart, along `axis`: (..., l, ...) -> (..., steps, size, ...).

    stride: elements from one window's start to the next one's. Raises InvalidArgument if not one window fits.
    """
    return _sliding(x, axis=int(axis), size=int(size), stride=int(stride), dilation=int(dilation))


def overlap_add(g: Any, axis: int, length: int, stride: int = 1, dilation: int = 1) -> Tensor:
    """Windows (..., steps, size, ...) at `axis` added up where they overlap: sliding_windows transposed.

    length: of the axis that results; elements that no window reaches are 0.
    """
    return _overlap(g, axis=int(axis), length=int(length), stride=int(stride), dilation=int(dilation))


def im2col(
    x: Any,
    kernel: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
) -> Tensor:
    """Windows of x (n, c, h, w) as columns: (n, c * kh * kw, steps); PyTorch's unfold, with its order.

    kernel, dilation, padding (zeros on both sides), stride: one number or (vertical, horizontal).
    """
    (t,) = lift([x])
    size, apart, around, step = _pairs(kernel, dilation, padding, stride)
    if t.ndim != 4:
        raise InvalidArgument(f"im2col expects x (n, c, h, w), got shape {t.shape}")
    if any(around):
        t = pad(t, ((0, 0), (0, 0), *((p, p) for p in around)))
    n, c = t.shape[:2]
    t = sliding_windows(t, 2, size[0], step[0], apart[0])  # (n, c, oh, kh, w)
    t = sliding_windows(t, 4, size[1], step[1], apart[1])  # (n, c, oh, kh, ow, kw)
    oh, ow = t.shape[2], t.shape[4]
    return reshape(transpose(t, (0, 1, 3, 5, 2, 4)), (n, c * size[0] * size[1], oh * ow))


def col2im(
    columns: Any,
    size: int | Sequence[int],
    kernel: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
) -> Tensor:
    """Columns (n, c * kh * kw, steps) added up at their places of an image (n, c, *size); PyTorch's fold.

    The transpose of im2col with the same arguments.
    """
    (t,) = lift([columns])
    window, apart, around, step = _pairs(kernel, dilation, padding, stride)
    image = pair("size", size, 1)
    padded = [image[k] + 2 * around[k] for k in (0, 1)]
    out = [steps(padded[k], window[k], step[k], apart[k]) for k in (0, 1)]
    places = window[0] * window[1]
    if t.ndim != 3 or t.shape[1] % places or min(out) < 1 or t.shape[2] != out[0] * out[1]:
        raise InvalidArgument(
            f"col2im expects columns (n, c * {places}, {max(0, out[0]) * max(0, out[1])}) for an image "
            f"{image} and "
            f"windows {window}, got shape {t.shape}"
        )
    n, c = t.shape[0], t.shape[1] // places
    t = transpose(reshape(t, (n, c, *window, *out)), (0, 1, 4, 2, 5, 3))
    t = overlap_add(t, 4, padded[1], step[1], apart[1])  # (n, c, oh, kh, w)
    t = overlap_add(t, 2, padded[0], step[0], apart[0])
    if not any(around):
        return t
    inside = (slice(around[k], around[k] + image[k]) for k in (0, 1))
    return getitem(t, (slice(None), slice(None), *inside))


def _pairs(kernel: Any, dilation: Any, padding: Any, stride: Any) -> tuple[Pair, Pair, Pair, Pair]:
    return (
        pair("kernel", kernel, 1),
        pair("dilation", dilation, 1),
        pair("padding", padding, 0),
        pair("stride", stride, 1),
    )
