"""Writing networks as ONNX: what runs elsewhere, and comes back with its bounds, classes and provenance.

The file takes inputs in the user's units: normalisation is part of the graph. Weights are initialisers with
the names that they have in the network, and metadata_props hold what `armour.load` would have to ask for.
Equal models give equal bytes. Nothing is written before the whole graph is known to be expressible and has
passed onnx.checker with shape inference.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from armour.checks import count, describe
from armour.errors import InvalidArgument, UnsupportedError
from armour.files import atomic_write, check_writable
from armour.formats.onnx.export_graph import emit
from armour.formats.onnx.export_shapes import settled, values
from armour.formats.onnx.export_values import Size, Value
from armour.formats.onnx.export_writer import TYPES, Writer
from armour.model import Model, ModuleModel
from armour.outputs import Outputs
from armour.preprocessing import Preprocessing
from armour.tensor import ir, nn
from armour.tensor.core import Tensor
from armour.tensor.graph import Graph

# The IR version that came with each opset; a newer one would shut out runtimes of that time.
IR_VERSIONS = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10}
BATCH = "n"
MAX_BYTES = (2 << 30) - (16 << 20)  # protobuf ends at 2 GiB; some room for what is no weight
_SMALL = 1024  # elements of an initialiser that shape inference may want to read


def export_onnx(
    model: Model, path: str | os.PathLike[str], *, opset: int = 17, batch: int | None = None
) -> None:
    """Write a network as an ONNX file, atomically: from inputs in the model's bounds to its logits.

    opset: 17 to 22. batch: a fixed number of samples; any number by default, as the axis "n", unless the
    network itself takes one sample at a time. Raises UnsupportedError, before anything is written, for a
    black box, for more than 2 GiB of weights, and with all layers and operations that ONNX cannot express;
    InvalidArgument for a place that cannot be written.
    """
    if not isinstance(model, ModuleModel):
        raise UnsupportedError(f"{model.name} is a black box; only networks can be written as ONNX")
    path = check_writable(Path(path))
    proto = to_onnx(model, opset=opset, batch=batch)
    raw = proto.SerializeToString(deterministic=True)
    with atomic_write(path) as stream:
        stream.write(raw)


def to_onnx(model: ModuleModel, *, opset: int = 17, batch: int | None = None) -> ModelProto:
    """The file that `export_onnx` writes, as a message."""
    graph, state = model.graph, model.state_dict()
    try:
        proto = graph_to_onnx(
            graph, state, opset=opset, batch=batch, front=_front(model), back=_back(model), name=model.name
        )
    except UnsupportedError as error:
        raise UnsupportedError(f"{model.name}: {error}; save it as .ckpt, or use other layers") from error
    facts = {
        "armour.bounds": list(model.bounds),
        "armour.class_names": list(model.class_names),
        "armour.name": model.name,
        "armour.num_classes": model.num_classes,
        # Its preprocessing and what makes logits of its outputs are in the graph now.
        "armour.provenance": {
            key: value for key, value in model.provenance.items() if key not in ("preprocessing", "outputs")
        },
    }
    if model.output_shape is not None:
        facts["armour.output_shape"] = list(model.output_shape)
    try:
        texts = {
            key: value if key == "armour.name" else json.dumps(value, allow_nan=False, sort_keys=True)
            for key, value in facts.items()
        }
    except (TypeError, ValueError) as error:
        raise InvalidArgument(
            f"provenance must be plain JSON values with text as keys, without NaN ({error}); convert it"
        ) from error
    helper.set_model_props(proto, texts)
    return proto


def graph_to_onnx(
    graph: Graph,
    state: Mapping[str, np.ndarray],
    *,
    opset: int = 17,
    batch: int | None = None,
    front: Graph | None = None,
    back: Callable[[Value], Graph] | None = None,
    name: str = "network",
) -> ModelProto:
    """Any graph of ours with its weights as a checked ONNX model.

    front: a graph without weights before the first input. back: from the first output to a graph without
    weights behind it. Raises UnsupportedError as `export_onnx` does.
    """
    if opset not in IR_VERSIONS:
        raise InvalidArgument(f"expected opset from 17 to 22, got {describe('opset', opset)}")
    batch = _batch(graph, None if batch is None else count("batch", batch))
    total = sum(array.nbytes for array in state.values())
    if total > MAX_BYTES:
        raise UnsupportedError(
            f"cannot be written as ONNX: {total / 2**30:.1f} GiB of weights, and one file holds 2 GiB"
        )
    writer = Writer(state, opset)
    given = [_input(writer, v, batch) for v in (*(front or graph).inputs[:1], *graph.inputs[1:])]
    writer.batch = next((v.name for v in given if v.sizes and v.sizes[0].per), None)
    feeds = list(given)
    if front is not None:
        feeds[:1] = _emit(writer, front, {}, batch, feeds[:1], scope=lambda n: f"preprocessing/{n}")
    out = list(_emit(writer, graph, state, batch, feeds))
    if back is not None:
        out[:1] = _emit(writer, back(out[0]), {}, batch, out[:1], scope=lambda n: f"outputs/{n}")
    proto = _model(writer, given, _made(writer, out), name)
    _check(proto)
    return proto


def _batch(graph: Graph, wanted: int | None) -> int | None:
    """The size of the batch: of a graph that fixes it, its own."""
    lengths = {v.shape[0] for v in graph.inputs if v.shape}
    if None in lengths or len(lengths) != 1:
        return wanted
    (own,) = lengths
    if wanted not in (None, own):
        raise InvalidArgument(f"the network takes batches of {own} alone, got batch={wanted}")
    return own


def _emit(
    writer: Writer,
    graph: Graph,
    state: Mapping[str, np.ndarray],
    batch: int | None,
    feeds: Sequence[Value],
    **names: Any,
) -> tuple[Value, ...]:
    graph = settled(graph, batch)
    module = ir.GraphModule(graph)
    _fill(module, state)
    known = values(graph, module.eval(), batch)
    named = {given.name: value for given, value in zip(graph.inputs, feeds, strict=True)}
    return emit(writer, graph, module, known, named, **names)


def _made(writer: Writer, out: Sequence[Value]) -> list[Value]:
    """Outputs that nodes make, each once: an input or weight given back, or one value twice, is copied."""
    made = {name for node in writer.nodes for name in node.output}
    found: list[Value] = []
    for value in out:
        if value.name not in made or value.name in {v.name for v in found}:
            writer.begin("output")
            value = replace(value, name=writer.add("Identity", [value.name]))
        found.append(value)
    return found


def _fill(module: ir.GraphModule, state: Mapping[str, np.ndarray]) -> None:
    """The state's own arrays as the module's weights: only read here, so not copied."""
    for name, tensor in module.named_tensors():
        if name not in state or state[name].shape != tensor.shape:
            found = f"of shape {state[name].shape}" if name in state else "missing"
            raise InvalidArgument(f"expected the weight {name!r} of shape {tensor.shape}, it is {found}")
        tensor.data = state[name]


def _input(writer: Writer, given: ir.Input, batch: int | None) -> Value:
    free = Size(1, 0) if batch is None else Size(0, batch)
    sizes = tuple(free if n is None else Size(0, n) for n in given.shape)
    return Value(writer.fresh(given.name), np.dtype(given.dtype), sizes)


# -- what stands before and behind the network ----------------


class _Front(nn.Module):
    """What a model does to users' inputs, with resizing as the layer that has an operator of its own."""

    def __init__(self, steps: Preprocessing) -> None:
        self.resize = None if steps.resize is None else nn.Upsample(steps.resize, None, "bilinear")
        # Gradients do not concern the file, and a rounding with one of its own cannot be recorded.
        self.rest = replace(steps, resize=None, straight_through=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, *input_shape) -> what the network takes."""
        return self.rest.apply(x if self.resize is None else self.resize(x))


class _Back(nn.Module):
    """What a model makes of its network's raw outputs."""

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs

    def forward(self, raw: Tensor) -> Tensor:
        """(n, ...) -> logits (n, classes)."""
        return self.outputs.logits(raw)


