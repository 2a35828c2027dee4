"""Lengths and dtypes of all values of a graph, found by running it on zeros that take no memory.

Layers that would cost work have their output's shape stated here; all others, and rows, run as they are. A
length is known for every batch size from runs with two of them, and held against a third.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from armour.errors import ArmourError, InvalidArgument, UnsupportedError
from armour.formats.onnx.export_values import Size, Value
from armour.tensor import nn
from armour.tensor.batching import for_batch, has_batch
from armour.tensor.core import Tensor, lift, no_grad
from armour.tensor.graph import Graph, Node
from armour.tensor.graph_module import GraphModule
from armour.tensor.op import OPS
from armour.tensor.padding import margins

Known = tuple[tuple[int, ...], np.dtype[Any]]
LIKE = (
    *("ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Sigmoid", "Tanh", "Softplus", "Softmax", "LogSoftmax"),
    *("Hardtanh", "ReLU6", "Hardsigmoid", "Hardswish", "SELU", "CELU", "Mish", "Softsign", "LogSigmoid"),
    *("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LayerNorm", "GroupNorm", "InstanceNorm1d"),
    *("InstanceNorm2d", "InstanceNorm3d", "RMSNorm", "LocalResponseNorm", "Dropout", "Identity"),
    "PositionalEncoding",
)
# Rows that refuse matrices of zeros, and give what they take.
ROWS_LIKE = {"inv": 0, "cholesky": 0, "solve": 1}


def values(graph: Graph, module: GraphModule, batch: int | None) -> dict[str, Value]:
    """Every value of the graph by its name there. batch: the one size of the batch, or None for any.

    Raises UnsupportedError if a length is no whole multiple of the batch plus a constant.
    """
    if batch is not None or not any(None in given.shape for given in graph.inputs):
        once = _run(graph, module, batch or 1)
        return {
            name: Value(name, dtype, tuple(Size(0, n) for n in shape))
            for name, (shape, dtype) in once.items()
        }
    small, large = _run(graph, module, 2), _run(graph, module, 3)
    found = {name: _between(name, small[name], large[name]) for name in small}
    for name, (shape, _) in _run(graph, module, 7).items():
        if shape != tuple(7 * size.per + size.plus for size in found[name].sizes):
            raise UnsupportedError(
                f"{name!r} has shape {shape} for a batch of 7, which does not follow from smaller "
                "batches; state batch= to write the network for one size of the batch"
            )
    return found


def _between(name: str, small: Known, large: Known) -> Value:
    sizes = []
    if len(small[0]) != len(large[0]) or small[1] != large[1]:
        raise UnsupportedError(f"{name!r} has another number of axes or dtype for another batch")
    for two, three in zip(small[0], large[0], strict=True):
        sizes.append(Size(three - two, 3 * two - 2 * three))
    return Value(name, small[1], tuple(sizes))


def _run(graph: Graph, module: GraphModule, n: int) -> dict[str, Known]:
    known: dict[str, Known] = {}
    operands: dict[str, Tensor] = {}
    members = dict(module.members())

    def know(name: str, shape: tuple[int, ...], dtype: Any) -> None:
        known[name] = (shape, np.dtype(dtype))
        operands[name] = zeros(shape, dtype)

    for given in graph.inputs:
        know(given.name, tuple(n if d is None else d for d in given.shape), given.dtype)
    for weight in graph.weights:
        know(weight.name, weight.shape, members[weight.name].dtype)
    for constant in graph.constants:
        known[constant.name] = (constant.value.shape, constant.value.dtype)
        operands[constant.name] = Tensor(constant.value)
    with no_grad(), np.errstate(all="ignore"):
        for node in graph.nodes:
            inputs = [operands[v] if isinstance(v, str) else v for v in node.inputs]
            layer = members[node.path] if node.kind == "layer" else None
            try:
                know(node.name, *_output(node, layer, inputs, n))
            except (ArmourError, ValueError, TypeError, LookupError) as error:
                raise InvalidArgument(f"at node {node.name!r} ({node.type}): {error}") from error
    return known


def zeros(shape: tuple[int, ...], dtype: Any) -> Tensor:
    """Zeros of any size, without memory."""
    return Tensor(np.broadcast_to(np.zeros((), dtype), shape))


def _output(node: Node, layer: Any, inputs: list[Any], n: int) -> Known:
    if node.kind == "layer":
        rule = _RULES.get(node.type)
        if rule is not None:
            return rule(layer, inputs[0].shape), _floating(inputs[0], layer)
        return _known(layer(*inputs))
    if node.type in ROWS_LIKE:
        like = inputs[ROWS_LIKE[node.type]]
        return like.shape, like.dtype
    return _known(OPS[node.type](*inputs, **{key: for_batch(v, n) for key, v in node.attrs.items()}))


def settled(graph: Graph, batch: int | None) -> Graph:
    """The graph with attributes that grow with the batch as numbers, if there is one size of it."""
    if batch is None or not any(has_batch(v) for node in graph.nodes for v in node.attrs.values()):
        return graph
    nodes = (
        replace(node, attrs={key: for_batch(v, batch) for key, v in node.attrs.items()})
        for node in graph.nodes
    )
    return replace(graph, nodes=tuple(nodes))


def _known(out: Any) -> Known:
    if not isinstance(out, Tensor):
        raise UnsupportedError(f"a step gave {type(out).__name__}, not a tensor")
    return tuple(out.shape), out.dtype


def _floating(x: Tensor, layer: Any) -> np.dtype[Any]:
    """Of these layers' outputs: the widest of the input's and the weights' floating dtypes."""
    kinds = [t.dtype for _, t in layer.named_tensors() if t.dtype.kind == "f"]
    own = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
    if isinstance(layer, (nn.Identity, nn.Dropout)):
        return x.dtype
    return np.result_type(own, *kinds)


