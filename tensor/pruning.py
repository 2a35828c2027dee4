"""A graph without what its outputs do not need."""

from __future__ import annotations

from dataclasses import replace

from armour.tensor.graph import Graph


def pruned(graph: Graph) -> Graph:
    """The same function: nodes, weights and constants that no output depends on are left out."""
    keep = set(graph.outputs)
    for node in reversed(graph.nodes):
        if node.name in keep:
            keep.update(v for v in node.inputs if isinstance(v, str))
    return replace(
        graph,
        nodes=tuple(node for node in graph.nodes if node.name in keep),
        weights=tuple(w for w in graph.weights if w.name in keep),
        constants=tuple(c for c in graph.constants if c.name in keep),
    )


def differentiable(graph: Graph) -> bool:
    """True if the first output has a gradient for an input: none passes comparisons, roundings, integers."""
    from armour.tensor.op import OPS

    alive = {value.name for value in graph.inputs if value.dtype.startswith("float")}
    for node in graph.nodes:
        if not any(v in alive for v in node.inputs):
            continue
        if node.kind == "op":
            row = OPS[node.type]
            stops = row.vjp is None or node.type == "stop_gradient"
            if stops or (node.type == "cast" and not str(node.attrs.get("dtype")).startswith("float")):
                continue
        alive.add(node.name)
    return graph.outputs[0] in alive
