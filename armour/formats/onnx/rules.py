"""The table of ONNX operators and what a rule is given: the call of one operator.

A rule is a function of a Call that computes the operator's outputs in Tensor operations or layers, so that
the same rule runs a model, folds its constants, and builds the graph with gradients. Values that depend on
the model's input are tensors; all others are NumPy arrays, known when the model is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from armour.errors import CheckpointError, UnsupportedError
from armour.tensor.core import Tensor

from .proto import OnnxNode, Unreadable

if TYPE_CHECKING:
    from .interpreter import Interpreter

Value: TypeAlias = Tensor | np.ndarray


class Listed:
    """A list of tensors and arrays, which only the operators of rules_sequence.py take."""

    __slots__ = ("values",)

    def __init__(self, values: Iterable[Any]) -> None:
        self.values = tuple(values)


def is_known(value: Any) -> bool:
    """True for what is known when the model is read."""
    return not any(isinstance(v, Tensor) for v in (value.values if isinstance(value, Listed) else (value,)))


Rule: TypeAlias = Callable[["Call"], Any]
RULES: dict[tuple[str, str], Rule] = {}
"""Rules by (domain, operator); ONNX's own domain is ""."""

_MISSING = object()


def rule(*operators: str, domain: str = "") -> Callable[[Rule], Rule]:
    """File a rule for one or several operators."""

    def register(function: Rule) -> Rule:
        for operator in operators:
            if (domain, operator) in RULES:
                raise ValueError(f"two rules for {operator}")
            RULES[domain, operator] = function
        return function

    return register


class Call:
    """One call of an operator: its inputs, attributes and opset, and the run that it is part of."""

    __slots__ = ("folding", "inputs", "node", "opset", "opsets", "run")

    def __init__(
        self, node: OnnxNode, inputs: list[Value | None], opsets: Mapping[str, int], run: Interpreter
    ) -> None:
        self.node, self.inputs, self.run = node, inputs, run
        self.opsets = opsets  # of the function that the node is in, or of the file
        self.opset = opsets.get(node.domain, 1)
        self.folding = False

    # -- inputs ----------------

    def has(self, i: int) -> bool:
        """True if input i is given."""
        return i < len(self.inputs) and self.inputs[i] is not None

    def x(self, i: int = 0) -> Tensor:
        """Input i as a tensor; a floating array that is known becomes a weight of the network."""
        value = self._given(i)
        if isinstance(value, Tensor):
            return value
        return self.run.tensor(self.node.inputs[i], value, folding=self.folding)

    def xs(self) -> list[Tensor]:
        """All inputs as tensors."""
        return [self.x(i) for i in range(len(self.inputs))]

    def fixed(self, i: int) -> bool:
        """True if input i is known when the model is read."""
        return self.has(i) and not isinstance(self.inputs[i], Tensor)

    def known(self, i: int) -> np.ndarray:
        """Input i as an array; while a network is built, UnsupportedError if the network computes it."""
        value = self._given(i)
        if not isinstance(value, Tensor):
            return value
        if self.run.building:
            raise UnsupportedError(
                f"node {self.node.shown} takes its input {i} from values that the network computes, so its "
                'output would change shape; use armour.wrap(path, runtime="onnxruntime") as a black box'
            )
        return value.numpy()

    def ints(self, i: int) -> tuple[int, ...]:
        """Input i as whole numbers."""
        return tuple(int(v) for v in self.known(i).reshape(-1))

    def number(self, i: int) -> Any:
        """Input i as a Python number, if it is a known single number; None otherwise."""
        if self.fixed(i) and self.known(i).size == 1:
            return self.known(i).reshape(-1)[0].item()
        return None

    def dtype(self, i: int = 0) -> np.dtype[Any]:
        """NumPy's dtype of input i."""
        return np.dtype(self._given(i).dtype)

    def shape(self, i: int = 0) -> tuple[int, ...]:
        """Shape of input i."""
        return tuple(int(n) for n in self._given(i).shape)

    def _given(self, i: int) -> Value:
        if not self.has(i):
            raise CheckpointError(f"node {self.node.shown} lacks its input {i}; get the file again")
        value = self.inputs[i]
        assert value is not None
        return value

    # -- attributes ----------------

    def attr(self, name: str, default: Any = _MISSING) -> Any:
        """An attribute; CheckpointError if it is not there and has no default, or is of another kind."""
        value = self.node.attrs.get(name, default)
        if value is _MISSING:
            raise CheckpointError(f"node {self.node.shown} lacks its attribute {name}; get the file again")
        if isinstance(value, Unreadable):
            raise UnsupportedError(f"node {self.node.shown}: {value.what}")
        if default is not _MISSING and default is not None and not _alike(value, default):
            raise CheckpointError(
                f"node {self.node.shown} has an attribute {name} that is no {type(default).__name__}; "
                "get the file again"
            )
        return value

    def axes(self, default: Any = None, *, since: int = 13, i: int = 1) -> Any:
        """Axes as the attribute (older opsets) or as input i; `default` if neither is given."""
        if self.opset >= since:
            return self.ints(i) if self.has(i) else default
        found = self.attr("axes", None)
        return default if found is None else tuple(found)

    @property
    def outputs(self) -> int:
        """Number of outputs that the call has."""
        return len(self.node.outputs)

    def wants(self, i: int) -> bool:
        """True if output i is used."""
        return i < len(self.node.outputs) and bool(self.node.outputs[i])

    # -- what a rule may make ----------------

    def layer(
        self,
        kind: str,
        config: Mapping[str, Any] | None = None,
        weights: Mapping[str, np.ndarray | None] | None = None,
    ) -> Any:
        """A leaf layer of the engine with these weights; the network keeps it under one name."""
        return self.run.layer(self, kind, dict(config or {}), dict(weights or {}))

    def damaged(self, what: str) -> CheckpointError:
        """The error for inputs or attributes that cannot be of a whole file."""
        return CheckpointError(f"node {self.node.shown} {what}; get the file again")

    def unsupported(self, what: str) -> UnsupportedError:
        """The error for a form of the operator that has no rule."""
        return UnsupportedError(
            f"node {self.node.shown}: {what} is not supported; "
            'use armour.wrap(path, runtime="onnxruntime") as a black box'
        )


def _alike(value: Any, default: Any) -> bool:
    if isinstance(default, (int, float)):
        return isinstance(value, (int, float))
    return isinstance(value, type(default))


def load_rules() -> None:
    """Import every module of rules, each of which files its own."""
    from . import (  # noqa: F401
        rules_array,
        rules_attention,
        rules_bits,
        rules_boxes,
        rules_control,
        rules_conv,
        rules_index,
        rules_linear,
        rules_loss,
        rules_math,
        rules_moves,
        rules_norm,
        rules_pool,
        rules_quantise,
        rules_recurrent,
        rules_reduce,
        rules_resize,
        rules_sampling,
        rules_sequence,
        rules_shape,
        rules_signal,
    )
