"""Layers without an operator of their own: written as the rows that they are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from armour.errors import UnsupportedError
from armour.formats.onnx.export_shapes import settled, values
from armour.formats.onnx.export_values import Step
from armour.formats.onnx.export_writer import Writer
from armour.tensor import ir, nn
from armour.tensor.core import Tensor


class _Inside(nn.Module):
    """A leaf layer's own computation, so that it is recorded row by row."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def forward(self, *inputs: Tensor) -> Any:
        return self.layer.forward(*inputs)


def expand(w: Writer, step: Step) -> str:
    """The layer's rows, in place of the layer."""
    from armour.formats.onnx.export_graph import emit

    if any(size.per != (i == 0) for value in step.inputs for i, size in enumerate(value.sizes)) and any(
        size.per for value in step.inputs for size in value.sizes
    ):
        raise UnsupportedError(f"{step.node.type} with a batch that is not the first axis")
    shapes = [tuple(size.plus for size in value.sizes[1:]) for value in step.inputs]
    dtype = step.x.dtype.name
    fixed = None if step.x.sizes[0].per else step.x.sizes[0].plus
    with np.errstate(all="ignore"):
        graph = settled(ir.trace(_Inside(step.layer).eval(), shapes, dtype=dtype), fixed)
    module = ir.GraphModule(graph)
    state = {f"layer.{name}": tensor.data for name, tensor in step.layer.named_tensors()}
    module.load_state_dict(state)
    known = values(graph, module, fixed)
    feeds = {given.name: value for given, value in zip(graph.inputs, step.inputs, strict=True)}
    (found,) = emit(
        w,
        graph,
        module,
        known,
        feeds,
        weights=lambda name: step.weight(name.removeprefix("layer.")),
        scope=lambda name: f"{step.out.name}/{name}",
    )
    return found.name