def number(value: float, beside: Mapping[int, Value], place: int, count: int) -> np.dtype[Any]:
    """The dtype that a number among a row's inputs takes, from those beside it."""
    given: list[Any] = [value] * count
    for i, other in beside.items():
        given[i] = zeros((1,) * other.ndim, other.dtype)
    return lift(given)[place].dtype


# -- layers whose work is spared ----------------


def _conv(layer: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    around = margins(layer.padding, kernel, stride, dilation)
    out = tuple(
        (n + a + b - d * (k - 1) - 1) // s + 1
        for n, (a, b), k, s, d in zip(shape[2:], around, kernel, stride, dilation, strict=True)
    )
    if shape[1] != layer.in_channels or min(out) < 1:
        raise InvalidArgument(f"a convolution of {layer.in_channels} channels does not fit {shape}")
    return (shape[0], layer.out_channels, *out)


def _linear(layer: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    if shape[-1] != layer.in_features:
        raise InvalidArgument(f"a linear layer of {layer.in_features} features does not fit {shape}")
    return (*shape[:-1], layer.out_features)


def _recurrent(layer: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:2], layer.hidden_size * (2 if layer.bidirectional else 1))


def _transposed(layer: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    settings = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.output_padding)
    out = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + more + 1
        for n, k, s, p, d, more in zip(shape[2:], *settings, strict=True)
    )
    return (shape[0], layer.out_channels, *out)


def _flat(layer: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    start = layer.start_axis % len(shape)
    return (*shape[:start], math.prod(shape[start:]))


_RULES: dict[str, Callable[[Any, tuple[int, ...]], tuple[int, ...]]] = {
    **dict.fromkeys(LIKE, lambda layer, shape: shape),
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d"), _conv),
    **dict.fromkeys(("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"), _transposed),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    "Linear": _linear,
    "Flatten": _flat,
    "GlobalAvgPool2d": lambda layer, shape: shape[:2],
}
