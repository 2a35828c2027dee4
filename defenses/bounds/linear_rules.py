"""Rules of layers and rows that are linear in the input: products, convolutions, normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from armour.defenses.bounds.maps import Conv, Dense, LinearMap, Move, Scale, Weighted
from armour.defenses.bounds.rules import LAYER_RULES, OP_RULES, Builder, Operand, only, refuse
from armour.tensor import convnd, pad
from armour.tensor.core import Tensor
from armour.tensor.graph import Node
from armour.tensor.padding import margins


@LAYER_RULES.register("Linear")
def linear(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """x W' + b along the last axis."""
    layer = build.layer(node)
    return _dense(build, node, operands, layer.weight, layer.bias)


@OP_RULES.register("linear")
def linear_row(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """The row that the layer calls."""
    x, weight, bias = (*operands, None)[:3]
    return _dense(build, node, [x], weight, bias, operands[1:])


@OP_RULES.register("matmul")
def matmul(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """x @ W for a matrix W."""
    at, weight = only(node, operands), operands[1]
    if weight.ndim != 2:
        raise refuse(node, f"expected a matrix on the right, got shape {weight.shape}")
    return build.affine(node.name, [at], [Dense(weight.T)])


@LAYER_RULES.register("Conv2d")
def conv2d(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """Cross-correlation; padding that is not the same on both sides becomes a step of its own."""
    layer, at = build.layer(node), only(node, operands)
    kept = {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups}
    padding = layer.padding
    if not all(isinstance(p, int) for p in padding):
        around = ((0, 0), (0, 0), *margins(padding, layer.weight.shape[2:], layer.stride, layer.dilation))
        padded = Move(lambda x: pad(x, around, 0.0), build.shape(at))
        at, padding = build.affine(f"{node.name}, padding", [at], [padded]), (0, 0)
    return _conv(build, node, at, layer.weight, layer.bias, kept | {"padding": padding})


@OP_RULES.register("conv2d")
def conv2d_row(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """The row that the layer calls."""
    _x, weight, bias = (*operands, None)[:3]
    return _conv(build, node, only(node, operands), weight, bias, node.attrs)


def _conv(build: Builder, node: Node, at: int, weight: Any, bias: Any, settings: dict[str, Any]) -> Operand:
    height, width = build.shape(at)[1:]
    found = Conv(build.constant(weight), settings, (height, width))
    offset = None if bias is None else build.constant(bias).reshape(1, -1, 1, 1)
    return build.affine(node.name, [at], [found], offset)


_CONVOLUTIONS: dict[str, Callable[..., Tensor]] = {
    "Conv1d": convnd.conv1d,
    "Conv3d": convnd.conv3d,
    "ConvTranspose1d": convnd.conv_transpose1d,
    "ConvTranspose2d": convnd.conv_transpose2d,
    "ConvTranspose3d": convnd.conv_transpose3d,
}


def _other_conv(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """Convolutions along one and three axes, and transposed ones."""
    layer, at, function = build.layer(node), only(node, operands), _CONVOLUTIONS[node.type]
    settings = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    settings |= {"groups": layer.groups}
    if layer.transposed:
        settings["output_padding"] = layer.output_padding
    weight = build.constant(layer.weight)
    found = Weighted(
        lambda x, w: function(x, w, None, **settings), weight, build.shape(at), int(np.prod(weight.shape))
    )
    axes = (1,) * (weight.ndim - 2)
    offset = None if layer.bias is None else build.constant(layer.bias).reshape(1, -1, *axes)
    return build.affine(node.name, [at], [found], offset)


for _name in _CONVOLUTIONS:
    LAYER_RULES.register(_name)(_other_conv)


def _batch_norm(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """In evaluation mode: a scale and a shift of each channel."""
    layer, at = build.layer(node), only(node, operands)
    parts = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    return _normalised(build, node, at, *parts, eps=layer.eps)


for _name in ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"):
    LAYER_RULES.register(_name)(_batch_norm)


@OP_RULES.register("batch_norm_eval")
def batch_norm_row(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """The row that the layer calls."""
    return _normalised(build, node, only(node, operands), *operands[1:], **node.attrs)


def _normalised(
    build: Builder, node: Node, at: int, weight: Any, bias: Any, mean: Any, var: Any, eps: float
) -> Operand:
    weight, bias, mean, var = (build.constant(t) for t in (weight, bias, mean, var))
    scale = weight / (var + eps).sqrt()
    shift = bias - mean * scale
    axes = (1,) * (len(build.shape(at)) - 1)
    by, offset = (t.reshape(1, -1, *axes) for t in (scale, shift))
    return build.affine(node.name, [at], [Scale(by)], offset)


def _dense(
    build: Builder, node: Node, operands: list[Any], weight: Any, bias: Any, rest: Any = ()
) -> Operand:
    at = only(node, [operands[0], *rest])
    offset = None if bias is None else build.constant(bias).reshape(1, -1)
    found: LinearMap = Dense(build.constant(weight))
    return build.affine(node.name, [at], [found], offset)
