"""Convolution along one and three axes and transposed convolution, all made of the rows for two axes.

An axis of length 1 makes two axes of one. Of three, the windows along the first are made channels of the
images along the other two, so that one product does all the work. A transposed convolution is the gradient of
a convolution for its input, which is a row already.
"""

from __future__ import annotations

from typing import Any

from armour.errors import InvalidArgument
from armour.tensor.conv import conv2d, conv2d_input_grad
from armour.tensor.core import Tensor, lift
from armour.tensor.padding import Sizes, margins, padded, sizes
from armour.tensor.shape import getitem, pad, reshape, transpose
from armour.tensor.windows import overlap_add, sliding_windows


def conv1d(
    x: Any, w: Any, b: Any = None, stride: Sizes = 1, padding: Any = 0, dilation: Sizes = 1, groups: int = 1
) -> Tensor:
    """Cross-correlation of x (n, c, l) with w (o, c / groups, k), plus b (o,); -> (n, o, ol).

    padding: a number, ((before, after),), "same" or "valid"; see conv2d. Raises InvalidArgument if the
    shapes do not fit.
    """
    t, w = _inputs("conv1d", x, w, 1)
    (s,), (d,) = sizes("stride", stride, 1, 1), sizes("dilation", dilation, 1, 1)
    t, (p,) = padded(t, margins(padding, w.shape[2:], (s,), (d,)))
    y = conv2d(_flat(t), _flat(w), b, (1, s), (0, p), (1, d), groups)
    return reshape(y, (*y.shape[:2], y.shape[3]))


def conv3d(
    x: Any, w: Any, b: Any = None, stride: Sizes = 1, padding: Any = 0, dilation: Sizes = 1, groups: int = 1
) -> Tensor:
    """Cross-correlation of x (n, c, d, h, w) with w (o, c / groups, kd, kh, kw), plus b (o,).

    stride, dilation: one number or three. padding: the same, three pairs, "same" or "valid"; see conv2d.
    Raises InvalidArgument if the shapes do not fit.
    """
    t, w = _inputs("conv3d", x, w, 3)
    step, apart = sizes("stride", stride, 3, 1), sizes("dilation", dilation, 3, 1)
    around = margins(padding, w.shape[2:], step, apart)
    t, both = padded(t, ((0, 0), *around[1:]))
    if any(around[0]):
        t = pad(t, ((0, 0), (0, 0), around[0], (0, 0), (0, 0)))
    (n, c), kd = t.shape[:2], w.shape[2]
    t = transpose(sliding_windows(t, 2, kd, step[0], apart[0]), (0, 2, 1, 3, 4, 5))  # (n, od, c, kd, h, w)
    od = t.shape[1]
    t = reshape(t, (n * od, c * kd, *t.shape[4:]))
    w = reshape(w, (w.shape[0], w.shape[1] * kd, *w.shape[3:]))
    y = conv2d(t, w, b, step[1:], both[1:], apart[1:], groups)
    return transpose(reshape(y, (n, od, *y.shape[1:])), (0, 2, 1, 3, 4))


# -- transposed ----------------


