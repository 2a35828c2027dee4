"""The file as it grows: nodes, constants and weights, and the few operators that all rules are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper

from armour.errors import UnsupportedError
from armour.formats.onnx.export_values import Size, Step, Value, size_of

TYPES: dict[str, int] = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "bool": TensorProto.BOOL,
}
END = 2**63 - 1  # a Slice to the end of an axis
START = -(2**63) + 1  # and backwards, to its start


class Writer:
    """Nodes, constants and weights of one file; rules add to it.

    state: the network's weights by name. opset: of the default domain.
    """

    def __init__(self, state: Mapping[str, np.ndarray], opset: int) -> None:
        self.state, self.opset = state, opset
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}  # initialisers, in the order in which they were used
        self.taken: set[str] = set(state)
        self.batch: str | None = None  # the input whose first axis is the batch
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._scope, self._first = "", 0
        self._length: str | None = None

    # -- nodes ----------------

    def add(self, kind: str, inputs: Sequence[str], /, **attrs: Any) -> str:
        """A node with one output, whose name is given back. Attributes that are None are left out."""
        return self.add_many(kind, inputs, 1, **attrs)[0]

    def add_many(self, kind: str, inputs: Sequence[str], count: int, /, **attrs: Any) -> list[str]:
        """A node with several outputs."""
        names = [self.fresh(f"{self._scope}/{kind}" if self._scope else kind) for _ in range(count)]
        given = {key: value for key, value in attrs.items() if value is not None}
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=names[0], **given))
        return names

    def fresh(self, name: str) -> str:
        """The name, with a number if it is taken."""
        candidate, times = name, 1
        while candidate in self.taken:
            times += 1
            candidate = f"{name}_{times}"
        self.taken.add(candidate)
        return candidate

    def begin(self, scope: str) -> tuple[str, int]:
        """Nodes from here on are named after `scope`; gives what `leave` takes."""
        before = self._scope, self._first
        self._scope, self._first = scope, len(self.nodes)
        return before

    def leave(self, before: tuple[str, int]) -> None:
        """Back to what was before `begin`."""
        self._scope, self._first = before

    def end(self, found: str, wanted: str) -> None:
        """What was made since `begin` as `found` is called `wanted`; an Identity if it was made before."""
        mine = self.nodes[self._first :]
        maker = next((node for node in mine if found in node.output), None)
        if maker is None:
            self.nodes.append(helper.make_node("Identity", [found], [wanted], name=wanted))
            return
        for node in mine:
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    if name == found:
                        names[i] = wanted
        if maker.name == found:
            maker.name = wanted

    # -- constants and weights ----------------

    def weight(self, name: str) -> str:
        """A weight of the state as an initialiser of that name."""
        if name not in self.weights:
            self.weights[name] = self.state[name]
        return name

    def own(self, step: Step, name: str) -> str:
        """A layer's weight, in the dtype of the layer's output."""
        key = self.weight(step.weight(name))
        return self.cast(key, self.state[key].dtype, step.out.dtype)

    def converted(self, name: str, value: np.ndarray) -> str:
        """An array made of weights as an initialiser of its own."""
        name = self.fresh(name)
        self.weights[name] = value
        return name

    def const(self, value: Any, dtype: Any = None) -> str:
        """An array as an initialiser; equal arrays are stored once."""
        array = np.asarray(value, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self.fresh(f"constant_{len(self._constants)}")
            self._constants[key], self.weights[name] = name, array
        return self._constants[key]

    def scalar(self, value: Any, dtype: Any) -> str:
        """One number of this dtype as a constant without axes."""
        return self.const(np.asarray(value).astype(dtype).reshape(()))

    def ints(self, values: Sequence[int]) -> str:
        """Whole numbers as an int64 vector."""
        return self.const(np.asarray(tuple(values), np.int64).reshape(-1))

    # -- lengths that depend on the batch ----------------

    def lengths(self, sizes: Sequence[Size]) -> str:
        """The lengths as an int64 vector, worked out when the file runs if one depends on the batch."""
        if all(size.per == 0 for size in sizes):
            return self.ints([size.plus for size in sizes])
        parts: list[str] = []
        known: list[int] = []
        for size in sizes:
            if size.per == 0:
                known.append(size.plus)
                continue
            if known:
                parts.append(self.ints(known))
                known = []
            parts.append(self.length(size))
        if known:
            parts.append(self.ints(known))
        return parts[0] if len(parts) == 1 else self.add("Concat", parts, axis=0)

    def length(self, size: Size) -> str:
        """One length as an int64 vector of one element."""
        if size.per == 0:
            return self.ints([size.plus])
        name = self._samples()
        if size.per != 1:
            name = self.add("Mul", [name, self.ints([size.per])])
        return self.add("Add", [name, self.ints([size.plus])]) if size.plus else name

    def _samples(self) -> str:
        if self.batch is None:
            raise UnsupportedError("a length depends on the batch, but no input has a batch axis")
        shape = self.add("Shape", [self.batch])
        return self.add("Gather", [shape, self.ints([0])], axis=0)

    # -- what all rules use ----------------

    def cast(self, name: str, before: np.dtype[Any], after: Any) -> str:
        """The value in another dtype; the same name if it has it already."""
        wanted = np.dtype(after)
        return name if before == wanted else self.add("Cast", [name], to=TYPES[wanted.name])

    def as_(self, value: Value, dtype: Any) -> str:
        """The name of a value in this dtype."""
        return self.cast(value.name, value.dtype, dtype)

    def reshape(self, name: str, sizes: Sequence[Size], before: Sequence[Size] | None = None) -> str:
        """The elements in another shape. before: the lengths now, where known."""
        open_ = [i for i, size in enumerate(sizes) if size.per]
        kept = [i for i in open_ if before is not None and i < len(before) and before[i] == sizes[i]]
        empty = any(size == (0, 0) for size in sizes)
        if not empty and len(open_) - len(kept) <= 1 and (len(open_) < 2 or kept):
            # -1 for one length that depends on the batch, 0 for those that stay where they are.
            free = next((i for i in open_ if i not in kept), open_[0] if len(open_) == 1 else -1)
            target = [-1 if i == free else 0 if size.per else size.plus for i, size in enumerate(sizes)]
            return self.add("Reshape", [name, self.ints(target)])
        return self.add("Reshape", [name, self.lengths(sizes)], allowzero=1 if empty else None)

    def squeeze(self, name: str, axes: Sequence[int]) -> str:
        """Without these axes, of length 1."""
        return self.add("Squeeze", [name, self.ints(axes)]) if len(axes) else name

    def unsqueeze(self, name: str, axes: Sequence[int]) -> str:
        """With axes of length 1 at these places of the result."""
        return self.add("Unsqueeze", [name, self.ints(axes)]) if len(axes) else name

    def transpose(self, name: str, order: Sequence[int]) -> str:
        """Axes permuted; the same name if they stay."""
        stays = list(order) == list(range(len(order)))
        return name if stays else self.add("Transpose", [name], perm=[int(i) for i in order])

    def slice(self, name: str, cuts: Mapping[int, tuple[Any, Any, int]]) -> str:
        """Parts of axes: axis -> (start, stop, step); ends may grow with the batch."""
        if not cuts:
            return name
        axes = sorted(cuts)
        columns = [self.lengths([size_of(cuts[a][i]) for a in axes]) for i in (0, 1)]
        steps = [cuts[a][2] for a in axes]
        last = [] if all(s == 1 for s in steps) else [self.ints(steps)]
        return self.add("Slice", [name, *columns, self.ints(axes), *last])

    def reduce(self, kind: str, name: str, axes: Sequence[int] | None, keepdims: bool) -> str:
        """ReduceSum, ReduceMean and so on. axes: None for all. For most they are an input since opset 18."""
        given = None if axes is None else [int(a) for a in axes]
        if given is not None and not given:
            return name
        if given is None or (self.opset < 18 and kind != "ReduceSum"):
            return self.add(kind, [name], axes=given, keepdims=int(keepdims))
        return self.add(kind, [name, self.ints(given)], keepdims=int(keepdims))

    def pad(
        self, name: str, widths: Sequence[tuple[int, int]], value: str = "", mode: str = "constant"
    ) -> str:
        """Extended on both sides of each axis. value: the name of a scalar, or zeros."""
        if not any(a or b for a, b in widths):
            return name
        pads = self.ints([a for a, _ in widths] + [b for _, b in widths])
        inputs = [name, pads, value] if value else [name, pads]
        return self.add("Pad", inputs, mode=None if mode == "constant" else mode)

    def along(self, name: str, axis: int, ndim: int, matrix: np.ndarray) -> str:
        """Elements along an axis replaced by `matrix` (out, in) times them."""
        if axis == ndim - 2:
            return self.add("MatMul", [self.const(matrix), name])
        order = [*(i for i in range(ndim) if i != axis), axis]
        moved = self.add("MatMul", [self.transpose(name, order), self.const(np.ascontiguousarray(matrix.T))])
        return self.transpose(moved, [order.index(i) for i in range(ndim)])
