"""Rows of the op table for convolution: each other's derivatives, so that any order of derivative works."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from armour.checks import describe
from armour.errors import InvalidArgument
from armour.tensor.backend import Array, Namespace
from armour.tensor.core import Tensor, lift
from armour.tensor.kernels import numpy_kernels as kernels
from armour.tensor.op import Case, Op, op
from armour.tensor.padding import margins, padded

Pair = tuple[int, int]


def pair(name: str, value: int | Sequence[int], at_least: int) -> Pair:
    """(vertical, horizontal) from one number for both or a pair; raises InvalidArgument."""
    both = (value, value) if isinstance(value, int) else tuple(value)
    if len(both) != 2 or not all(int(v) == v and v >= at_least for v in both):
        raise InvalidArgument(
            f"expected one or two whole numbers at or above {at_least}, got {describe(name, value)}"
        )
    return int(both[0]), int(both[1])


def _attrs(stride: Any, padding: Any, dilation: Any, groups: int) -> dict[str, Any]:
    return {
        "stride": pair("stride", stride, 1),
        "padding": pair("padding", padding, 0),
        "dilation": pair("dilation", dilation, 1),
        "groups": groups,
    }


def _forward(
    xp: Namespace,
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    _check(x.shape, w.shape, stride, padding, dilation, groups)
    return kernels.conv2d(xp, x, w, b, stride, padding, dilation, groups)


def _check(
    x: tuple[int, ...], w: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> None:
    if len(x) != 4 or len(w) != 4:
        raise InvalidArgument(
            f"conv2d expects input (n, c, h, w) and weight (o, c / groups, kh, kw), got {x} and {w}"
        )
    if groups < 1 or x[1] != w[1] * groups or w[0] % groups:
        raise InvalidArgument(
            f"conv2d expects {w[1]} * groups input channels and output channels divisible by groups, "
            f"got input {x}, weight {w}, groups={groups}"
        )
    for i in (0, 1):
        if kernels.out_size(x[2 + i], w[2 + i], stride[i], padding[i], dilation[i]) < 1:
            raise InvalidArgument(
                f"the kernel {w[2:]} with dilation {dilation} is larger than the padded input "
                f"{x[2:]} + 2 * {padding}"
            )


def _x_vjp(g: Tensor, y: Tensor, x: Tensor, w: Tensor, b: Tensor | None = None, **attrs: Any) -> Tensor:
    return conv2d_input_grad(g, w, size=x.shape[2:], **attrs)


def _w_vjp(g: Tensor, y: Tensor, x: Tensor, w: Tensor, b: Tensor | None = None, **attrs: Any) -> Tensor:
    return conv2d_weight_grad(x, g, kernel=w.shape[2:], **attrs)


def _b_vjp(g: Tensor, y: Tensor, x: Tensor, w: Tensor, b: Tensor, **attrs: Any) -> Tensor:
    return g.sum(axis=(0, 2, 3))


BASIC: dict[str, Any] = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
OTHER: dict[str, Any] = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}
DEPTHWISE: dict[str, Any] = {"stride": (2, 3), "padding": (1, 2), "dilation": (3, 2), "groups": 3}

_conv2d: Op = op(
    "conv2d",
    _forward,
    (_x_vjp, _w_vjp, _b_vjp),
    cases=(
        Case(((2, 3, 5, 4), (4, 3, 3, 3), (4,)), BASIC),
        Case(((2, 4, 6, 7), (6, 2, 3, 2)), OTHER),
        Case(((2, 3, 4, 4), (5, 3, 1, 1)), BASIC | {"padding": (0, 0)}),
        Case(((0, 3, 5, 4), (4, 3, 3, 3)), BASIC),
        Case(((2, 3, 5, 4), (3, 1, 3, 3), (3,)), BASIC | {"groups": 3}),
        Case(((2, 3, 9, 8), (3, 1, 3, 2)), DEPTHWISE),
    ),
)
conv2d_input_grad: Op = op(
    "conv2d_input_grad",
    kernels.conv2d_input_grad,
    (
        lambda gg, y, g, w, size, **attrs: _conv2d(gg, w, **attrs),
        lambda gg, y, g, w, size, **attrs: conv2d_weight_grad(gg, g, kernel=w.shape[2:], **attrs),
    ),
    cases=(
        Case(((2, 4, 5, 4), (4, 3, 3, 3)), BASIC | {"size": (5, 4)}),
        Case(((2, 6, 3, 5), (6, 2, 3, 2)), OTHER | {"size": (6, 7)}),
        Case(((0, 4, 5, 4), (4, 3, 3, 3)), BASIC | {"size": (5, 4)}),
        Case(((2, 3, 5, 4), (3, 1, 3, 3)), BASIC | {"groups": 3, "size": (5, 4)}),
        Case(((2, 3, 3, 4), (3, 1, 3, 2)), DEPTHWISE | {"size": (9, 8)}),
    ),
)
conv2d_weight_grad: Op = op(
    "conv2d_weight_grad",
    kernels.conv2d_weight_grad,
    (
        lambda gg, y, x, g, kernel, **attrs: conv2d_input_grad(g, gg, size=x.shape[2:], **attrs),
        lambda gg, y, x, g, kernel, **attrs: _conv2d(x, gg, **attrs),
    ),
    cases=(
        Case(((2, 3, 5, 4), (2, 4, 5, 4)), BASIC | {"kernel": (3, 3)}),
        Case(((2, 4, 6, 7), (2, 6, 3, 5)), OTHER | {"kernel": (3, 2)}),
        Case(((0, 3, 5, 4), (0, 4, 5, 4)), BASIC | {"kernel": (3, 3)}),
        Case(((2, 3, 5, 4), (2, 3, 5, 4)), BASIC | {"groups": 3, "kernel": (3, 3)}),
        Case(((2, 3, 9, 8), (2, 3, 3, 4)), DEPTHWISE | {"kernel": (3, 2)}),
    ),
)


def conv2d(
    x: Any,
    w: Any,
    b: Any = None,
    stride: int | Sequence[int] = 1,
    padding: Any = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of x (n, c, h, w) with w (o, c / groups, kh, kw), plus b (o,); -> (n, o, oh, ow).

    stride, padding (zeros on both sides), dilation: one number or (vertical, horizontal). padding may also be
    ((top, bottom), (left, right)), "valid" for none, or "same" for output of the input's size (stride 1; of
    an odd number of zeros the larger half comes after, as in PyTorch). Raises InvalidArgument if the shapes
    do not fit.
    """
    if not isinstance(padding, int) and not all(isinstance(p, int) for p in padding):
        x, w = lift([x, w])
        window = pair("stride", stride, 1), pair("dilation", dilation, 1)
        x, padding = padded(x, margins(padding, w.shape[2:], *window))
    attrs = _attrs(stride, padding, dilation, groups)
    return _conv2d(x, w, **attrs) if b is None else _conv2d(x, w, b, **attrs)