def _front(model: ModuleModel) -> Graph | None:
    steps = model.preprocessing
    return None if steps.identity else ir.trace(_Front(steps), model.input_shape)


def _back(model: ModuleModel) -> Callable[[Value], Graph] | None:
    """From probabilities or a single score to the logits that the model gives."""
    outputs = model.outputs
    if outputs.kind in ("logits", "auto") and not outputs.single:
        return None

    def graph(raw: Value) -> Graph:
        sample = tuple(size.plus for size in raw.sizes[1:])
        return ir.trace(_Back(outputs), [sample], dtype=raw.dtype.name)

    return graph


# -- the message ----------------


def _model(writer: Writer, given: list[Value], out: list[Value], name: str) -> ModelProto:
    proto = ModelProto(
        ir_version=IR_VERSIONS[writer.opset], producer_name="armour", producer_version=_version()
    )
    proto.opset_import.append(helper.make_opsetid("", writer.opset))
    # In place: the helpers that make graphs and models copy all that they are given.
    proto.graph.name = name
    proto.graph.node.extend(writer.nodes)
    proto.graph.input.extend(_info(v) for v in given)
    proto.graph.output.extend(_info(v) for v in out)
    for key, array in writer.weights.items():
        tensor = proto.graph.initializer.add()
        tensor.name, tensor.data_type = key, TYPES[array.dtype.name]
        tensor.dims.extend(array.shape)
        tensor.raw_data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return proto


def _version() -> str:
    try:
        return metadata.version("armour-toolkit")
    except metadata.PackageNotFoundError:
        return "0+source"


def _info(value: Value) -> ValueInfoProto:
    shape = [size.plus if not size.per else BATCH if size == (1, 0) else None for size in value.sizes]
    return helper.make_tensor_value_info(value.name, TYPES[value.dtype.name], shape)


def _check(proto: ModelProto) -> None:
    """onnx.checker on the model without its large weights, which stand as inputs of their type and shape.

    The checker parses and infers; the values of weights are nothing to it, and their copies would be.
    """
    bare = ModelProto()
    bare.ir_version = proto.ir_version
    bare.opset_import.extend(proto.opset_import)
    graph = bare.graph
    graph.name = proto.graph.name
    graph.node.extend(proto.graph.node)
    graph.input.extend(proto.graph.input)
    graph.output.extend(proto.graph.output)
    for tensor in proto.graph.initializer:
        if _elements(tensor) <= _SMALL:
            graph.initializer.append(tensor)
        else:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    try:
        onnx.checker.check_model(bare, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise UnsupportedError(f"the file would not pass onnx.checker: {reason}") from error


def _elements(tensor: TensorProto) -> int:
    return int(np.prod(list(tensor.dims), dtype=np.int64))
