"""Rules by layer and by row of the op table: how a node of a network becomes a step with bounds.

A rule is a function (builder, node, operands) -> operand, registered by the name of a layer or row. An
operand is the position of a step, or a Tensor that no input reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from armour.defenses.bounds.maps import LinearMap, Shape
from armour.defenses.bounds.steps import Step
from armour.errors import UnsupportedError
from armour.registry import Registry
from armour.tensor.core import Tensor
from armour.tensor.graph import Node
from armour.tensor.module import Module

Operand: TypeAlias = "int | Tensor"


class Builder(Protocol):
    """What rules need of the network that is being turned into steps."""

    def shape(self, step: int) -> Shape:
        """Of one sample of a step's values."""

    def layer(self, node: Node) -> Any:
        """The layer of a node, with its weights."""

    def constant(self, value: Any) -> Tensor:
        """A weight, in the precision that bounds are computed in."""

    def affine(
        self, name: str, parents: Sequence[int], maps: Sequence[LinearMap], offset: Tensor | None = None
    ) -> int:
        """A new step: the sum of a map of each parent, plus offset."""

    def add(self, step: Step) -> int:
        """A new step."""


Rule: TypeAlias = Callable[[Builder, Node, list[Any]], Operand]

LAYER_RULES: Registry[Rule] = Registry("rule for a layer")
OP_RULES: Registry[Rule] = Registry("rule for an operation")

INSTEAD = "use randomised smoothing, which asks for outputs alone, or attack the model instead"


def refuse(node: Node, why: str) -> UnsupportedError:
    """One line that names the node and says what to do."""
    return UnsupportedError(f"no bounds for {node.type} at {node.name!r}: {why}; {INSTEAD}")


def only(node: Node, operands: Sequence[Any]) -> int:
    """The one operand, which must depend on the inputs."""
    if not isinstance(operands[0], int) or any(isinstance(o, int) for o in operands[1:]):
        raise refuse(node, "expected its first operand alone to depend on the model's inputs")
    return operands[0]


def module_of(modules: dict[str, Module], node: Node) -> Module:
    """The layer a node names."""
    try:
        return modules[node.path]
    except KeyError:
        raise refuse(node, "its layer is not in the network") from None
