"""Activations that a file spells out in several operators, as the one operator they are.

Exporters of older opsets write x * clip(x + 3, 0, 6) / 6, x * sigmoid(x) and the formulas of GELU. As one
operator each is a layer of the engine, with one pass forward and one for the gradient; where its pieces bend,
its gradient is theirs. Nodes stay where they are, so that what else reads the pieces still can.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .proto import OnnxGraph, OnnxModel, OnnxNode

CLOSE = 2e-5  # relative: files round the constants of the formulas
DEPTH = 4  # products inside a product that are looked into


def joined(model: OnnxModel) -> OnnxModel:
    """The model with such activations in its main graph as single operators."""
    finder = _Finder(model.graph)
    nodes = tuple(finder.activation(node) for node in model.graph.nodes)
    return replace(model, graph=replace(model.graph, nodes=nodes))


@dataclass(frozen=True, slots=True)
class _Product:
    """A value as a product: of names, and of the constants among them."""

    factors: tuple[str, ...]
    constant: float

    def of(self, *names: str, constant: float = 1.0) -> bool:
        """True if it is just that."""
        same = sorted(self.factors) == sorted(names)
        return same and math.isclose(self.constant, constant, rel_tol=CLOSE)


class _Finder:
    def __init__(self, graph: OnnxGraph) -> None:
        self.weights = graph.weights
        self.makers = {name: node for node in graph.nodes for name in node.outputs if name}

    def activation(self, node: OnnxNode) -> OnnxNode:
        """The node, or the activation that it ends."""
        if node.domain or node.op not in ("Mul", "Div") or len(node.outputs) != 1:
            return node
        for name in self._parts(node.outputs[0]):
            for rule in (_hardswish, _swish, _gelu):
                found = rule(self, node.outputs[0], name)
                if found is not None:
                    x, op, attrs = found
                    return replace(node, op=op, inputs=(x,), attrs=attrs)
        return node

    # -- for the rules ----------------

    def maker(self, name: str, *ops: str) -> OnnxNode | None:
        """The node that makes a value, if it is one of these operators and reads something."""
        node = self.makers.get(name)
        known = node is not None and not node.domain and node.op in ops
        return node if known and (node.inputs or node.op == "Constant") else None  # type: ignore[union-attr]

    def number(self, name: str) -> float | None:
        """The value of a constant of one float32 element."""
        array: Any = self.weights.get(name)
        if array is None:
            node = self.maker(name, "Constant")
            array = None if node is None else node.attrs.get("value", node.attrs.get("value_float"))
            array = np.float32(array) if isinstance(array, float) else array
        single = getattr(array, "dtype", None) == np.float32 and array.size == 1 and array.ndim < 2
        return float(np.asarray(array).reshape(())) if single else None

    def plus(self, name: str, constant: float) -> str | None:
        """The x of a value x + constant."""
        node = self.maker(name, "Add")
        if node is None or len(node.inputs) != 2:
            return None
        for x, other in (node.inputs, node.inputs[::-1]):
            known = self.number(other)
            if known is not None and math.isclose(known, constant, rel_tol=CLOSE):
                return x
        return None

    def product(self, name: str, *whole: str, depth: int = DEPTH) -> _Product:
        """A value as a product; what is in `whole` is not looked into."""
        known = self.number(name)
        if known is not None:
            return _Product((), known)
        node = None if name in whole or not depth else self.maker(name, "Mul", "Div")
        if node is None or len(node.inputs) != 2:
            return _Product((name,), 1.0)
        a, b = (self.product(part, *whole, depth=depth - 1) for part in node.inputs)
        if node.op == "Mul":
            return _Product(a.factors + b.factors, a.constant * b.constant)
        if b.factors or not b.constant:
            return _Product((name,), 1.0)
        return _Product(a.factors, a.constant / b.constant)

    def _parts(self, name: str, depth: int = DEPTH) -> Iterator[str]:
        # What a product is made of, inner products too.
        node = self.maker(name, "Mul", "Div") if depth else None
        for part in node.inputs if node is not None else ():
            yield part
            yield from self._parts(part, depth - 1)


_Found = tuple[str, str, dict[str, Any]]


def _hardswish(f: _Finder, whole: str, part: str) -> _Found | None:
    """x * clip(x + 3, 0, 6) / 6, or x * hardsigmoid(x)."""
    node, share = f.maker(part, "Clip", "HardSigmoid"), 1.0 / 6.0
    if node is None:
        return None
    x: str | None = node.inputs[0]
    if node.op == "Clip":
        limits = [f.number(name) for name in node.inputs[1:]] or [_real(node, k) for k in ("min", "max")]
        x = f.plus(node.inputs[0], 3.0) if limits == [0.0, 6.0] else None
    elif math.isclose(_real(node, "alpha", 0.2), share, rel_tol=CLOSE) and _real(node, "beta", 0.5) == 0.5:
        share = 1.0
    else:
        x = None
    if x is None or not f.product(whole, x, part).of(x, part, constant=share):
        return None
    return x, "HardSwish", {}


def _real(node: OnnxNode, name: str, default: float = math.nan) -> float:
    value = node.attrs.get(name, default)
    return float(value) if isinstance(value, (int, float)) else math.nan


def _swish(f: _Finder, whole: str, part: str) -> _Found | None:
    """x * sigmoid(x)."""
    node = f.maker(part, "Sigmoid")
    if node is None or not f.product(whole, node.inputs[0], part).of(node.inputs[0], part):
        return None
    return node.inputs[0], "Swish", {}


def _gelu(f: _Finder, whole: str, part: str) -> _Found | None:
    """x * (1 + erf(x / sqrt(2))) / 2, or by tanh."""
    inner = f.plus(part, 1.0)
    node = None if inner is None else f.maker(inner, "Erf", "Tanh")
    if node is None:
        return None
    read: Callable[[_Finder, str], str | None] = _by_erf if node.op == "Erf" else _by_tanh
    x = read(f, node.inputs[0])
    if x is None or not f.product(whole, x, part).of(x, part, constant=0.5):
        return None
    return x, "Gelu", {"approximate": "none" if node.op == "Erf" else "tanh"}


def _by_erf(f: _Finder, name: str) -> str | None:
    """The x of x / sqrt(2)."""
    node = f.maker(name, "Mul", "Div")
    for x in () if node is None else node.inputs:
        if f.product(name, x).of(x, constant=math.sqrt(0.5)):
            return x
    return None


def _by_tanh(f: _Finder, name: str) -> str | None:
    """The x of sqrt(2 / pi) * (x + 0.044715 * x ** 3)."""
    scaled = f.product(name)
    if len(scaled.factors) != 1 or not scaled.of(*scaled.factors, constant=math.sqrt(2.0 / math.pi)):
        return None
    node = f.maker(scaled.factors[0], "Add")
    if node is None or len(node.inputs) != 2:
        return None
    for x, cube in (node.inputs, node.inputs[::-1]):
        cubic = f.product(cube, x)
        if cubic.of(x, x, x, constant=0.044715):
            return x
        power = f.maker(cubic.factors[0], "Pow") if len(cubic.factors) == 1 else None
        cubed = power is not None and power.inputs[0] == x and f.number(power.inputs[-1]) == 3.0
        if cubed and cubic.of(*cubic.factors, constant=0.044715):
            return x
    return None
