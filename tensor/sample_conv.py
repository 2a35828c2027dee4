"""Per-sample gradients of convolutions, and the rows of the op table they are made by."""

from __future__ import annotations

from typing import Any

from armour.tensor import conv
from armour.tensor.core import Tensor
from armour.tensor.kernels import sample_kernels as kernels
from armour.tensor.layers import Conv2d
from armour.tensor.op import OPS, Case, Op, op
from armour.tensor.padding import margins, padded
from armour.tensor.sample_grads import Dense, SampleGrad, grad_sampler, prefers_gram
from armour.tensor.shape import broadcast_to, reshape


def _x_vjp(gg: Tensor, y: Tensor, x: Tensor, g: Tensor, kernel: Any, groups: int, **attrs: Any) -> Tensor:
    # Samples with weights of their own are groups of channels of one sample.
    n = x.shape[0]
    if not n:
        return x * 0.0
    merged = conv.conv2d_input_grad(
        _merged(g), _merged_weights(gg), size=x.shape[2:], groups=n * groups, **attrs
    )
    return reshape(merged, x.shape)


def _g_vjp(gg: Tensor, y: Tensor, x: Tensor, g: Tensor, kernel: Any, groups: int, **attrs: Any) -> Tensor:
    n = x.shape[0]
    if not n:
        return g * 0.0
    return reshape(OPS["conv2d"](_merged(x), _merged_weights(gg), groups=n * groups, **attrs), g.shape)


def _merged(t: Tensor) -> Tensor:
    n, c, *size = t.shape
    return reshape(t, (1, n * c, *size))


def _merged_weights(w: Tensor) -> Tensor:
    n, o, *rest = w.shape
    return reshape(w, (n * o, *rest))


def _twice(gg: Tensor, x: Tensor, g: Tensor, attrs: dict[str, Any]) -> Tensor:
    return conv2d_sample_grad(x, g, **attrs) * reshape(gg * 2.0, (-1, 1, 1, 1, 1))


CASES = (
    Case(((2, 3, 5, 4), (2, 4, 5, 4)), conv.BASIC | {"kernel": (3, 3)}),
    Case(((2, 1, 5, 6), (2, 2, 5, 6)), conv.BASIC | {"kernel": (3, 3)}),
    Case(((2, 4, 6, 7), (2, 6, 3, 5)), conv.OTHER | {"kernel": (3, 2)}),
    Case(((0, 3, 5, 4), (0, 4, 5, 4)), conv.BASIC | {"kernel": (3, 3)}),
)
conv2d_sample_grad: Op = op("conv2d_sample_grad", kernels.conv2d_sample_grad, (_x_vjp, _g_vjp), cases=CASES)
conv2d_sample_square: Op = op(
    "conv2d_sample_square",
    kernels.conv2d_sample_square,
    (
        lambda gg, y, x, g, **attrs: _x_vjp(_twice(gg, x, g, attrs), y, x, g, **attrs),
        lambda gg, y, x, g, **attrs: _g_vjp(_twice(gg, x, g, attrs), y, x, g, **attrs),
    ),
    cases=CASES,
)


sum_places: Op = op(
    "sum_places",
    kernels.sum_places,
    (lambda g, y, x: broadcast_to(reshape(g, (*g.shape, *(1,) * (x.ndim - 2))), x.shape),),
    cases=(Case(((2, 3, 4, 5),)), Case(((2, 3, 4),)), Case(((2, 3),)), Case(((0, 3, 2, 2),))),
)


class Convolved(SampleGrad):
    """Gradients of a convolution's weight. x: (n, c, h, w) its input; g: (n, o, oh, ow); attrs: the row's."""

    def __init__(self, x: Tensor, g: Tensor, kernel: tuple[int, int], attrs: dict[str, Any]) -> None:
        self._x, self._g, self._attrs = x, g, attrs | {"kernel": kernel}
        places = g.shape[2] * g.shape[3]
        window = x.shape[1] // attrs["groups"] * kernel[0] * kernel[1]
        # With groups there is a pair of Gram matrices for each.
        self._ghost = prefers_gram(places, g.shape[1] * window // attrs["groups"])

    def _dense(self) -> Tensor:
        return conv2d_sample_grad(self._x, self._g, **self._attrs)

    def square_norms(self) -> Tensor:
        """By Gram matrices of the places of the image, or from the gradients if those are smaller."""
        if self._ghost:
            return conv2d_sample_square(self._x, self._g, **self._attrs)
        return Dense(self.dense).square_norms()

    def weighted(self, weights: Tensor) -> Tensor:
        """The weight gradient of weighted output gradients, or a sum of gradients that are in memory."""
        if self._ghost:
            return conv.conv2d_weight_grad(self._x, self._g * reshape(weights, (-1, 1, 1, 1)), **self._attrs)
        return Dense(self.dense).weighted(weights)


@grad_sampler(Conv2d)
def conv2d(layer: Conv2d, x: Tensor, g: Tensor) -> dict[str, SampleGrad]:
    """x (n, c, h, w), g (n, o, oh, ow), with any stride, padding, dilation and groups."""
    x, both = padded(x, margins(layer.padding, layer.kernel_size, layer.stride, layer.dilation))
    attrs = {
        "stride": layer.stride,
        "padding": both,
        "dilation": layer.dilation,
        "groups": layer.groups,
    }
    parts: dict[str, SampleGrad] = {"weight": Convolved(x, g, layer.kernel_size, attrs)}
    if layer.bias is not None:
        parts["bias"] = Dense(sum_places(g))
    return parts
