"""Folding batch normalisation into the convolution or linear layer before it, for evaluation."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.graph import Node
from armour.tensor.graph_module import GraphModule

_PAIRS = {("Conv2d", "BatchNorm2d"), ("Linear", "BatchNorm1d")}


def fold(module: GraphModule) -> GraphModule:
    """The same function in evaluation mode, without the batch norms that follow a Conv2d or Linear.

    The result is in evaluation mode and has weights of its own: fold again after training. Batch norms
    elsewhere stay. A layer called twice, and one whose output others use too, is left as it is.
    """
    if not isinstance(module, GraphModule):
        raise InvalidArgument(
            f"expected a GraphModule, got {type(module).__name__}; make one from trace(module, input_shape)"
        )
    graph, state = module.graph, module.state_dict()
    uses = Counter(name for node in graph.nodes for name in node.inputs if isinstance(name, str))
    uses.update(graph.outputs)
    calls = Counter(node.path for node in graph.nodes if node.kind == "layer")
    makers = {node.name: node for node in graph.nodes}
    folded: dict[str, Node] = {}  # the layer's node name -> its new node
    renamed: dict[str, str] = {}  # the norm's name -> the layer's
    for norm in graph.nodes:
        layer = makers.get(str(norm.inputs[0]))
        if (
            layer is None
            or (layer.type, norm.type) not in _PAIRS
            or (layer.kind, norm.kind) != ("layer", "layer")
            or uses[layer.name] != 1
            or calls[layer.path] != 1
            or calls[norm.path] != 1
        ):
            continue
        _scale(state, layer.path, norm.path, float(norm.attrs.get("eps", 1e-5)))
        folded[layer.name] = replace(layer, attrs=layer.attrs | {"bias": True})
        renamed[norm.name] = layer.name
    nodes = tuple(
        replace(folded.get(node.name, node), inputs=tuple(renamed.get(str(v), v) for v in node.inputs))
        for node in graph.nodes
        if node.name not in renamed
    )
    outputs = tuple(renamed.get(name, name) for name in graph.outputs)
    result = GraphModule(replace(graph, nodes=nodes, outputs=outputs))
    result.load_state_dict(state)
    return result.eval()


def _scale(state: dict[str, np.ndarray], layer: str, norm: str, eps: float) -> None:
    """Change the layer's weights in `state` and take the norm's out; in float64, to round only once."""
    wide = {key: state.pop(f"{norm}.{key}").astype(np.float64) for key in ("weight", "bias")}
    mean = state.pop(f"{norm}.running_mean").astype(np.float64)
    var = state.pop(f"{norm}.running_var").astype(np.float64)
    scale = wide["weight"] / np.sqrt(var + eps)
    weight = state[f"{layer}.weight"]
    bias = state.get(f"{layer}.bias", np.zeros(len(weight), weight.dtype))
    column = scale.reshape(-1, *(1,) * (weight.ndim - 1))
    state[f"{layer}.weight"] = (weight * column).astype(weight.dtype)
    state[f"{layer}.bias"] = ((bias - mean) * scale + wide["bias"]).astype(weight.dtype)
