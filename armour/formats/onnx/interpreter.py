"""Running an ONNX graph node by node: eagerly on given arrays, or while a network is being built from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from armour.errors import ArmourError, CheckpointError, InvalidArgument, UnsupportedError
from armour.tensor import graph as _layers  # noqa: F401  (files every leaf layer in LAYERS)
from armour.tensor.backend import asnumpy
from armour.tensor.core import Tensor, no_grad, wrap
from armour.tensor.graph_module import CANNOT_RUN
from armour.tensor.layers import LAYERS
from armour.tensor.module import skip_init
from armour.tensor.tape import state
from armour.tensor.watch import STATE

from .proto import Excess, OnnxGraph, OnnxModel, OnnxNode, Unreadable
from .rules import RULES, Call, Listed, Value, is_known, load_rules
from .rules_quantise import carry_twins
from .twins import Twins

# Operators carried out in one run, for which loops and nested functions could ask in any number; a network of
# the engine may have no more nodes.
MAX_RUNS, MAX_BUILT = 50_000, 20_000
MAX_FILLED = 640 << 20  # bytes of one layer's weights that are a single number in the file
MAX_FOLDED = 256 << 20  # bytes of arrays computed from the weights while the model is read
ADVICE = (
    'use armour.wrap(path, runtime="onnxruntime") as a black box, or export the model with other operators'
)


class Keeper(Protocol):
    """Who keeps the layers and weights of a network that is being built."""

    def parameter(self, name: str, array: np.ndarray) -> Tensor:
        """The weight of this name, made of the array at first."""

    def layer(self, call: Call, kind: str, config: dict[str, Any], weights: dict[str, Any]) -> Any:
        """The layer of this call, made at first."""


class Interpreter:
    """One run of a model.

    keeper: keeps layers and weights, and makes this the building of a network: values that depend on the
    input may not decide shapes. Without it the model is simply run.
    """

    def __init__(self, model: OnnxModel, keeper: Keeper | None = None, batch: int | None = None) -> None:
        load_rules()
        self.model, self.keeper, self.batch = model, keeper, batch
        self.runs = 0
        self.folded = 0
        self.scopes: list[dict[str, Value | None]] = []
        self.twins = Twins()

    @property
    def building(self) -> bool:
        """True while a network is made, False while a model is just run."""
        return self.keeper is not None

    def __call__(self, inputs: Mapping[str, Value], outputs: tuple[str, ...] | None = None) -> list[Value]:
        """Values of the outputs (the model's own by default) for values of the inputs."""
        graph = self.model.graph
        wanted = graph.outputs if outputs is None else outputs
        nodes = needed(graph, wanted)
        refuse_unknown(self.model, nodes)
        found = self.graph(graph, dict(inputs), self.model.opsets, nodes, wanted)
        if any(isinstance(v, Listed) for v in found):
            raise UnsupportedError("an output of the model is a list of tensors; name a tensor as its output")
        return found

    def graph(
        self,
        graph: OnnxGraph,
        values: dict[str, Value | None],
        opsets: Mapping[str, int],
        nodes: tuple[OnnxNode, ...] | None = None,
        outputs: tuple[str, ...] | None = None,
        closed: bool = False,
    ) -> list[Value]:
        """Run a graph inside the scopes that are open (closed: a function, which sees none of them)."""
        nodes = graph.nodes if nodes is None else nodes
        outputs = graph.outputs if outputs is None else outputs
        scope: dict[str, Value | None] = {**graph.weights, **values}
        outer = self.scopes
        self.scopes = [scope] if closed else [*outer, scope]
        last = _last_uses(nodes, outputs)
        try:
            for index, node in enumerate(nodes):
                for name, value in zip(node.outputs, self._node(node, opsets), strict=False):
                    if name:
                        scope[name] = value
                for name in last.get(index, ()):
                    scope.pop(name, None)
            return [self._value(name, None) for name in outputs]
        finally:
            self.scopes = outer

    def tensor(self, name: str, array: np.ndarray, folding: bool) -> Tensor:
        """A known array as a tensor: a weight of the network, or a small constant."""
        if self.keeper is None or folding or array.dtype.kind != "f" or array.size <= 1:
            return wrap(array)
        return self.keeper.parameter(name, array)

    def layer(self, call: Call, kind: str, config: dict[str, Any], weights: dict[str, Any]) -> Any:
        """A leaf layer with these weights (None: it has none of that name)."""
        if self.keeper is not None and not call.folding:
            return self.keeper.layer(call, kind, config, weights)
        return make_layer(kind, config, weights)

    # -- one node ----------------

    def _node(self, node: OnnxNode, opsets: Mapping[str, int]) -> list[Value | None]:
        self.runs += 1
        most = MAX_BUILT if self.building else MAX_RUNS
        if self.runs > most:
            raise Excess(f"the model asks for more than {most:,} operators in one run; it is refused")
        inputs = [self._value(name, node) if name else None for name in node.inputs]
        function = self.model.functions.get((node.domain, node.op))
        if function is not None:
            return self._function(node, inputs, function)
        call = Call(node, inputs, opsets, self)
        rule = RULES[node.domain, node.op]
        if all(map(is_known, inputs)) and not _has_graph(node):
            with self._quietly():
                call.folding = True
                found = self._carry_out(rule, call)
            folded = [_folded(v) for v in found]
            self.folded += sum(v.nbytes for v in folded if isinstance(v, np.ndarray) and v.base is None)
            if self.folded > MAX_FOLDED:
                raise Excess(
                    f"the model computes more than {MAX_FOLDED >> 20} MiB from its weights; it is refused"
                )
            return folded
        found = self._carry_out(rule, call)
        if self.twins:
            carry_twins(call, rule, found)
        return found

    def _carry_out(self, rule: Any, call: Call) -> list[Any]:
        try:
            found = rule(call)
        except InvalidArgument as error:
            raise CheckpointError(f"node {call.node.shown} cannot run as described: {error}") from error
        except ArmourError:
            raise
        except CANNOT_RUN as e:
            raise CheckpointError(f"node {call.node.shown} cannot run as described: {str(e)[:200]}") from e
        return list(found) if isinstance(found, (tuple, list)) else [found]

    def _function(self, node: OnnxNode, inputs: list[Value | None], function: Any) -> list[Value | None]:
        body = _bound(function.body, {**function.defaults, **node.attrs})
        values = {name: v for (name, _, _), v in zip(body.inputs, inputs, strict=False)}
        for name, _, _ in body.inputs[len(inputs) :]:
            values[name] = None
        return list(self.graph(body, values, function.opsets, closed=True))

    def _value(self, name: str, node: OnnxNode | None) -> Any:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        where = "an output of the model" if node is None else f"node {node.shown}"
        raise CheckpointError(
            f"{where} takes {ascii(name)[:80]}, which nothing before it computes; "
            "the file has a cycle or is damaged"
        )

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Constants are computed unseen by who records the network, but not unseen by its guards."""
        observers, watcher = state.observers[:], STATE.current
        state.observers.clear()
        STATE.current = None
        try:
            with no_grad():
                yield
        finally:
            state.observers[:] = observers
            STATE.current = watcher


def make_layer(kind: str, config: dict[str, Any], weights: dict[str, Any]) -> Any:
    """A leaf layer in evaluation mode, its weights replaced by these arrays (cast to none: dtypes stay)."""
    with skip_init():
        layer = LAYERS.get(kind).from_config(config)
    filled = 0
    for name, array in weights.items():
        if array is None:
            continue
        own = getattr(layer, name)
        if own.shape != array.shape:
            raise CheckpointError(
                f"a {kind} needs {name} of shape {own.shape}, got {array.shape}; get the file again"
            )
        own.data = np.ascontiguousarray(array)
        filled += own.data.nbytes if 0 in array.strides and array.size > 1 else 0
        if filled > MAX_FILLED:
            raise CheckpointError(
                f"a {kind} has more than {MAX_FILLED >> 20} MiB of weights that the file states by one number"
            )
    return layer.eval()


def needed(graph: OnnxGraph, outputs: tuple[str, ...]) -> tuple[OnnxNode, ...]:
    """The nodes that the outputs depend on, in their order; what nothing uses need not be supported."""
    makers = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs if name}
    keep: set[int] = set()
    pending = list(outputs)
    while pending:
        index = makers.get(pending.pop())
        if index is None or index in keep:
            continue
        keep.add(index)
        pending += _reads(graph.nodes[index])
    return tuple(node for i, node in enumerate(graph.nodes) if i in keep)


def refuse_unknown(model: OnnxModel, nodes: tuple[OnnxNode, ...]) -> None:
    """UnsupportedError that lists all operators without a rule, with counts, before any work is done."""
    load_rules()
    missing: Counter[str] = Counter()
    for (domain, op), times in model.operators(nodes).items():
        if (domain, op) not in RULES:
            missing[f"{domain}::{op}" if domain else op] += times
    if missing:
        shown = ", ".join(f"{ascii(name)[1:-1][:60]} ({times})" for name, times in missing.most_common(40))
        raise UnsupportedError(f"operators that armour does not know: {shown}; {ADVICE}")


def _reads(node: OnnxNode) -> list[str]:
    """Names that a node uses, those inside its subgraphs too."""
    names = [name for name in node.inputs if name]
    for value in node.attrs.values():
        if isinstance(value, OnnxGraph):
            names += value.outputs
            for inner in value.nodes:
                names += _reads(inner)
    return names


def _last_uses(nodes: tuple[OnnxNode, ...], outputs: tuple[str, ...]) -> dict[int, list[str]]:
    """Node index -> values that nobody needs after it."""
    last: dict[str, int] = {}
    made = {name for node in nodes for name in node.outputs}
    for index, node in enumerate(nodes):
        for name in (*_reads(node), *node.outputs):
            if name in made:
                last[name] = index
    free: dict[int, list[str]] = {}
    for name, index in last.items():
        if name not in outputs:
            free.setdefault(index, []).append(name)
    return free


def _folded(value: Any) -> Any:
    if isinstance(value, Listed):
        return Listed(_folded(v) for v in value.values)
    return asnumpy(value.data) if isinstance(value, Tensor) else value


def _has_graph(node: OnnxNode) -> bool:
    return any(isinstance(value, OnnxGraph) for value in node.attrs.values())


def _bound(graph: OnnxGraph, arguments: Mapping[str, Any]) -> OnnxGraph:
    """A function's body with its attributes replaced by the arguments of a call."""

    def bind(node: OnnxNode) -> OnnxNode:
        attrs = {k: _bound(v, arguments) if isinstance(v, OnnxGraph) else v for k, v in node.attrs.items()}
        for name, source in node.references.items():
            if source in arguments and not isinstance(arguments[source], Unreadable):
                attrs[name] = arguments[source]
        return OnnxNode(
            name=node.name,
            op=node.op,
            domain=node.domain,
            inputs=node.inputs,
            outputs=node.outputs,
            attrs=attrs,
        )

    nodes = tuple(bind(node) for node in graph.nodes)
    return OnnxGraph(inputs=graph.inputs, outputs=graph.outputs, nodes=nodes, weights=graph.weights)
