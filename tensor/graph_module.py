"""A graph as a module that runs, trains and is captured from like the module it came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from armour.errors import ArmourError, CheckpointError, InvalidArgument
from armour.tensor.batching import for_batch, has_batch
from armour.tensor.core import Tensor
from armour.tensor.graph import Graph, Input, Node, Weight
from armour.tensor.layers import LAYERS, Layer
from armour.tensor.module import Buffer, Module, Parameter, is_placeholder, skip_init
from armour.tensor.op import OPS

# (what to call, attributes of a row or None for a layer, slots of inputs, slot of output, slots to free)
Step = tuple[Any, dict[str, Any] | None, tuple[int, ...], int, tuple[int, ...]]

_PLANNED = ("_outputs", "_resolved", "_sized", "_steps", "_values")

CANNOT_RUN = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What NumPy and Python raise where a node of a file cannot be carried out: the file's fault, not ours."""


class GraphModule(Module):
    """The network that a graph describes, rebuilt from the data alone.

    Parameters, buffers and leaf layers have the names of the original's, but hold placeholders, without
    memory: call load_state_dict before anything else. Raises CheckpointError if a layer cannot be made as
    described.
    """

    _resolved: tuple[int, list[Step]] | None = None

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._members: dict[str, Any] = {}
        with skip_init():
            for weight in graph.weights:
                self._members[weight.name] = _tensor(weight)
            for node in graph.nodes:
                if node.kind == "layer" and node.path not in self._members:
                    self._members[node.path] = _layer(node)
        names = [name for name, _ in self.named_tensors()]
        if len(set(names)) != len(names):
            raise CheckpointError("the network graph is damaged or not ours: two weights have one name")
        self._plan()
        self._loaded = False
        self.seed(0)

    def members(self) -> Iterator[tuple[str, Any]]:
        """(name, value) of the weights and leaf layers, under their full names."""
        return iter(self._members.items())

    def forward(self, *inputs: Any) -> Any:
        """The output for inputs as the graph states them; a tuple if there are several outputs."""
        if not self._loaded:
            self._require_weights()
        given = self.graph.inputs
        if len(inputs) != len(given):
            raise InvalidArgument(f"the network takes {len(given)} inputs, got {len(inputs)}")
        values = self._values.copy()
        for slot, (value, expected) in enumerate(zip(inputs, given, strict=True)):
            tensor = value if isinstance(value, Tensor) else Tensor(value)
            _check_shape(tensor, expected)
            values[slot] = tensor
        steps = self._for_batch(values) if self._sized else self._steps
        index = 0
        try:
            for index, (call, attrs, sources, target, free) in enumerate(steps):  # noqa: B007
                operands = [values[i] for i in sources]
                values[target] = call(*operands) if attrs is None else call(*operands, **attrs)
                for slot in free:
                    values[slot] = None
        except InvalidArgument as error:
            raise InvalidArgument(f"at node {self.graph.nodes[index].name!r}: {error}") from error
        except ArmourError:
            raise
        except CANNOT_RUN as e:
            node = self.graph.nodes[index]
            raise CheckpointError(f"node {node.name!r} ({node.type}) cannot run as described: {e}") from e
        found = tuple(values[i] for i in self._outputs)
        return found[0] if len(found) == 1 else found

    def _for_batch(self, values: list[Any]) -> list[Step]:
        """The steps with the lengths that grow with the batch as numbers; those of the last size are kept."""
        n = values[0].shape[0] if values[0].ndim else 1
        if self._resolved is None or self._resolved[0] != n:
            steps = self._steps.copy()
            for index in self._sized:
                call, attrs, *rest = steps[index]
                attrs = {key: for_batch(value, n) for key, value in (attrs or {}).items()}
                steps[index] = (call, attrs, *rest)
            self._resolved = (n, steps)
        return self._resolved[1]

    def extra_repr(self) -> str:
        return f"{len(self.graph.nodes)} nodes"

    def __getstate__(self) -> dict[str, Any]:
        # Copies and worker processes plan anew: the plan refers to the op table's own rows.
        return {key: value for key, value in vars(self).items() if key not in _PLANNED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._plan()

    def _require_weights(self) -> None:
        for name, tensor in self.named_tensors():
            if is_placeholder(tensor.data):
                raise InvalidArgument(
                    f"expected weights, but {name!r} has none yet; call load_state_dict before the network"
                )
        self._loaded = True

    def _plan(self) -> None:
        """Names become slots of a list once, so that a forward pass looks nothing up."""
        graph = self.graph
        slots = {value.name: i for i, value in enumerate(graph.inputs)}
        self._values: list[Any] = [None] * len(slots)
        for weight in graph.weights:
            slots[weight.name] = len(self._values)
            self._values.append(self._members[weight.name])
        for constant in graph.constants:
            slots[constant.name] = len(self._values)
            self._values.append(constant.value)  # an array follows the tensors beside it to their device
        kept = set(range(len(graph.inputs), len(self._values)))
        wiring: list[tuple[Node, tuple[int, ...], int]] = []
        for node in graph.nodes:
            sources = tuple(slots[v] if isinstance(v, str) else self._number(v, kept) for v in node.inputs)
            slots[node.name] = len(self._values)
            self._values.append(None)
            wiring.append((node, sources, slots[node.name]))
        self._outputs = tuple(slots[name] for name in graph.outputs)
        kept.update(self._outputs)
        last = {slot: i for i, (_, sources, target) in enumerate(wiring) for slot in (target, *sources)}
        free: list[list[int]] = [[] for _ in wiring]
        for slot, i in last.items():
            if slot not in kept:
                free[i].append(slot)
        self._steps: list[Step] = []
        self._resolved = None
        self._sized: list[int] = []  # steps with lengths that grow with the batch
        for (node, sources, target), gone in zip(wiring, free, strict=True):
            layer = node.kind == "layer"
            call, attrs = (self._members[node.path], None) if layer else (OPS[node.type], node.attrs)
            if attrs is not None and any(map(has_batch, attrs.values())):
                self._sized.append(len(self._steps))
            self._steps.append((call, attrs, sources, target, tuple(gone)))

    def _number(self, value: float, kept: set[int]) -> int:
        self._values.append(value)
        kept.add(len(self._values) - 1)
        return len(self._values) - 1


def _tensor(weight: Weight) -> Parameter | Buffer:
    array = np.broadcast_to(np.zeros((), weight.dtype), weight.shape)
    return Parameter(array) if weight.trainable else Buffer(array)


def _layer(node: Node) -> Layer:
    try:
        return LAYERS.get(node.type).from_config(node.attrs)
    except InvalidArgument as error:
        raise CheckpointError(
            f"the network graph is damaged or not ours: node {node.name!r}: {error}"
        ) from error


def _check_shape(tensor: Tensor, expected: Input) -> None:
    shape = expected.shape
    if len(tensor.shape) != len(shape) or any(
        e is not None and n != e for n, e in zip(tensor.shape, shape, strict=True)
    ):
        wanted = ", ".join("n" if n is None else str(n) for n in shape)
        raise InvalidArgument(f"the network takes {expected.name} of shape ({wanted}), got {tensor.shape}")
