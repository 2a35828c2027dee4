"""From a module to its graph: watch it run on two batch sizes, compare, check graph against module."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from armour.checks import count
from armour.errors import InvalidArgument, UnsupportedError
from armour.tensor.attributes import encode, plain
from armour.tensor.backend import asnumpy, get_xp, to_device
from armour.tensor.core import Tensor, no_grad, observers
from armour.tensor.custom import PREFIX
from armour.tensor.graph import FLOATS, Constant, Graph, Input, Node, Weight
from armour.tensor.graph_module import GraphModule
from armour.tensor.layers import LAYERS, Layer
from armour.tensor.module import Module, Parameter, evaluating, frozen
from armour.tensor.op import OPS, Op
from armour.tensor.watch import watching

MAX_INLINE = 4_096  # elements of a constant that may go into the graph; more belongs in a Buffer
TOLERANCE = 1e-4  # of the largest output


def trace(
    module: Module, input_shape: Sequence[int] | Sequence[Sequence[int]], *, dtype: str = "float32"
) -> Graph:
    """The graph of a module, recorded in evaluation mode, checked on other inputs and batch sizes.

    input_shape: of one sample (c, h, w), or a list of such shapes if the module takes several inputs. Leaf
    layers become nodes of their own; everything else must be done by tensor operations, and the path taken
    through `forward` may depend neither on values nor on the batch size. Raises UnsupportedError, naming the
    culprit where it can be known, if the graph would not be the module.
    """
    shapes = _shapes(input_shape)
    if isinstance(module, GraphModule) and [v.shape[1:] for v in module.graph.inputs] == shapes:
        return module.graph
    _refuse_ties(module)
    with evaluating(module):
        small, large = (_Recorder(module, shapes, dtype, n) for n in (2, 3))
        graph = _merge(module, small, large, shapes, dtype)
        _verify(module, graph, shapes, dtype)
    return graph


class _Recorder:
    """One run of the module: its nodes, with the shapes of their outputs."""

    def __init__(self, module: Module, shapes: list[tuple[int, ...]], dtype: str, n: int) -> None:
        self.module = module
        self.paths = {id(m): path for path, m in module.named_modules()}
        self.weights = {id(t.data): (name, t) for name, t in module.named_tensors()}
        self.used: dict[str, Any] = {}
        self.names: set[str] = {name for name, _ in module.named_tensors()}
        self.tensors: dict[int, str] = {}
        self.arrays: dict[int, str] = {}
        self.keep: list[Any] = []  # ids stay unique as long as their objects live
        self.nodes: list[Node] = []
        self.shapes: list[tuple[int, ...]] = []
        self.constants: list[Constant] = []
        self.scope: list[str] = []
        self.inside = False
        inputs = _samples(module, shapes, dtype, n, seed=0)
        self.inputs = [
            self._unique("input" if len(shapes) == 1 else f"input_{i}") for i in range(len(shapes))
        ]
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
            out = forward(*inputs)
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
        if tensor.size > MAX_INLINE or tensor.dtype.name not in (*FLOATS, "int64", "int32", "bool"):
            raise UnsupportedError(
                f"a constant array of shape {tensor.shape}, dtype {tensor.dtype} is used in forward of "
                f"{self.scope[-1] if self.scope else 'the module'!r}; keep it in the module as a nn.Buffer"
            )
        name = self._unique(f"constant_{len(self.constants)}")
        self.constants.append(Constant(name=name, value=np.array(asnumpy(tensor.data))))
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
        candidate, times = name, 1
        while candidate in self.names:
            times += 1
            candidate = f"{name}_{times}"
        self.names.add(candidate)
        return candidate


# -- comparing two runs ----------------


def _merge(
    module: Module, small: _Recorder, large: _Recorder, shapes: list[tuple[int, ...]], dtype: str
) -> Graph:
    same = [(n.name, n.type, n.inputs) for n in small.nodes] == [
        (n.name, n.type, n.inputs) for n in large.nodes
    ]
    if not same or small.outputs != large.outputs:
        raise UnsupportedError(
            "forward takes another path for a batch of 3 than for a batch of 2, or depends on values; "
            "a stored network needs one path"
        )
    for a, b in zip(small.constants, large.constants, strict=True):
        if not np.array_equal(a.value, b.value, equal_nan=a.value.dtype.kind == "f"):
            raise UnsupportedError(
                "forward makes an array that depends on its input or on the batch size without tensor "
                f"operations (shape {a.value.shape}, then {b.value.shape}); use those of armour.tensor"
            )
    pairs = zip(small.nodes, large.nodes, small.shapes, large.shapes, strict=True)
    nodes = tuple(_without_batch(*pair) for pair in pairs)
    layers = {node.path for node in nodes if node.kind == "layer"}
    weights = []
    for name, tensor in module.named_tensors():
        if _owner(name, layers):
            if name in small.used:
                raise UnsupportedError(
                    f"{name!r} is used outside its layer, which is called too; do one of both"
                )
            continue
        trainable = isinstance(tensor, Parameter)
        weights.append(Weight(name=name, shape=tensor.shape, dtype=tensor.dtype.name, trainable=trainable))
    return Graph(
        inputs=tuple(
            Input(name=name, shape=(None, *shape), dtype=dtype)
            for name, shape in zip(small.inputs, shapes, strict=True)
        ),
        weights=tuple(weights),
        constants=tuple(small.constants),
        nodes=nodes,
        outputs=tuple(small.outputs),
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
    key = next(k for k in a.attrs if encode(a.attrs[k]) != encode(b.attrs.get(k)))
    raise UnsupportedError(
        f"op {a.type} at {a.name!r} has the batch size baked in: {key}={a.attrs[key]} for a batch of 2, "
        f"{b.attrs.get(key)} for 3; use nn.Flatten, or write the batch axis as -1 or as slice(None)"
    )


def _verify(module: Module, graph: Graph, shapes: list[tuple[int, ...]], dtype: str) -> None:
    replica = GraphModule(graph)
    replica.load_state_dict(module.state_dict())
    replica.to(next((t.device for _, t in module.named_tensors()), "cpu")).eval()
    for n in (5, 1):
        ours, theirs = (_run(m, _samples(module, shapes, dtype, n, seed=n)) for m in (replica, module))
        if len(ours) != len(theirs) or not all(map(_close, ours, theirs)):
            raise UnsupportedError(
                f"the traced network and the module differ on a batch of {n}: forward depends on values, "
                "on the batch size or on random numbers, or computes something without tensor operations"
            )
    # A detach, a no_grad or a round trip through NumPy leaves the outputs alone, but not the gradients.
    ours, theirs = (_input_gradient(m, _samples(module, shapes, dtype, 5, seed=6)) for m in (replica, module))
    if len(ours) != len(theirs) or not all(map(_close, ours, theirs)):
        raise UnsupportedError(
            "the traced network and the module have different gradients: forward uses detach or no_grad, or "
            "leaves the tensor operations; gradients of a stored network follow its operations alone"
        )


def _run(module: Module, inputs: list[Tensor]) -> list[np.ndarray]:
    with no_grad():
        out = module(*inputs)
    return [asnumpy(t.data) for t in (out if isinstance(out, (tuple, list)) else (out,))]


def _input_gradient(module: Module, inputs: list[Tensor]) -> list[np.ndarray]:
    """Gradients of a random combination of the first differentiable output; none if there is none."""
    leaves = [Tensor(t.data, requires_grad=t.dtype.kind == "f") for t in inputs]
    with frozen(module):
        out = module(*leaves)
        first = next(
            (t for t in (out if isinstance(out, (tuple, list)) else (out,)) if t.requires_grad), None
        )
        if first is None:
            return []
        weights = np.random.default_rng(7).standard_normal(first.shape)
        try:
            first.backward(get_xp(first.data).asarray(weights, dtype=first.dtype))
        except UnsupportedError:
            return []
    return [np.zeros(t.shape) if t.grad is None else t.grad.numpy() for t in leaves]


def _close(ours: np.ndarray, theirs: np.ndarray) -> bool:
    if ours.shape != theirs.shape:
        return False
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(theirs)
        largest = np.abs(theirs[finite]).max(initial=0.0)
        return bool(
            np.array_equal(finite, np.isfinite(ours))
            and (np.abs(ours[finite] - theirs[finite]) <= TOLERANCE * largest).all()
        )


# -- small parts ----------------


def _samples(module: Module, shapes: list[tuple[int, ...]], dtype: str, n: int, seed: int) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    device = next((t.device for _, t in module.named_tensors()), "cpu")
    arrays = []
    for shape in shapes:
        integers = np.dtype(dtype).kind in "iub"
        drawn = rng.integers(0, 2, (n, *shape)) if integers else rng.standard_normal((n, *shape))
        arrays.append(Tensor(to_device(drawn.astype(dtype), device)))
    return arrays


def _shapes(input_shape: Any) -> list[tuple[int, ...]]:
    several = len(input_shape) > 0 and all(isinstance(shape, (tuple, list)) for shape in input_shape)
    return [tuple(count("input_shape", n) for n in s) for s in (input_shape if several else [input_shape])]


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


def _refuse_ties(module: Module) -> None:
    first: dict[int, str] = {}
    for name, tensor in module.named_tensors():
        known = first.setdefault(id(tensor), name)
        if known != name:
            raise UnsupportedError(
                f"{known!r} and {name!r} are one tensor, which a stored network would part; "
                "share the layer instead"
            )
