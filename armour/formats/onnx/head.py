"""From the values of an ONNX graph to scores (n, classes): which of its outputs, and in what form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import armour.tensor as T
from armour.errors import CheckpointError, InvalidArgument, UnsupportedError
from armour.tensor.core import Tensor

from .proto import OnnxGraph, OnnxNode

# What only moves numbers about.
_MOVES = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout", "Transpose", "Slice")


@dataclass(frozen=True, slots=True)
class Head:
    """Which value of the graph is taken as its scores.

    reduce: how the scores of one sample's several rows become one ("last", "mean", "max"), for graphs that
    classify each step of a sequence. reads_as_float: see `reads_as_float`. shape: of one sample's answer, if
    the graph is no classifier; it is then taken as it is.
    """

    value: str
    reduce: str | None = None
    reads_as_float: bool = False
    shape: tuple[int, ...] | None = None

    def __call__(self, found: Sequence[Any], n: int) -> Tensor:
        """Scores (n, classes) from the value."""
        (value,) = found
        if not isinstance(value, Tensor):
            raise CheckpointError(
                f"the output {self.value[:80]!r} does not depend on the input; state output="
            )
        if value.dtype.kind != "f":
            raise UnsupportedError(
                f"{self.value[:80]!r} is of type {value.dtype}, expected scores; state another output="
            )
        if self.reduce is not None:
            rows = T.reshape(value, (value.shape[0], -1))
            value = T.expand_dims(_reduced(rows, self.reduce), 0)
        if not value.ndim or value.shape[0] != n:
            raise UnsupportedError(
                f"{self.value[:80]!r} has shape {value.shape} for {n} samples, expected one row each; "
                "state another output=, or input_shape= with the first axis and reduce= for a sequence"
            )
        scores = T.reshape(value, (n, -1)) if value.ndim != 2 and self.shape is None else value
        if self.shape is not None:
            if value.shape[1:] != self.shape:
                raise InvalidArgument(
                    f"the output {self.value[:80]!r} has shape {value.shape}, expected "
                    f"(n, {', '.join(map(str, self.shape))}); state the right output_shape="
                )
        elif value.ndim > 2 and max(value.shape[1:]) != scores.shape[1]:
            raise UnsupportedError(
                f"the output {self.value[:80]!r} has shape {value.shape}, expected (n, classes); "
                "it is no classifier's, state another output= or output_shape="
            )
        scores = scores if scores.dtype.name == "float32" else T.cast(scores, "float32")
        return scores


def _reduced(rows: Tensor, how: str) -> Tensor:
    if how == "last":
        return T.getitem(rows, -1)
    return T.mean(rows, axis=0) if how == "mean" else T.max(rows, axis=0)


def find_head(
    graph: OnnxGraph,
    output: str | None,
    reduce: str | None,
    input: str,
    shape: tuple[int, ...] | None = None,
) -> Head:
    """The head for an output of the graph (the first one if it is not named)."""
    if not output and not graph.outputs:
        raise CheckpointError("the graph has no outputs; export the network again")
    name = output or graph.outputs[0]
    makers = {made: node for node in graph.nodes for made in node.outputs if made}
    if name not in makers:
        known = ", ".join(ascii(n)[1:-1][:60] for n in graph.outputs)
        raise InvalidArgument(f"the model computes no value {ascii(name)[:80]}; its outputs are {known}")
    if reduce is not None and shape is not None:
        raise InvalidArgument(
            "expected reduce= or output_shape=, got both; only scores of classes are reduced"
        )
    return Head(name, reduce, reads_as_float(graph, input), shape)


def reads_as_float(graph: OnnxGraph, input: str) -> bool:
    """True if whatever takes the input moves it around at most before casting it to real numbers."""
    users: dict[str, list[OnnxNode]] = {}
    for node in graph.nodes:
        for source in node.inputs:
            users.setdefault(source, []).append(node)
    pending, seen = [input], 0
    while pending:
        for node in users.get(pending.pop(), ()):
            seen += 1
            if node.op == "Cast" and node.attrs.get("to") in (1, 10, 11):
                continue
            if node.op in ("Shape", "Size"):
                continue
            if node.op not in _MOVES or seen > 100:
                return False
            pending += [made for made in node.outputs if made]
    return seen > 0
