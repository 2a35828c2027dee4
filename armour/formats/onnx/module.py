"""An ONNX graph as a module of the engine: interpreted, with the layers and weights that come of it kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import armour.tensor as T
from armour.errors import UnsupportedError
from armour.tensor.core import Tensor, wrap
from armour.tensor.layers import Layer
from armour.tensor.module import Buffer, Module, Parameter

from .head import Head
from .interpreter import Interpreter, make_layer
from .proto import OnnxModel
from .rules import Call

MAX_NAME = 200
MAX_SMALL = 1_024  # elements of an array of whole numbers that is part of the graph, not of the weights


class OnnxModule(Module):
    """Logits of x (n, ...), computed by the rules of each operator; recorded as a graph of the engine.

    model: the file. input: name of the graph's input that x is. fixed: values of the other inputs; where they
    have a batch axis (given in `growing`, by name), they are repeated for each sample. head: from the graph's
    values to logits. dtype: what the graph takes; whole numbers are rounded to. whole: x is one sample, whose
    first axis is the graph's own.
    """

    def __init__(
        self,
        model: OnnxModel,
        *,
        input: str,
        head: Head,
        dtype: np.dtype[Any],
        fixed: Mapping[str, np.ndarray],
        growing: Mapping[str, int],
        whole: bool = False,
        exported_for_one: bool = False,
    ) -> None:
        self.model, self.input, self.head, self.dtype = model, input, head, dtype
        self.fixed, self.growing = dict(fixed), dict(growing)
        self.whole, self.exported_for_one = whole, exported_for_one
        self._members: dict[str, Any] = {}
        self._taken = {"input"}
        self._times: dict[str, int] = {}
        self._calls: list[tuple[str, dict[str, Any], Layer]] = []
        self._shared: dict[Any, Layer] = {}
        self._weights: dict[str, list[Parameter | Buffer]] = {}
        self._next = 0
        self._complete = False  # after the first run all weights and layers are there
        self.eval()

    def members(self) -> Iterator[tuple[str, Any]]:
        """(name, value) of the weights and layers made so far."""
        return iter(list(self._members.items()))

    def forward(self, x: Tensor) -> Tensor:
        """(n, ...) -> (n, classes)."""
        self._next = 0
        n = x.shape[0]
        if self.whole:
            x = T.reshape(x, x.shape[1:])
        values: dict[str, Any] = {self.input: self._typed(x)}
        for name, value in self.fixed.items():
            values[name] = np.repeat(value, n, self.growing[name]) if name in self.growing else value
        run = Interpreter(self.model, keeper=self, batch=n if self.exported_for_one else None)
        logits = self.head(run(values, (self.head.value,)), n)
        self._complete = True
        return logits

    def _typed(self, x: Tensor) -> Tensor:
        if self.dtype.kind == "f":
            return x if x.dtype == self.dtype else T.cast(x, self.dtype.name)
        if self.head.reads_as_float:  # whole numbers that the graph turns into real ones at once
            return x + T.stop_gradient(T.round(x) - x)
        return T.cast(T.round(x), self.dtype.name)

    # -- what the interpreter asks for ----------------

    def parameter(self, name: str, array: np.ndarray) -> Tensor:
        """The weight of this name, made of the array at first; a constant if the array is not always that."""
        if array.dtype.kind != "f" and array.size <= MAX_SMALL:
            return wrap(array)
        for known in self._weights.get(name, ()):
            if _same(known.data, array):
                return known
        if self._complete:  # an array that grows with the batch
            return wrap(array)
        kind = Parameter if array.dtype.kind == "f" else Buffer
        weight: Parameter | Buffer = kind(np.ascontiguousarray(array))
        self._members[self._unique(_clean(name) or "weight")] = weight
        self._weights.setdefault(name, []).append(weight)
        return weight

    def layer(self, call: Call, kind: str, config: dict[str, Any], weights: dict[str, Any]) -> Layer:
        """The layer of this call, made at first; calls with the same weights are one layer."""
        index = self._next
        self._next += 1
        if self._complete and index >= len(self._calls):
            raise self._varies(call)
        if index < len(self._calls):
            known, settings, layer = self._calls[index]
            if (known, settings) != (kind, config):
                raise self._varies(call)
            return layer
        arrays = tuple(None if w is None else _address(w) for w in weights.values())
        key = (kind, repr(config), arrays) if weights else None
        layer = self._shared.get(key) if key is not None else None  # type: ignore[assignment]
        if layer is None:
            layer = make_layer(kind, config, weights)
            name = self._unique(_layer_name(call, bool(weights)), [n for n, _ in layer.named_tensors()])
            self._members[name] = layer
            if key is not None:
                self._shared[key] = layer
        self._calls.append((kind, config, layer))
        return layer

    def _varies(self, call: Call) -> UnsupportedError:
        return UnsupportedError(
            f"node {call.node.shown} becomes another layer for another batch; "
            'use armour.wrap(path, runtime="onnxruntime") as a black box'
        )

    def _unique(self, name: str, inner: list[str] | None = None) -> str:
        """The name, or one made of it, that neither it nor its weights share with another."""
        candidate, times = name, self._times.get(name, 1)
        while any(part in self._taken for part in _names(candidate, inner)):
            times += 1
            candidate = f"{name}_{times}"
        self._times[name] = times
        self._taken.update(_names(candidate, inner))
        return candidate


def _names(name: str, inner: list[str] | None) -> list[str]:
    return [name, *(f"{name}.{part}" for part in inner or ())]


def _address(array: np.ndarray) -> Any:
    view = array.__array_interface__
    return view["data"][0], array.shape, array.strides, array.dtype.str


def _same(own: np.ndarray, array: np.ndarray) -> bool:
    if own.shape != array.shape or own.dtype != array.dtype:
        return False
    return own.ctypes.data == array.ctypes.data or bool(np.array_equal(own, array, equal_nan=True))


def _layer_name(call: Call, weighted: bool) -> str:
    """The module's name where the weights keep it ("conv1.weight"), else the node's, else its output's."""
    if weighted and len(call.node.inputs) > 1:
        for source in call.node.inputs[1:]:
            stem, dot, last = source.rpartition(".")
            if dot and stem and last in ("weight", "bias", "kernel", "gamma", "running_mean"):
                return _clean(stem)
    named = _clean(call.node.name)
    if named and not named.isdigit():
        return named
    return f"{call.node.op.lower()}.{named or _clean(call.node.outputs[0])}"


def _clean(name: str) -> str:
    """Without what a graph's names may not hold; slashes become dots, as modules of modules are written."""
    text = "".join(c if c.isprintable() and c not in "\\ " else "_" for c in name)
    parts = [part for part in text.replace("/", ".").replace("::", ".").split(".") if part]
    return ".".join(parts)[-MAX_NAME:].strip(".")
