"""An ONNX file as plain objects: nodes with Python attributes, arrays, subgraphs and functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from armour.archive import GIB, file_size
from armour.errors import CheckpointError, UnsupportedError

from .values import to_array
from .wire import check_wire

MAX_BYTES = 2 * GIB  # of the protobuf itself; larger models keep their weights in external files
MAX_NODES = 50_000
NEWEST = 28  # opset of ONNX's own operators known when this was written
OWN = ("", "ai.onnx")
_GRAPH, _GRAPHS = 5, 10  # AttributeProto.type
_SIMPLE = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}
_TENSOR, _TENSORS = 4, 9


class Excess(CheckpointError):
    """A file asks for more than any honest model does: there is no second try."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnnxNode:
    """One operator call. inputs, outputs: names of values, "" for one that is left out."""

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)  # inside a function: attribute -> its argument

    @property
    def shown(self) -> str:
        """For messages."""
        return (
            ascii(self.name or (self.outputs[0] if self.outputs else ""))[:80]
            + f" ({ascii(self.op)[1:-1][:60]})"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnnxGraph:
    """A graph or subgraph. inputs: (name, ONNX type or 0, shape or None), without those that are weights."""

    inputs: tuple[tuple[str, int, tuple[int | str, ...] | None], ...]
    outputs: tuple[str, ...]
    nodes: tuple[OnnxNode, ...]
    weights: dict[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnnxFunction:
    """An operator that the file itself defines. defaults: values of attributes that a call may leave out."""

    body: OnnxGraph
    opsets: dict[str, int]
    defaults: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnnxModel:
    """A whole file. opsets: domain -> version. functions: by (domain, name)."""

    graph: OnnxGraph
    opsets: dict[str, int]
    functions: dict[tuple[str, str], OnnxFunction] = field(default_factory=dict)
    producer: str = ""
    ir_version: int = 0
    metadata: dict[str, str] = field(default_factory=dict)

    def operators(self, nodes: Iterable[OnnxNode] | None = None) -> Counter[tuple[str, str]]:
        """How often each (domain, operator) occurs, subgraphs included; a function is what is in it."""
        return self._count(self.graph.nodes if nodes is None else nodes, {})

    def _count(self, nodes: Iterable[OnnxNode], known: dict[Any, Any]) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for node in every_node(nodes):
            key = node.domain, node.op
            if key not in self.functions:
                found[key] += 1
                continue
            if key not in known:  # once each: functions may call functions many times over
                known[key] = self._count(self.functions[key].body.nodes, known)
            found += known[key]
        return found


def every_node(nodes: Iterable[OnnxNode]) -> Iterator[OnnxNode]:
    """The nodes and those of the subgraphs inside them."""
    for node in nodes:
        yield node
        for value in node.attrs.values():
            if isinstance(value, OnnxGraph):
                yield from every_node(value.nodes)


def read(source: str | Path | bytes) -> OnnxModel:
    """The model in a file, or in bytes; CheckpointError for others, UnsupportedError for newer opsets."""
    folder = None
    if isinstance(source, bytes):
        what, raw = "the ONNX model", source
    else:
        path = Path(source)
        what, folder = str(path), path.parent
        size = file_size(path, CheckpointError)
        if size > MAX_BYTES:
            raise CheckpointError(
                f"{what}: expected at most {MAX_BYTES:,} bytes, got {size:,}; check the path"
            )
        raw = path.read_bytes()
    try:
        return _Reader(folder).model(_parse(raw, what))
    except UnsupportedError as error:
        raise UnsupportedError(f"{what}: {error}") from error
    except CheckpointError as error:
        text = str(error)
        raise CheckpointError(text if text.startswith(what) else f"{what}: {text}") from error


def _parse(raw: bytes, what: str) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    check_wire(raw, onnx.ModelProto.DESCRIPTOR, what)
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(raw)
    except DecodeError:
        raise CheckpointError(
            f"{what}: expected an ONNX model, got other content; get the file again"
        ) from None
    if not proto.HasField("graph") or not proto.opset_import:
        raise CheckpointError(
            f"{what}: expected an ONNX model with a graph and its opset, got none; check the path"
        )
    return proto


class _Reader:
    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.nodes = 0

    def model(self, proto: Any) -> OnnxModel:
        opsets = self._opsets(proto)
        functions = {(_domain(f.domain), f.name): self._function(f, opsets) for f in proto.functions}
        model = OnnxModel(
            graph=self._graph(proto.graph),
            opsets=opsets,
            functions=functions,
            producer=f"{proto.producer_name} {proto.producer_version}".strip()[:200],
            ir_version=int(proto.ir_version),
            metadata={entry.key: entry.value for entry in proto.metadata_props},
        )
        _refuse_recursion(model)
        return model

    def _function(self, proto: Any, outer: dict[str, int]) -> OnnxFunction:
        body = OnnxGraph(
            inputs=tuple((name, 0, None) for name in proto.input),
            outputs=tuple(proto.output),
            nodes=tuple(self._node(n) for n in proto.node),
            weights={},
        )
        defaults = {a.name: self._attribute(a) for a in proto.attribute_proto}
        return OnnxFunction(body=body, opsets=outer | self._opsets(proto), defaults=defaults)

    def _opsets(self, proto: Any) -> dict[str, int]:
        opsets = {_domain(entry.domain): int(entry.version) for entry in proto.opset_import}
        version = opsets.get("", 1)
        if not 1 <= version <= NEWEST:
            raise UnsupportedError(
                f"the model is of opset {version}, and armour knows 1 to {NEWEST}; export an older one"
            )
        return opsets

    def _graph(self, proto: Any) -> OnnxGraph:
        if proto.sparse_initializer:
            raise UnsupportedError("the model has sparse weights; export it with dense ones")
        weights = {}
        for tensor in proto.initializer:
            if tensor.name in weights:
                raise CheckpointError(
                    f"the weight {ascii(tensor.name)[:80]} is there twice; get the file again"
                )
            weights[tensor.name] = to_array(tensor, self.folder)
        return OnnxGraph(
            inputs=tuple(_input(v) for v in proto.input if v.name not in weights),
            outputs=tuple(v.name for v in proto.output),
            nodes=tuple(self._node(n) for n in proto.node),
            weights=weights,
        )

    def _node(self, proto: Any) -> OnnxNode:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise CheckpointError(f"expected at most {MAX_NODES:,} operators, got more")
        attrs, references = {}, {}
        for a in proto.attribute:
            if a.ref_attr_name:
                references[a.name] = a.ref_attr_name
            else:
                attrs[a.name] = self._attribute(a)
        return OnnxNode(
            name=proto.name,
            op=proto.op_type,
            domain=_domain(proto.domain),
            inputs=tuple(proto.input),
            outputs=tuple(proto.output),
            attrs=attrs,
            references=references,
        )

    def _attribute(self, a: Any) -> Any:
        if a.type in _SIMPLE:
            value = getattr(a, _SIMPLE[a.type])
            if a.type == 3:
                return value.decode("utf-8", "replace")
            if a.type == 8:
                return tuple(v.decode("utf-8", "replace") for v in value)
            return value if a.type in (1, 2) else tuple(value)
        if a.type == _TENSOR:
            return _maybe_array(a.t, self.folder)
        if a.type == _GRAPH:
            return self._graph(a.g)
        if a.type == _TENSORS:
            return tuple(_maybe_array(t, self.folder) for t in a.tensors)
        if a.type == 0:  # files before IR version 2 leave the type out
            return next((getattr(a, n) for n in ("f", "i", "s") if a.HasField(n)), tuple(a.floats or a.ints))
        return Unreadable(f"an attribute {ascii(a.name)[:60]} of type {a.type}")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An attribute that cannot be used; it matters only if an operator asks for it."""

    what: str


def _maybe_array(tensor: Any, folder: Path | None) -> Any:
    try:
        return to_array(tensor, folder)
    except UnsupportedError as error:
        return Unreadable(str(error))


def _domain(name: str) -> str:
    return "" if name in OWN else name


def _input(value: Any) -> tuple[str, int, tuple[int | str, ...] | None]:
    if not value.type.HasField("tensor_type"):
        return value.name, 0, None
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return value.name, int(kind.elem_type), None
    shape = tuple(int(d.dim_value) if d.HasField("dim_value") else d.dim_param for d in kind.shape.dim)
    return value.name, int(kind.elem_type), shape


def _refuse_recursion(model: OnnxModel) -> None:
    """Functions that call each other in a circle would never end."""
    state: dict[tuple[str, str], int] = {}

    def visit(key: tuple[str, str], depth: int) -> None:
        if state.get(key) == 1 or depth > 50:
            raise CheckpointError(f"the function {ascii(key[1])[:60]} calls itself; get the file again")
        if state.get(key) == 2:
            return
        state[key] = 1
        for node in every_node(model.functions[key].body.nodes):
            if (node.domain, node.op) in model.functions:
                visit((node.domain, node.op), depth + 1)
        state[key] = 2

    for key in model.functions:
        visit(key, 0)
