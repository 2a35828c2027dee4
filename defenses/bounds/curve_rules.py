"""Rules of functions of each value, and of the largest of some."""

from __future__ import annotations

from typing import Any

import numpy as np

from armour.defenses.bounds.curves import Curve, Rectifier
from armour.defenses.bounds.rules import LAYER_RULES, OP_RULES, Builder, Operand, only, refuse
from armour.defenses.bounds.smooth import sigmoid_curve, tanh_curve
from armour.defenses.bounds.steps import Curved, Largest
from armour.tensor.graph import Node
from armour.tensor.padding import sizes


def _curved(build: Builder, node: Node, operands: list[Any], curve: Curve) -> Operand:
    at = only(node, operands)
    return build.add(Curved(name=node.name, shape=build.shape(at), parents=(at,), curve=curve))


@LAYER_RULES.register("ReLU")
@OP_RULES.register("relu")
def relu(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """Zero below zero."""
    return _curved(build, node, operands, Rectifier())


def _max_pool(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """The largest value of each window; windows may overlap, and padding never wins."""
    layer, at = build.layer(node), only(node, operands)
    axes = build.shape(at)[1:]
    kernel, stride, padding = (
        sizes(name, getattr(layer, name), len(axes), 0) for name in ("kernel_size", "stride", "padding")
    )
    return _windows(build, node, at, kernel, stride, padding, layer.ceil_mode)


for _name in ("MaxPool1d", "MaxPool2d", "MaxPool3d"):
    LAYER_RULES.register(_name)(_max_pool)


@OP_RULES.register("max_pool2d")
def max_pool_row(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """The row that the layer calls."""
    at = only(node, operands)
    return _windows(build, node, at, node.attrs["kernel"], node.attrs["stride"], (0, 0), False)


def _global_max(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """The largest value of each channel."""
    at = only(node, operands)
    channels, *axes = build.shape(at)
    places = np.arange(channels * int(np.prod(axes))).reshape(channels, -1)
    return build.add(Largest(name=node.name, shape=(channels,), parents=(at,), windows=places))


for _name in ("GlobalMaxPool1d", "GlobalMaxPool2d", "GlobalMaxPool3d"):
    LAYER_RULES.register(_name)(_global_max)


def _windows(
    build: Builder, node: Node, at: int, kernel: Any, stride: Any, padding: Any, ceil_mode: bool
) -> Operand:
    channels, *lengths = build.shape(at)
    places = np.zeros((1, 1), np.intp)  # (outputs, places of a window) so far, -1 for none
    out = [channels]
    for length, k, s, p in zip(lengths, kernel, stride, padding, strict=True):
        room = length + 2 * p - k
        number = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (number - 1) * s >= length + p:
            number -= 1  # it would see padding alone
        along = np.arange(number)[:, None] * s - p + np.arange(k)
        along = np.where((along >= 0) & (along < length), along, -1)
        outer = places[:, None, :, None] * length + along[None, :, None, :]
        missing = (places[:, None, :, None] < 0) | (along[None, :, None, :] < 0)
        outer = np.where(missing, -1, outer)
        places = outer.reshape(len(places) * number, -1)
        out.append(number)
    plane = int(np.prod(lengths))
    shifted = places + np.arange(channels)[:, None, None] * plane
    windows = np.where(places < 0, -1, shifted).reshape(-1, places.shape[1])
    return build.add(Largest(name=node.name, shape=tuple(out), parents=(at,), windows=windows))


@LAYER_RULES.register("LeakyReLU")
@OP_RULES.register("leaky_relu")
def leaky_relu(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """A part of the value below zero."""
    leak = float(build.layer(node).slope if node.kind == "layer" else node.attrs["slope"])
    if not 0 <= leak < 1:
        raise refuse(node, f"expected a slope in [0, 1), got {leak:g}")
    return _curved(build, node, operands, Rectifier(leak))


@LAYER_RULES.register("Sigmoid")
@OP_RULES.register("sigmoid")
def sigmoid(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """The logistic function."""
    return _curved(build, node, operands, sigmoid_curve())


@LAYER_RULES.register("Tanh")
@OP_RULES.register("tanh")
def tanh(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """The hyperbolic tangent."""
    return _curved(build, node, operands, tanh_curve())
