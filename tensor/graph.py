"""A network as data: a flat list of nodes, each a leaf layer or a row of the op table, in the order they run.

Values have names. A node refers to inputs, weights, constants and earlier nodes, or holds a plain number. A
Graph is checked when it is made, so a Graph object is always well formed; `from_dict` and `loads` read
hostile JSON.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from armour.checks import suggest
from armour.errors import CheckpointError, InvalidArgument
from armour.tensor import (  # noqa: F401  (file their layers in LAYERS)
    activations,
    arranging_layers,
    conv_layers,
    more_activations,
    norm_layers,
    normalisation,
    pool_layers,
    recurrent,
    sequence_layers,
)
from armour.tensor.attributes import decode, decode_array, encode, plain, shape_of, show
from armour.tensor.layers import LAYERS, check_config
from armour.tensor.op import OPS

VERSION = 1
MAX_NODES = 20_000
MAX_REFERENCES = 200_000
MAX_CONSTANT = 1_000_000  # elements of one constant
MAX_TEXT = 64 * 2**20  # characters of JSON
MAX_NAME = 300
FLOATS = ("float32", "float64", "float16")
DTYPES = (*FLOATS, "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """What the network is called with. shape: None stands for any length (the batch axis)."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """A parameter (trainable) or buffer that is not inside a leaf layer; its values are in the state."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    trainable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Constant:
    """A small array whose values are part of the graph."""

    name: str
    value: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One step: a leaf layer (type: its name in LAYERS) or a row of the op table (type: its name in OPS).

    inputs: names of values, or numbers. attrs: the layer's constructor arguments or the row's attributes.
    path: where the layer's weights are in the state; two nodes with one path are one layer, called twice.
    """

    name: str
    kind: Literal["layer", "op"]
    type: str
    inputs: tuple[str | int | float, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """A network as data. InvalidArgument, naming the node, if it is not well formed."""

    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    weights: tuple[Weight, ...] = ()
    constants: tuple[Constant, ...] = ()

    def __post_init__(self) -> None:
        _check(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        """The graph as JSON values."""
        return {
            "version": VERSION,
            "inputs": [{"name": v.name, "shape": list(v.shape), "dtype": v.dtype} for v in self.inputs],
            "weights": [
                {"name": w.name, "shape": list(w.shape), "dtype": w.dtype, "trainable": w.trainable}
                for w in self.weights
            ],
            "constants": [_constant_to_dict(c) for c in self.constants],
            "nodes": [_node_to_dict(n) for n in self.nodes],
            "outputs": list(self.outputs),
        }

    @classmethod
    def from_dict(cls, tree: Any) -> Graph:
        """The graph of a to_dict tree; CheckpointError with one line for anything else."""
        try:
            return _graph_from(tree)
        except InvalidArgument as error:
            raise CheckpointError(f"the network graph is damaged or not ours: {error}") from error
        except RecursionError:
            raise CheckpointError("the network graph is damaged or not ours: nested too deeply") from None

    def dumps(self) -> str:
        """The graph as JSON text."""
        return json.dumps(self.to_dict(), allow_nan=False, separators=(",", ":"))

    @classmethod
    def loads(cls, text: str | bytes) -> Graph:
        """The graph of a `dumps` text; CheckpointError for anything else."""
        return cls.from_dict(parse_json(text))


def parse_json(text: str | bytes, limit: int = MAX_TEXT) -> Any:
    """JSON values of a text, strictly: no key twice, no NaN or Infinity, UTF-8, at most `limit` characters.

    Raises CheckpointError.
    """
    if len(text) > limit:
        raise CheckpointError(f"expected at most {limit} characters of JSON, got {len(text)}")
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise CheckpointError(f"expected JSON: {str(error)[:200]}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a key is there twice in one object")
    return tree


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


# -- to and from JSON ----------------


def _constant_to_dict(constant: Constant) -> dict[str, Any]:
    value = constant.value
    flat = [encode(v) for v in value.reshape(-1).tolist()]
    values = [v["float"] if isinstance(v, dict) else v for v in flat]
    return {"name": constant.name, "shape": list(value.shape), "dtype": value.dtype.name, "values": values}


def _node_to_dict(node: Node) -> dict[str, Any]:
    tree: dict[str, Any] = {"name": node.name, node.kind: node.type, "inputs": list(node.inputs)}
    if node.kind == "layer" and node.path != node.name:
        tree["path"] = node.path
    if node.attrs:
        tree["attrs"] = {key: encode(value) for key, value in node.attrs.items()}
    return tree


def _graph_from(tree: Any) -> Graph:
    _keys("the graph", tree, {"version", "inputs", "weights", "constants", "nodes", "outputs"})
    if tree["version"] != VERSION or isinstance(tree["version"], bool):
        raise InvalidArgument(
            f"expected graph version {VERSION}, got {show(tree['version'])}; use the armour that wrote it"
        )
    return Graph(
        inputs=tuple(_input_from(t) for t in _list("inputs", tree["inputs"])),
        weights=tuple(_weight_from(t) for t in _list("weights", tree["weights"])),
        constants=tuple(_constant_from(t) for t in _list("constants", tree["constants"])),
        nodes=tuple(_node_from(t) for t in _list("nodes", tree["nodes"])),
        outputs=tuple(_list("outputs", tree["outputs"])),
    )


def _input_from(tree: Any) -> Input:
    _keys("an input", tree, {"name", "shape", "dtype"})
    return Input(name=tree["name"], shape=shape_of(tree["shape"], free=True), dtype=tree["dtype"])


def _weight_from(tree: Any) -> Weight:
    _keys("a weight", tree, {"name", "shape", "dtype", "trainable"})
    shape = shape_of(tree["shape"])
    return Weight(name=tree["name"], shape=shape, dtype=tree["dtype"], trainable=tree["trainable"])


def _constant_from(tree: Any) -> Constant:
    _keys("a constant", tree, {"name", "shape", "dtype", "values"})
    value = decode_array(tree["values"], tree["shape"], tree["dtype"], DTYPES, MAX_CONSTANT)
    return Constant(name=tree["name"], value=value)


def _node_from(tree: Any) -> Node:
    kind: Literal["layer", "op"] = "layer" if isinstance(tree, dict) and "layer" in tree else "op"
    _keys("a node", tree, {"name", kind, "inputs"}, {"attrs"} | ({"path"} if kind == "layer" else set()))
    attrs = tree.get("attrs", {})
    if not isinstance(attrs, dict) or len(attrs) > 100:
        raise InvalidArgument(f"expected attributes in an object, got {show(attrs)}")
    return Node(
        name=tree["name"],
        kind=kind,
        type=tree[kind],
        inputs=tuple(_list("inputs of a node", tree["inputs"])),
        attrs={key: decode(value) for key, value in attrs.items()},
        path=tree.get("path", tree["name"]) if kind == "layer" else "",
    )


def _keys(
    what: str, tree: Any, required: set[str], optional: set[str] | frozenset[str] = frozenset()
) -> None:
    if not isinstance(tree, dict):
        raise InvalidArgument(f"expected {what} as an object, got {show(tree)}")
    for key in sorted(required - tree.keys()):
        raise InvalidArgument(f"{what} needs {key!r}, which is missing")
    for key in tree.keys() - required - optional:
        raise InvalidArgument(f"{what} has {show(key)}, which is not known")


def _list(what: str, tree: Any) -> list[Any]:
    if not isinstance(tree, list) or len(tree) > MAX_REFERENCES:
        raise InvalidArgument(f"expected {what} as a list of at most {MAX_REFERENCES}, got {show(tree)}")
    return tree


# -- what makes a graph well formed ----------------


def _check(graph: Graph) -> None:
    if len(graph.nodes) > MAX_NODES:
        raise InvalidArgument(f"expected at most {MAX_NODES} nodes, got {len(graph.nodes)}")
    if sum(len(node.inputs) for node in graph.nodes) > MAX_REFERENCES:
        raise InvalidArgument(f"expected at most {MAX_REFERENCES} inputs of nodes in all, got more")
    if not graph.inputs or not graph.outputs:
        raise InvalidArgument("expected at least one input and one output, got none")
    known: set[str] = set()
    for value in _values(graph):
        _check_name(value.name)
        if value.name in known:
            raise InvalidArgument(f"the name {show(value.name)} is there twice")
        known.add(value.name)
    layers: dict[str, Node] = {}
    for node in graph.nodes:
        try:
            _check_name(node.name)
            if node.name in known:
                raise InvalidArgument("the name is there twice")
            _check_references(node.inputs, known)
            _check_type(node, layers)
        except InvalidArgument as error:
            raise InvalidArgument(f"node {show(node.name)}: {error}") from error
        known.add(node.name)
    for name in graph.outputs:
        if not isinstance(name, str) or name not in known:
            raise InvalidArgument(f"the output {show(name)} is not the name of a value")


def _values(graph: Graph) -> Iterator[Input | Weight | Constant]:
    for value in graph.inputs:
        shape_of(value.shape, free=True)
        _one_of("dtype", value.dtype, DTYPES)
        yield value
    for weight in graph.weights:
        shape_of(weight.shape)
        _one_of("dtype", weight.dtype, FLOATS if weight.trainable else DTYPES)
        if not isinstance(weight.trainable, bool):
            raise InvalidArgument(f"expected trainable to be true or false, got {show(weight.trainable)}")
        yield weight
    for constant in graph.constants:
        if constant.value.size > MAX_CONSTANT or constant.value.dtype.name not in DTYPES:
            raise InvalidArgument(
                f"expected constants of at most {MAX_CONSTANT} numbers, got shape {constant.value.shape}, "
                f"dtype {constant.value.dtype}; store it as a weight"
            )
        yield constant


def _check_name(name: Any, empty: bool = False) -> None:
    if not isinstance(name, str) or len(name) > MAX_NAME or not name.isprintable() or not (name or empty):
        raise InvalidArgument(f"expected a printable name of 1 to {MAX_NAME} characters, got {show(name)}")


def _check_references(inputs: tuple[Any, ...], known: set[str]) -> None:
    for value in inputs:
        if isinstance(value, str):
            if value not in known:
                raise InvalidArgument(f"its input {show(value)} is not an input, a weight or an earlier node")
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InvalidArgument(f"expected names and numbers as inputs, got {show(value)}")
        elif not math.isfinite(value) or abs(value) >= 2**63:
            raise InvalidArgument(f"expected finite numbers as inputs, got {show(value)}")


def _check_type(node: Node, layers: dict[str, Node]) -> None:
    table: Any = LAYERS.names() if node.kind == "layer" else OPS
    _one_of(node.kind, node.type, table)
    for key, value in node.attrs.items():
        if not isinstance(key, str):
            raise InvalidArgument(f"expected names of attributes, got {show(key)}")
        if key == "dtype":
            _one_of("dtype", value, DTYPES)
        plain(value)
    if node.kind == "layer":
        _check_name(node.path, empty=True)
        first = layers.setdefault(node.path, node)
        if first is not node and (first.type, first.attrs) != (node.type, node.attrs):
            raise InvalidArgument(f"the layer at {show(node.path)} is described in two ways")
        check_config(LAYERS.get(node.type), node.attrs)
        if not all(isinstance(v, str) for v in node.inputs) or not node.inputs:
            raise InvalidArgument("expected names of values as inputs of a layer")
        return
    if not any(isinstance(v, str) for v in node.inputs):
        raise InvalidArgument("expected at least one named value among the inputs of an op")
    try:
        _signature(node.type).bind(None, *node.inputs, **node.attrs)
    except TypeError as error:
        raise InvalidArgument(f"op {node.type} cannot be called with this: {error}") from error


@functools.cache
def _signature(row: str) -> inspect.Signature:
    return inspect.signature(OPS[row].forward)


def _one_of(what: str, value: Any, allowed: Any) -> None:
    if not isinstance(value, str) or value not in allowed:
        near = suggest(value[:60], allowed) if isinstance(value, str) else ""
        # A list of all rows would be no clear line.
        raise InvalidArgument(f"unknown {what} {show(value)}{near if len(near) < 200 else ''}")
