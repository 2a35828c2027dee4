"""Shapes of the layers that cost most, so that a network can be recorded without computing it."""

from __future__ import annotations

from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.core import Tensor, wrap
from armour.tensor.layers import Layer
from armour.tensor.padding import margins

HOLLOW = frozenset(("Conv1d", "Conv2d", "Conv3d", "Linear"))
"""Layers whose output has a known shape and may be any numbers while shapes alone are asked for."""


def hollow(layer: Layer, x: Tensor) -> Tensor:
    """Zeros in the shape of layer(x), without memory; InvalidArgument if the layer does not take x."""
    shape = _linear(layer, x.shape) if type(layer).__name__ == "Linear" else _conv(layer, x.shape)
    return wrap(np.broadcast_to(np.zeros((), x.dtype), shape))


def _linear(layer: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    if not shape or shape[-1] != layer.in_features:
        raise InvalidArgument(f"Linear expects (..., {layer.in_features}), got {shape}")
    return (*shape[:-1], layer.out_features)


def _conv(layer: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    axes = len(layer.kernel_size)
    if len(shape) != axes + 2 or shape[1] != layer.in_channels:
        raise InvalidArgument(
            f"{type(layer).__name__} expects {layer.in_channels} channels and {axes} axes, got {shape}"
        )
    around = margins(layer.padding, layer.kernel_size, layer.stride, layer.dilation)
    settings = zip(shape[2:], around, layer.kernel_size, layer.stride, layer.dilation, strict=True)
    out = [(n + a + b - d * (k - 1) - 1) // s + 1 for n, (a, b), k, s, d in settings]
    if min(out) < 1:
        raise InvalidArgument(f"{type(layer).__name__} has a kernel larger than its input {shape}")
    return (shape[0], layer.out_channels, *out)
