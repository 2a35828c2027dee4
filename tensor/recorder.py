"""One run of a network written down: its nodes, weights and constants; two such runs become a graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from armour.errors import InvalidArgument, UnsupportedError
from armour.tensor.attributes import encode, plain
from armour.tensor.backend import asnumpy
from armour.tensor.batching import LARGE, SMALL, between
from armour.tensor.core import Tensor, no_grad, observers
from armour.tensor.custom import PREFIX
from armour.tensor.graph import FLOATS, Constant, Graph, Input, Node, Weight
from armour.tensor.hollow import HOLLOW, hollow
from armour.tensor.layers import LAYERS, Layer
from armour.tensor.module import Module, Parameter
from armour.tensor.op import OPS, Op
from armour.tensor.watch import watching

MAX_INLINE = 4_096  # elements of a constant that may go into the graph; more belongs in a Buffer


def record(
    module: Module,
    samples: Callable[[int], Sequence[Tensor]],
    inputs: Sequence[Input],
    batched: bool = True,
    shapes_only: bool = False,
) -> Graph:
    """The graph of a module in evaluation mode, from runs on batches of two and of three samples.

    samples: tensors for the inputs, for a batch of n. inputs: their names, shapes and dtypes. batched=False:
    one run on a single sample, whose shapes are kept as they are. shapes_only: convolutions and linear layers
    are not computed, for modules whose path depends on no value. Nothing is verified here; `trace` does that.
    Raises UnsupportedError if the two runs are not one network.
    """
    names = [value.name for value in inputs]
    if shapes_only:
        _warm(module, samples(1))
    if not batched:
        one = _Recorder(module, samples(1), names, shapes_only)
        spread: list[Node] = []
        kept = tuple(c if c.value.size <= MAX_INLINE else _filled(c, c, spread) for c in one.constants)
        return _assembled(module, one, (*spread, *one.nodes), kept, inputs)
    small, large = (_Recorder(module, samples(n), names, shapes_only) for n in (SMALL, LARGE))
    return _merge(module, small, large, inputs)


def _warm(module: Module, inputs: Sequence[Tensor]) -> None:
    """Run a module for its shapes alone: one that makes its layers as it first runs has them all then."""

    def call(
        called: Module, forward: Callable[..., Any], inputs: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Any:
        if isinstance(called, Layer) and type(called).__name__ in HOLLOW:
            return hollow(called, *inputs)
        return forward(*inputs, **keywords)

    with no_grad(), watching(call):
        module(*inputs)


class _Recorder:
    """One run of the module: its nodes, with the shapes of their outputs."""

    def __init__(
        self, module: Module, inputs: Sequence[Tensor], names: Sequence[str], shapes_only: bool
    ) -> None:
        self.module, self.shapes_only = module, shapes_only
        self.paths = {id(m): path for path, m in module.named_modules()}
        self.weights = {id(t.data): (name, t) for name, t in module.named_tensors()}
        self.used: dict[str, Any] = {}
        self.names: set[str] = {name for name, _ in module.named_tensors()}
        self.times: dict[str, int] = {}
        self.tensors: dict[int, str] = {}
        self.arrays: dict[int, str] = {}
        self.keep: list[Any] = []  # ids stay unique as long as their objects live
        self.nodes: list[Node] = []
        self.shapes: list[tuple[int, ...]] = []
        self.constants: list[Constant] = []
        self.scope: list[str] = []
        self.inside = False
        self.inputs = [self._unique(name) for name in names]
        for name, tensor in zip(self.inputs, inputs, strict=True):
            self._know(tensor, name)
        observers().append(self._observe)
        try:
            with no_grad(), watching(self._call):
                out = module(*inputs)
        finally:
            observers().remove(self._observe)
        self.outputs = [self._output(t) for t in (out if isinstance(out, (tuple, list)) else (out,))]

    def _call(
        self, module: Module, forward: Callable[..., Any], inputs: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Any:
        if self.inside:
            return forward(*inputs, **keywords)
        path = self.paths.get(id(module))
        if not isinstance(module, Layer) or type(module) is not _registered(type(module).__name__):
            self.scope.append(self.scope[-1] if path is None and self.scope else path or "")
            try:
                return forward(*inputs, **keywords)
            finally:
                self.scope.pop()
        kind = type(module).__name__
        if path is None:
            raise UnsupportedError(f"a layer {kind} is made inside forward; make it in __init__ and keep it")
        if keywords or not all(isinstance(t, Tensor) for t in inputs):
            raise UnsupportedError(f"layer {path!r} ({kind}) must be called with tensors only, by position")
        self.inside = True
        try:
            out = hollow(module, *inputs) if self.shapes_only and kind in HOLLOW else forward(*inputs)
        finally:
            self.inside = False
        if any(out is t for t in inputs):
            out = Tensor(
                out.data
            )  # Identity and Dropout give their input: a value of its own, so no use is mixed up
        sources = tuple(self._reference(t) for t in inputs)
        self._add(out, kind, "layer", sources, module.config(), path or kind, path)
        return out

    def _observe(self, row: Op, inputs: Sequence[Tensor], attrs: dict[str, Any], out: Tensor) -> None:
        if self.inside:
            return
        if OPS.get(row.name) is not row:
            raise UnsupportedError(
                f"{row.name.removeprefix(PREFIX)!r} has a backward of its own, which a stored network "
                f"cannot hold; "
                "make it part of a layer registered by @nn.leaf"
            )
        sources = tuple(self._reference(t, inputs) for t in inputs)
        scope = self.scope[-1] if self.scope else ""
        self._add(out, row.name, "op", sources, attrs, f"{scope}.{row.name}" if scope else row.name, "")

    def _add(
        self, out: Tensor, kind: str, family: Any, sources: tuple[Any, ...], attrs: Any, name: str, path: str
    ) -> None:
        try:
            attrs = {key: plain(value) for key, value in attrs.items()}
        except InvalidArgument as error:
            raise UnsupportedError(
                f"{name!r} cannot be stored: {error}; use a layer of armour.tensor.nn"
            ) from error
        name = self._unique(name)
        self.nodes.append(Node(name=name, kind=family, type=kind, inputs=sources, attrs=attrs, path=path))
        self.shapes.append(out.shape)
        self._know(out, name)

    def _know(self, tensor: Tensor, name: str) -> None:
        self.keep.append((tensor, tensor.data))
        self.tensors[id(tensor)] = name
        self.arrays.setdefault(id(tensor.data), name)

    def _reference(self, tensor: Tensor, beside: Sequence[Tensor] = ()) -> str | int | float:
        name = self.tensors.get(id(tensor)) or self.arrays.get(id(tensor.data))
        if name is not None:
            return name
        weight = self.weights.get(id(tensor.data))
        if weight is not None:
            self.used[weight[0]] = weight[1]
            return weight[0]
        number = _number(tensor, beside)
        return self._constant(tensor) if number is None else number

    def _constant(self, tensor: Tensor) -> str:
        value = asnumpy(tensor.data)
        core = value if value.size <= MAX_INLINE else _core(value)
        if core.size > MAX_INLINE or tensor.dtype.name not in (*FLOATS, "int64", "int32", "bool"):
            raise UnsupportedError(
                f"a constant array of shape {tensor.shape}, dtype {tensor.dtype} is used in forward of "
                f"{self.scope[-1] if self.scope else 'the module'!r}; keep it in the module as a nn.Buffer"
            )
        name = self._unique(f"constant_{len(self.constants)}")
        # What repeats itself is kept as a view, which takes no memory.
        kept = np.array(value) if core is value else np.broadcast_to(core, value.shape)
        self.constants.append(Constant(name=name, value=kept))
        self._know(tensor, name)
        return name

    def _output(self, value: Any) -> str:
        name = self.tensors.get(id(value)) if isinstance(value, Tensor) else None
        if name is None:
            raise UnsupportedError(
                f"forward returned {type(value).__name__}, which was not computed by tensor operations from "
                "its inputs; return a Tensor or a tuple of them"
            )
        return name

    def _unique(self, name: str) -> str:
        candidate, times = name, self.times.get(name, 1)
        while candidate in self.names:
            times += 1
            candidate = f"{name}_{times}"
        self.times[name] = times  # the search goes on from here: a long network has thousands of one kind
        self.names.add(candidate)
        return candidate


# -- comparing two runs ----------------


def _merge(module: Module, small: _Recorder, large: _Recorder, inputs: Sequence[Input]) -> Graph:
    same = [(n.name, n.type, n.inputs) for n in small.nodes] == [
        (n.name, n.type, n.inputs) for n in large.nodes
    ]
    if not same or small.outputs != large.outputs:
        raise UnsupportedError(
            "forward takes another path for a batch of 3 than for a batch of 2, or depends on values; "
            "a stored network needs one path"
        )
    constants: list[Constant] = []
    made: list[Node] = []
    for a, b in zip(small.constants, large.constants, strict=True):
        if a.value.shape == b.value.shape and np.array_equal(
            a.value, b.value, equal_nan=a.value.dtype.kind == "f"
        ):
            constants.append(a if a.value.size <= MAX_INLINE else _filled(a, a, made))
        else:
            constants.append(_filled(a, b, made))
    pairs = zip(small.nodes, large.nodes, small.shapes, large.shapes, strict=True)
    nodes = (*made, *(_without_batch(*pair) for pair in pairs))
    return _assembled(module, small, nodes, tuple(constants), inputs)


def _filled(small: Constant, large: Constant, made: list[Node]) -> Constant:
    """A constant that repeats itself, in a shape that may grow with the batch: spread where it is used."""
    value, other = _core(small.value), _core(large.value)
    if value.shape != other.shape or value.ndim != small.value.ndim or not np.array_equal(value, other):
        raise UnsupportedError(
            "forward makes an array that depends on its input or on the batch size without tensor "
            f"operations (shape {small.value.shape}, then {large.value.shape}); use those of armour.tensor"
        )
    shape = between(small.value.shape, large.value.shape)
    source = Constant(name=f"{small.name}_value", value=np.array(value))
    made.append(
        Node(name=small.name, kind="op", type="broadcast_to", inputs=(source.name,), attrs={"shape": shape})
    )
    return source


def _core(array: np.ndarray) -> np.ndarray:
    """The array with one element of each axis along which it repeats itself."""
    for axis, length in enumerate(array.shape):
        first = array[(slice(None),) * axis + (slice(0, 1),)]
        if length > 1 and (array.strides[axis] == 0 or (array == first).all()):
            array = first
    return array


def _assembled(
    module: Module,
    run: _Recorder,
    nodes: tuple[Node, ...],
    constants: tuple[Constant, ...],
    inputs: Sequence[Input],
) -> Graph:
    layers = {node.path for node in nodes if node.kind == "layer"}
    weights = []
    for name, tensor in module.named_tensors():
        if _owner(name, layers):
            if name in run.used:
                raise UnsupportedError(
                    f"{name!r} is used outside its layer, which is called too; do one of both"
                )
            continue
        trainable = isinstance(tensor, Parameter)
        weights.append(Weight(name=name, shape=tensor.shape, dtype=tensor.dtype.name, trainable=trainable))
    return Graph(
        inputs=tuple(
            Input(name=name, shape=value.shape, dtype=value.dtype)
            for name, value in zip(run.inputs, inputs, strict=True)
        ),
        weights=tuple(weights),
        constants=constants,
        nodes=nodes,
        outputs=tuple(run.outputs),
    )


def _without_batch(a: Node, b: Node, small: tuple[int, ...], large: tuple[int, ...]) -> Node:
    """The node if both runs agree; a reshape that differs in one length, with that length left open."""
    if a.attrs.keys() == b.attrs.keys() and all(encode(a.attrs[k]) == encode(b.attrs[k]) for k in a.attrs):
        return a
    if a.type == "reshape" and len(small) == len(large):
        different = [i for i, (m, n) in enumerate(zip(small, large, strict=True)) if m != n]
        if len(different) == 1:
            shape = (*small[: different[0]], -1, *small[different[0] + 1 :])
            return Node(name=a.name, kind="op", type=a.type, inputs=a.inputs, attrs={"shape": shape})
    try:
        return replace(a, attrs={key: between(value, b.attrs[key]) for key, value in a.attrs.items()})
    except (ValueError, KeyError):
        pass
    key = next(k for k in a.attrs if encode(a.attrs[k]) != encode(b.attrs.get(k)))
    raise UnsupportedError(
        f"op {a.type} at {a.name!r} has the batch size baked in: {key}={a.attrs[key]} for a batch of 2, "
        f"{b.attrs.get(key)} for 3; use nn.Flatten, or write the batch axis as -1 or as slice(None)"
    )


def _registered(kind: str) -> type[Layer] | None:
    return LAYERS.get(kind) if kind in LAYERS.names() else None


def _number(tensor: Tensor, beside: Sequence[Tensor]) -> int | float | None:
    """The Python number that gives this tensor again beside the others; None if there is none."""
    if tensor.ndim:
        return None
    floating = next((t.dtype for t in beside if t is not tensor and t.ndim and t.dtype.kind == "f"), None)
    value = tensor.numpy().item()
    if tensor.dtype.kind == "f" and tensor.dtype == floating and math.isfinite(value):
        return float(value)
    if tensor.dtype == np.int64 and all(t.dtype == np.int64 for t in beside):
        return int(value)
    return None


def _owner(name: str, layers: set[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:i]) in layers for i in range(len(parts)))