def conv_transpose1d(
    x: Any,
    w: Any,
    b: Any = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """conv1d transposed: x (n, c, l), w (c, o / groups, k), b (o,); -> (n, o, ol). See conv_transpose2d."""
    t, w = _inputs("conv_transpose1d", x, w, 1)
    settings = (stride, padding, output_padding, dilation)
    (s,), (p,), (o,), (d,) = (
        sizes(name, v, 1, low)
        for (name, low), v in zip(
            (("stride", 1), ("padding", 0), ("output_padding", 0), ("dilation", 1)), settings, strict=True
        )
    )
    y = conv_transpose2d(_flat(t), _flat(w), b, (1, s), (0, p), (0, o), groups, (1, d))
    return reshape(y, (*y.shape[:2], y.shape[3]))


def conv_transpose2d(
    x: Any,
    w: Any,
    b: Any = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """conv2d transposed: x (n, c, h, w), w (c, o / groups, kh, kw), b (o,); -> (n, o, oh, ow).

    oh = (h - 1) * stride - 2 * padding + dilation * (kh - 1) + output_padding + 1: output_padding, below the
    stride or the dilation, chooses among the sizes that conv2d brings to h. Raises InvalidArgument if the
    shapes do not fit.
    """
    t, w = _inputs("conv_transpose2d", x, w, 2)
    step, both = sizes("stride", stride, 2, 1), sizes("padding", padding, 2, 0)
    apart, more = sizes("dilation", dilation, 2, 1), sizes("output_padding", output_padding, 2, 0)
    _check_transposed(t, w, groups)
    out = tuple(map(_out, t.shape[2:], w.shape[2:], step, both, apart, more))
    _check_out(out, t, w)
    # A convolution of an image with a whole stride more would have one more output pixel, here 0.
    missing = tuple(m // s for m, s in zip(more, step, strict=True))
    if any(missing):
        t = pad(t, ((0, 0), (0, 0), *((0, m) for m in missing)))
    y = conv2d_input_grad(t, w, size=out, stride=step, padding=both, dilation=apart, groups=groups)
    return y if b is None else y + lift([b])[0].reshape((1, -1, 1, 1))


def conv_transpose3d(
    x: Any,
    w: Any,
    b: Any = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """conv3d transposed: x (n, c, d, h, w), w (c, o / groups, kd, kh, kw), b (o,). See conv_transpose2d."""
    t, w = _inputs("conv_transpose3d", x, w, 3)
    step, both = sizes("stride", stride, 3, 1), sizes("padding", padding, 3, 0)
    apart, more = sizes("dilation", dilation, 3, 1), sizes("output_padding", output_padding, 3, 0)
    _check_transposed(t, w, groups)
    n, c, d = t.shape[:3]
    og, kd = w.shape[1:3]
    depth = _out(d, kd, step[0], both[0], apart[0], more[0])
    _check_out((depth,), t, w)
    frames = reshape(transpose(t, (0, 2, 1, 3, 4)), (n * d, c, *t.shape[3:]))
    flat = reshape(w, (c, og * kd, *w.shape[3:]))
    y = conv_transpose2d(frames, flat, None, step[1:], both[1:], more[1:], groups, apart[1:])
    y = reshape(y, (n, d, groups * og, kd, *y.shape[2:]))
    y = transpose(y, (0, 2, 1, 3, 4, 5))  # (n, o, d, kd, h, w)
    reach = (d - 1) * step[0] + apart[0] * (kd - 1) + 1
    y = overlap_add(y, 2, max(reach, both[0] + depth), step[0], apart[0])
    if y.shape[2] != depth:
        y = getitem(y, (slice(None), slice(None), slice(both[0], both[0] + depth)))
    return y if b is None else y + lift([b])[0].reshape((1, -1, 1, 1, 1))


def _out(size: int, kernel: int, stride: int, padding: int, dilation: int, more: int) -> int:
    if more >= max(stride, dilation):
        raise InvalidArgument(
            f"expected output_padding below the stride {stride} or the dilation {dilation}, got {more}"
        )
    return (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + more + 1


def _check_out(out: tuple[int, ...], x: Tensor, w: Tensor) -> None:
    if min(out) < 1:
        raise InvalidArgument(
            f"padding takes all of the output (sizes {out}) for input {x.shape}, weight {w.shape}"
        )


def _check_transposed(x: Tensor, w: Tensor, groups: int) -> None:
    if groups < 1 or x.shape[1] != w.shape[0] or w.shape[0] % groups:
        raise InvalidArgument(
            f"expected weight ({x.shape[1]}, o / groups, ...) and channels divisible by groups, "
            f"got input {x.shape}, weight {w.shape}, groups={groups}"
        )
    if min(x.shape[2:]) < 1:
        raise InvalidArgument(f"expected at least one element along each axis, got shape {x.shape}")


def _inputs(name: str, x: Any, w: Any, axes: int) -> tuple[Tensor, Tensor]:
    t, weight = lift([x, w])
    if t.ndim != axes + 2 or weight.ndim != axes + 2:
        raise InvalidArgument(
            f"{name} expects input (n, c, ...) and weight with {axes} axes of positions each, "
            f"got {t.shape} and {weight.shape}"
        )
    return t, weight


def _flat(t: Tensor) -> Tensor:
    return reshape(t, (*t.shape[:2], 1, t.shape[2]))
