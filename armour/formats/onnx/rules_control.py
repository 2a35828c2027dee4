"""Control flow: branches whose condition is known, and loops that can be unrolled."""

from __future__ import annotations

from typing import Any

import numpy as np

from armour.errors import CheckpointError
from armour.tensor.core import Tensor

from .proto import OnnxGraph
from .rules import Call, rule

MAX_TURNS = 10_000


def graph_of(c: Call, name: str) -> OnnxGraph:
    """A subgraph attribute."""
    graph = c.attr(name)
    if not isinstance(graph, OnnxGraph):
        raise CheckpointError(f"node {c.node.shown} has no graph as its {name}; get the file again")
    return graph


@rule("If")
def if_(c: Call) -> list[Any]:
    """The branch that a known condition takes."""
    taken = graph_of(c, "then_branch" if bool(c.known(0).any()) else "else_branch")
    return c.run.graph(taken, {}, c.opsets)


@rule("Loop")
def loop(c: Call) -> list[Any]:
    """Unrolled: the number of turns must be known."""
    body = graph_of(c, "body")
    turns = int(c.known(0).reshape(-1)[0]) if c.has(0) else MAX_TURNS + 1
    going = bool(c.known(1).any()) if c.has(1) else True
    carried: list[Any] = list(c.inputs[2:])
    collected: list[list[Any]] = []
    turn = 0
    while going and turn < turns:
        if turn >= MAX_TURNS:
            raise CheckpointError(
                f"node {c.node.shown} asks for more than {MAX_TURNS:,} turns; it is refused"
            )
        names = [name for name, _, _ in body.inputs]
        values = dict(zip(names, [np.array(turn, np.int64), np.array(going), *carried], strict=False))
        condition, *found = c.run.graph(body, values, c.opsets)
        going = _truth(c, condition)
        carried, scanned = found[: len(carried)], found[len(carried) :]
        collected.append(scanned)
        turn += 1
    stacks = [_stacked(list(column)) for column in zip(*collected, strict=True)]
    if not collected:
        stacks = [np.zeros((0,), np.float32)] * (c.outputs - len(carried))
    return [*carried, *stacks]


def _truth(c: Call, condition: Any) -> bool:
    if isinstance(condition, Tensor):
        if c.run.building:
            raise c.unsupported("a loop that ends when the network's values say so")
        condition = condition.numpy()
    return bool(condition.any())


@rule("Scan")
def scan(c: Call) -> list[Any]:
    """Unrolled over one axis of its inputs (opset 8: over the second, for each sample of the first)."""
    if c.opset < 9:
        return _scan_samples(c)
    body, count = graph_of(c, "body"), int(c.attr("num_scan_inputs"))
    split = len(c.inputs) - count
    state: list[Any] = list(c.inputs[:split])
    axes = c.attr("scan_input_axes", None) or (0,) * count
    directions = c.attr("scan_input_directions", None) or (0,) * count
    sequences = [_slices(c.x(split + i), int(axes[i]), bool(directions[i])) for i in range(count)]
    names = [name for name, _, _ in body.inputs]
    rows: list[list[Any]] = []
    for step in zip(*sequences, strict=True):
        found = c.run.graph(body, dict(zip(names, [*state, *step], strict=True)), c.opsets)
        state = found[:split]
        rows.append(found[split:])
    outs = c.outputs - split
    out_axes = c.attr("scan_output_axes", None) or (0,) * outs
    backwards = c.attr("scan_output_directions", None) or (0,) * outs
    stacks = []
    for i, column in enumerate(zip(*rows, strict=True)):
        values = list(column)[::-1] if backwards[i] else list(column)
        stacks.append(_stacked(values, int(out_axes[i])))
    return [*state, *stacks]


def _scan_samples(c: Call) -> list[Any]:
    body, count = graph_of(c, "body"), int(c.attr("num_scan_inputs"))
    if c.has(0):
        raise c.unsupported("Scan of opset 8 with lengths of sequences")
    directions = c.attr("directions", None) or (0,) * count
    inputs = [c.x(i) for i in range(1, len(c.inputs))]
    split = len(inputs) - count
    names = [name for name, _, _ in body.inputs]
    samples = []
    for one in zip(*(_slices(x, 0, False) for x in inputs), strict=True):
        state: list[Any] = list(one[:split])
        sequences = [_slices(x, 0, bool(d)) for x, d in zip(one[split:], directions, strict=True)]
        rows = []
        for step in zip(*sequences, strict=True):
            found = c.run.graph(body, dict(zip(names, [*state, *step], strict=True)), c.opsets)
            state = found[:split]
            rows.append(found[split:])
        samples.append([*state, *(_stacked(list(column)) for column in zip(*rows, strict=True))])
    return [_stacked(list(column)) for column in zip(*samples, strict=True)]


def _slices(x: Tensor, axis: int, backwards: bool) -> list[Tensor]:
    import armour.tensor as T

    parts: list[Tensor] = T.unstack(x, axis)
    return parts[::-1] if backwards else parts


def _stacked(values: list[Any], axis: int = 0) -> Any:
    import armour.tensor as T

    if all(not isinstance(v, Tensor) for v in values):
        return np.stack(values, axis)
    return T.stack(values, axis)
