"""From a model to the steps its bounds are carried through: preprocessing, network, outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from armour.defenses.bounds import curve_rules, linear_rules, moving_rules  # noqa: F401  (register rules)
from armour.defenses.bounds.maps import Dense, LinearMap, Move, Scale, Shape
from armour.defenses.bounds.rules import LAYER_RULES, OP_RULES, module_of, refuse
from armour.defenses.bounds.steps import Affine, Step
from armour.errors import InvalidArgument, UnsupportedError
from armour.model import ModuleModel
from armour.preprocessing import FLOATS
from armour.tensor.backend import asnumpy
from armour.tensor.core import Tensor, wrap
from armour.tensor.graph import Graph, Node
from armour.tensor.op import OPS


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A network in the order it runs. steps[0] is the input; the last step is the logits (classes,)."""

    steps: tuple[Step, ...]
    users: tuple[tuple[int, ...], ...]

    @property
    def last(self) -> int:
        """Where the logits are."""
        return len(self.steps) - 1

    @property
    def classes(self) -> int:
        """How many logits there are."""
        return self.steps[-1].shape[0]


def program_of(model: ModuleModel, *, live: bool = False) -> Program:
    """The steps of a model in evaluation mode.

    live: computed in float32 with the network's own parameters, so that bounds can be differentiated for
    training; otherwise in float64 with copies of them. Raises UnsupportedError, naming the node, for an
    operation without a rule.
    """
    if not isinstance(model, ModuleModel):
        raise UnsupportedError(
            f"expected a network of ours for bounds, got {type(model).__name__}; load it with armour.load "
            "or use randomised smoothing, which asks for outputs alone"
        )
    if model.input_shape is None:
        raise InvalidArgument(
            "expected input_shape to be known before bounds are computed; state input_shape="
        )
    kind = model.outputs.kind
    if kind not in ("logits", "auto"):
        raise UnsupportedError(
            f"no bounds for a model whose outputs are {kind}; use the network without its last softmax or "
            "sigmoid, which decides the same"
        )
    build = _Builder(model, live)
    at = build.preprocessed(build.add(Step(name="input", shape=tuple(model.input_shape))))
    return build.finished(build.outputs(build.network(model.graph, at)))


@dataclass(slots=True, eq=False)
class _Builder:
    model: ModuleModel
    live: bool
    steps: list[Step] = field(default_factory=list)
    modules: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.modules = dict(self.model.module.named_modules())

    # -- what rules ask for ----------------

    def shape(self, step: int) -> Shape:
        return self.steps[step].shape

    def layer(self, node: Node) -> Any:
        return module_of(self.modules, node)

    def constant(self, value: Any) -> Tensor:
        if isinstance(value, Tensor):
            if self.live:
                return value
            value = asnumpy(value.data)
        return wrap(np.asarray(value).astype(np.float32 if self.live else np.float64))

    def affine(
        self, name: str, parents: Sequence[int], maps: Sequence[LinearMap], offset: Tensor | None = None
    ) -> int:
        zeros = (wrap(np.zeros((1, *self.shape(parents[0])), np.float32 if self.live else np.float64)),)
        shape = tuple(maps[0].apply(zeros[0]).shape[1:])
        if offset is not None:
            offset = offset + wrap(np.zeros((1, *shape), offset.dtype))
            if offset.shape != (1, *shape):
                raise UnsupportedError(f"no bounds for {name!r}: its constant enlarges the values")
        step = Affine(name=name, shape=shape, parents=tuple(parents), maps=tuple(maps), offset=offset)
        return self.add(step)

    def add(self, step: Step) -> int:
        self.steps.append(step)
        return len(self.steps) - 1

    # -- the parts of a model ----------------

    def preprocessed(self, at: int) -> int:
        """What the network takes, from what users give."""
        steps = self.model.preprocessing
        if steps.identity:
            return at
        if steps.dtype not in FLOATS or steps.dtype == "float16":
            raise UnsupportedError(
                f"no bounds for a network that takes {steps.dtype}: its inputs are rounded; use randomised "
                "smoothing instead"
            )
        moves = type(steps)(layout=steps.layout, channels=steps.channels, resize=steps.resize)
        shape = self.shape(at)
        if not moves.identity:
            terms = 4 if steps.resize is not None else 0
            # The channels' order is the network's before its means are; the layout comes last.
            ordered = type(steps)(channels=steps.channels, resize=steps.resize)
            at = self.affine("preprocessing", [at], [Move(ordered.apply, shape, terms)])
        if steps.scale != 1 or steps.mean != (0.0,) or steps.std != (1.0,):
            mean, std = (np.asarray(v, np.float32) for v in (steps.mean, steps.std))
            axes = (1,) * (len(shape) - 1)
            factor, offset = (
                self.constant(v).reshape(1, -1, *axes) if v.size > 1 else self.constant(v.reshape(()))
                for v in (np.float32(steps.scale) / std, -mean / std)
            )
            at = self.affine("normalisation", [at], [Scale(factor)], offset.reshape(offset.shape or (1,)))
        if steps.layout == "NHWC":
            last = type(steps)(layout="NHWC")
            at = self.affine("layout", [at], [Move(last.apply, self.shape(at))])
        return at

    def network(self, graph: Graph, at: int) -> int:
        """The nodes of the graph."""
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise UnsupportedError(
                f"no bounds for a network of {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; "
                "use one of one input and one output"
            )
        values: dict[str, Any] = {graph.inputs[0].name: at}
        tensors = dict(self.model.module.named_tensors())
        values |= {w.name: self.constant(tensors[w.name]) for w in graph.weights}
        values |= {c.name: self.constant(c.value) for c in graph.constants}
        for node in graph.nodes:
            operands = [values[v] if isinstance(v, str) else self.constant(v) for v in node.inputs]
            values[node.name] = self._node(node, operands)
        found = values[graph.outputs[0]]
        if not isinstance(found, int):
            raise UnsupportedError("no bounds for a network whose output does not depend on its input")
        return found

    def _node(self, node: Node, operands: list[Any]) -> Any:
        if node.kind == "op" and not any(isinstance(o, int) for o in operands):
            return OPS[node.type](*operands, **node.attrs)
        rules = LAYER_RULES if node.kind == "layer" else OP_RULES
        if node.type not in rules.names():
            raise refuse(node, "there is no rule for it")
        return rules.get(node.type)(self, node, operands)

    def outputs(self, at: int) -> int:
        """Logits (classes,) of the network's outputs."""
        shape = self.shape(at)
        if len(shape) != 1:
            flat = Move(lambda x: x.reshape(x.shape[0], -1), shape, reshapes=True)
            at = self.affine("outputs", [at], [flat])
        if self.model.outputs.single:
            at = self.affine("two classes", [at], [Dense(self.constant(np.array([[-0.5], [0.5]])))])
        return at

    def finished(self, at: int) -> Program:
        """Only the steps that the logits need, in order."""
        needed = {at}
        for index in range(at, -1, -1):
            if index in needed:
                needed.update(self.steps[index].parents)
        kept = sorted(needed)
        place = {old: new for new, old in enumerate(kept)}
        steps = tuple(_moved(self.steps[old], place) for old in kept)
        users: list[list[int]] = [[] for _ in steps]
        for index, step in enumerate(steps):
            for parent in step.parents:
                users[parent].append(index)
        return Program(steps, tuple(map(tuple, users)))


def _moved(step: Step, place: dict[int, int]) -> Step:
    return replace(step, parents=tuple(place[p] for p in step.parents))
