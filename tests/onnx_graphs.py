"""Small ONNX models made by hand, and one way to run them with gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from armour.formats.onnx.interpreter import Interpreter
from armour.formats.onnx.proto import read
from armour.tensor import Tensor

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def node(op: str, inputs: str, outputs: str, domain: str = "", **attrs: Any) -> Any:
    """A node; names are separated by blanks, "_" leaves one out."""
    names = [["" if n == "_" else n for n in names.split()] for names in (inputs, outputs)]
    return helper.make_node(op, names[0], names[1], domain=domain, **attrs)


def model(
    nodes: Sequence[Any],
    inputs: str,
    outputs: str,
    opset: int = 17,
    *,
    weights: dict[str, np.ndarray] | None = None,
    functions: Sequence[Any] = (),
    domains: Sequence[str] = (),
) -> bytes:
    """A file with these nodes; values have no stated shape."""
    values = [[helper.make_tensor_value_info(n, FLOAT, None) for n in s.split()] for s in (inputs, outputs)]
    made = [numpy_helper.from_array(np.asarray(a), name) for name, a in (weights or {}).items()]
    graph = helper.make_graph(list(nodes), "g", values[0], values[1], made)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=list(functions))
    raw: bytes = proto.SerializeToString()
    return raw


def differentiable(raw: bytes, **fixed: np.ndarray) -> Any:
    """x -> the model's first output, with gradients; `fixed` are values of its other inputs."""
    parsed = read(raw)
    first = next(name for name, _, _ in parsed.graph.inputs if name not in fixed)

    def run(x: Tensor) -> Tensor:
        out = Interpreter(parsed)({first: x, **fixed})[0]
        assert isinstance(out, Tensor)
        return out

    return run
