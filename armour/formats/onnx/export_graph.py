"""From a graph of ours to nodes of a file, rule by rule; what no rule can write is reported all at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from armour.errors import UnsupportedError
from armour.formats.onnx import (  # noqa: F401  (they file their rules)
    export_activations,
    export_division,
    export_elementwise,
    export_index,
    export_linear,
    export_norm,
    export_pool,
    export_reduce,
    export_resize,
    export_sequence,
    export_shaping,
)
from armour.formats.onnx.export_rules import GROWING, LAYER_RULES, REFUSED, ROW_RULES
from armour.formats.onnx.export_shapes import number
from armour.formats.onnx.export_values import Step, Value
from armour.formats.onnx.export_writer import Writer
from armour.tensor.batching import has_batch
from armour.tensor.graph import Graph, Node
from armour.tensor.graph_module import GraphModule

Names = Callable[[str], str]


def emit(
    w: Writer,
    graph: Graph,
    module: GraphModule,
    known: Mapping[str, Value],
    feeds: Mapping[str, Value],
    *,
    weights: Names = str,
    scope: Names = str,
) -> tuple[Value, ...]:
    """Add the graph's nodes; its outputs as they are called in the file.

    known: every value of the graph (export_shapes.values). feeds: what the graph's inputs are in the file.
    weights, scope: what a weight or a node of the graph is called in the file. Raises UnsupportedError with
    all that cannot be written, and how often each is there.
    """
    found: dict[str, Value] = dict(feeds)
    for weight in graph.weights:
        found[weight.name] = _called(known[weight.name], weights(weight.name))
    for constant in graph.constants:
        found[constant.name] = _called(known[constant.name], w.const(constant.value))
    used = {name for node in graph.nodes for name in node.inputs} | set(graph.outputs)
    for weight in graph.weights:
        if weight.name in used:
            w.weight(weights(weight.name))
    members = dict(module.members())
    refused: Counter[str] = Counter()
    for node in graph.nodes:
        wanted = w.fresh(scope(node.name))
        found[node.name] = _called(known[node.name], wanted)
        step = Step(
            node,
            _operands(w, node, found),
            found[node.name],
            members[node.path] if node.kind == "layer" else None,
            weights,
        )
        place = w.begin(wanted)
        try:
            w.end(_rule(node)(w, step), wanted)
        except UnsupportedError as error:
            refused[f"{node.kind} {node.type} ({error})"] += 1
        w.leave(place)
    if refused:
        listed = "; ".join(f"{what}, {n} node{'s' * (n > 1)}" for what, n in sorted(refused.items()))
        raise UnsupportedError(f"cannot be written as ONNX: {listed}")
    return tuple(found[name] for name in graph.outputs)


def _rule(node: Node) -> Any:
    rule = (LAYER_RULES if node.kind == "layer" else ROW_RULES).get(node.type)
    if rule is None:
        raise UnsupportedError(REFUSED.get(node.type, "the exporter has no rule for it"))
    if node.type not in GROWING and any(has_batch(value) for value in node.attrs.values()):
        raise UnsupportedError("its settings grow with the batch; state batch= to write one size of it")
    return rule


def _called(value: Value, name: str) -> Value:
    return Value(name, value.dtype, value.sizes)


def _operands(w: Writer, node: Node, found: Mapping[str, Value]) -> tuple[Value, ...]:
    """Inputs of a node; a number becomes a constant of the dtype that the engine would give it."""
    named = {i: found[v] for i, v in enumerate(node.inputs) if isinstance(v, str)}
    operands = []
    for i, given in enumerate(node.inputs):
        if isinstance(given, str):
            operands.append(named[i])
            continue
        dtype = number(given, named, i, len(node.inputs))
        operands.append(Value(w.scalar(given, dtype), dtype, ()))
    return tuple(operands)
