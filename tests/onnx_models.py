"""Small ONNX models made by hand, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def make(
    nodes: Sequence[Any],
    inputs: Mapping[str, Sequence[Any]],
    outputs: Mapping[str, Sequence[Any]],
    weights: Mapping[str, np.ndarray] | None = None,
    *,
    opset: int = 17,
    dtypes: Mapping[str, int] | None = None,
    functions: Sequence[Any] = (),
    domains: Sequence[str] = (),
) -> Any:
    """A ModelProto: names with shapes for inputs and outputs, arrays for weights."""
    kinds = dtypes or {}

    def value(name: str, shape: Sequence[Any]) -> Any:
        return helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), list(shape))

    graph = helper.make_graph(
        list(nodes),
        "graph",
        [value(n, s) for n, s in inputs.items()],
        [value(n, s) for n, s in outputs.items()],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=8)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attrs: Any) -> Any:
    """A NodeProto."""
    return helper.make_node(op, list(inputs), list(outputs), **attrs)


def write(model: Any, path: Path) -> Path:
    """Save without any check of onnx's own."""
    path.write_bytes(model.SerializeToString())
    return path


def arrays(seed: int = 0, **shapes: Sequence[int]) -> dict[str, np.ndarray]:
    """Random float32 weights by name and shape."""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(tuple(shape)).astype(np.float32) for name, shape in shapes.items()}


def conv_net(seed: int = 0, batch: Any = "n", classes: int = 5, opset: int = 17, end: str = "") -> Any:
    """conv, relu, max pool, flatten, gemm of (batch, 2, 8, 8), with an operator at its end if asked."""
    w = arrays(
        seed,
        **{
            "conv1.weight": (4, 2, 3, 3),
            "conv1.bias": (4,),
            "fc.weight": (classes, 64),
            "fc.bias": (classes,),
        },
    )
    w["fc.weight"] *= 0.2
    last = "scores" if end else "out"
    nodes = [
        node("Conv", ["x", "conv1.weight", "conv1.bias"], ["c"], name="/conv1/Conv", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"], name="/act/Relu"),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "fc.weight", "fc.bias"], [last], transB=1),
    ]
    if end:
        nodes.append(node(end, ["scores"], ["out"]))
    return make(nodes, {"x": (batch, 2, 8, 8)}, {"out": (batch, classes)}, w, opset=opset)
