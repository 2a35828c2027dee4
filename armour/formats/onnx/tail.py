"""A last softmax or sigmoid of a network becomes its logarithm in one step, which keeps gradients alive.

A softmax saturates: its gradient vanishes in float32 where its logarithm still has one, and an attack that
sees zeros finds nothing. The probabilities are the exponentials of the new outputs, to rounding.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from armour.tensor.graph import Graph, Node

# What only moves numbers; means and sums too, which a trial run shows to be over single numbers or not.
_MOVES = frozenset(("reshape", "getitem", "transpose", "alias", "mean", "sum", "max", "cast"))
_MOVING_LAYERS = frozenset(("Identity", "Flatten", "Dropout"))
LOGARITHMS = "log-probabilities, taken in one step of the network's last {}"


def logarithmic(graph: Graph) -> tuple[Graph, str]:
    """(graph with log-probabilities as its output, "softmax" or "sigmoid"); the graph as it is and "" if it
    ends in neither. The output is (n, k); of a sigmoid's k = 1 it becomes (n, 2)."""
    found = _ending(graph)
    if found is None:
        return graph, ""
    kind, node = found
    if kind == "softmax":
        if node.kind == "layer":
            return _with(graph, node, replace(node, type="LogSoftmax")), kind
        return _with(graph, node, replace(node, type="log_softmax")), kind
    passed = Node(
        name=node.name, kind="layer", type="Identity", inputs=node.inputs, path=f"{node.name}.score"
    )
    score = graph.outputs[0]
    tail = (
        Node(name="score.negative", kind="op", type="negative", inputs=(score,)),
        Node(name="score.0", kind="layer", type="LogSigmoid", inputs=("score.negative",), path="score.0"),
        Node(name="score.1", kind="layer", type="LogSigmoid", inputs=(score,), path="score.1"),
        Node(name="score.both", kind="op", type="concat", inputs=("score.0", "score.1"), attrs={"axis": 1}),
    )
    if {n.name for n in tail} & {n.name for n in graph.nodes}:
        return graph, ""
    opened = _with(graph, node, passed)
    return replace(opened, nodes=(*opened.nodes, *tail), outputs=("score.both",)), kind


def agree(kind: str, before: np.ndarray, after: np.ndarray) -> bool:
    """True if the exponentials of the new outputs are the old ones: nothing else lay between."""
    wide = np.exp(after.astype(np.float64))
    found = wide[:, 1:] if kind == "sigmoid" else wide
    return found.shape == before.shape and bool(
        np.allclose(found, before, rtol=1e-3, atol=1e-5, equal_nan=True)
    )


def _ending(graph: Graph) -> tuple[str, Node] | None:
    """The softmax or sigmoid that the output comes from, over nodes that nothing else uses."""
    makers = {node.name: node for node in graph.nodes}
    uses = Counter(v for node in graph.nodes for v in node.inputs if isinstance(v, str))
    name = graph.outputs[0]
    while (node := makers.get(name)) is not None and uses[name] <= (name != graph.outputs[0]):
        kind = node.type.lower()
        if kind in ("softmax", "sigmoid"):
            return kind, node
        if node.type not in (_MOVES if node.kind == "op" else _MOVING_LAYERS):
            return None
        name = str(node.inputs[0])
    return None


def _with(graph: Graph, old: Node, new: Node) -> Graph:
    return replace(graph, nodes=tuple(new if node is old else node for node in graph.nodes))
