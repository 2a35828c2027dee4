"""Per-sample gradients of parameters that operations use directly, outside of any layer with a rule.

A row of the op table registers a function that gives the gradients of an input which all samples share. What
shows a parameter in another form first (reshaped, transposed, sliced) is undone for each sample's gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from armour.tensor.core import Tensor
from armour.tensor.op import OPS, Op
from armour.tensor.reduce import sum as sum_of
from armour.tensor.sample_conv import Convolved, sum_places
from armour.tensor.sample_grads import Dense, Outer, OuterSum, SampleGrad
from armour.tensor.sample_lookup import LookUp
from armour.tensor.shape import broadcast_to, reshape, transpose
from armour.tensor.tape import Node, unbroadcast

# (index of the shared input, the step on the tape, its output y, the gradient g of y, batch axis of y) -> the
# input's gradients; None if it is no use of that kind
RowSampler = Callable[[int, Node, Tensor, Tensor, int], SampleGrad | None]
S = TypeVar("S", bound=RowSampler)
ROWS: dict[str, RowSampler] = {}


def row_sampler(*names: str) -> Callable[[S], S]:
    """Decorator: the function gives the per-sample gradients of one input of these rows."""

    def register(sampler: S) -> S:
        ROWS.update(dict.fromkeys(names, sampler))
        return sampler

    return register


@row_sampler("add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "where", "broadcast_to")
def elementwise(index: int, node: Node, y: Tensor, g: Tensor, axis: int) -> SampleGrad | None:
    """An input broadcast along the batch axis: the rule's gradient, summed over all other such axes."""
    part = node.op.input_vjp(index, g, y, node.inputs, node.attrs)
    return _spread(node.inputs[index], part if part.shape == g.shape else broadcast_to(part, g.shape), axis)


def _spread(p: Tensor, part: Tensor, axis: int) -> SampleGrad | None:
    more = part.ndim - p.ndim
    kept = [*(1,) * more, *p.shape]
    if more < 0 or kept[axis] != 1:
        return None
    kept[axis] = n = part.shape[axis]
    value = front(unbroadcast(part.astype(p.dtype), tuple(kept)), axis)
    return Dense(reshape(value, (n, *p.shape)))


def front(t: Tensor, axis: int) -> Tensor:
    """The tensor with that axis first."""
    return t if axis == 0 else transpose(t, (axis, *(i for i in range(t.ndim) if i != axis)))


@row_sampler("linear")
def linear(index: int, node: Node, y: Tensor, g: Tensor, axis: int) -> SampleGrad | None:
    """Weight or bias of x (..., in), with the samples along any axis but the last."""
    x = node.inputs[0]
    if index == 0 or axis >= g.ndim - 1:
        return None
    g = front(g, axis)
    if index == 1:
        return _products(g, front(x, axis))
    return Dense(g if g.ndim == 2 else sum_of(_places(g), axis=1))


@row_sampler("matmul")
def matmul(index: int, node: Node, y: Tensor, g: Tensor, axis: int) -> SampleGrad | None:
    """x (..., k) @ w (k, m), or w (m, k) @ x (..., k, t)."""
    if node.inputs[index].ndim != 2 or node.inputs[1 - index].ndim != g.ndim or axis >= g.ndim - 1:
        return None
    if index == 1:
        return _products(front(node.inputs[0], axis), front(g, axis))
    if axis >= g.ndim - 2:
        return None
    return _spread(node.inputs[0], node.op.input_vjp(0, g, y, node.inputs, node.attrs), axis)


@row_sampler("conv2d")
def conv2d(index: int, node: Node, y: Tensor, g: Tensor, axis: int) -> SampleGrad | None:
    """Weight or bias of x (n, c, h, w)."""
    if index == 0 or axis:
        return None
    if index == 2:
        return Dense(sum_places(g))
    kernel = node.inputs[1].shape[2:]
    return Convolved(node.inputs[0], g, (kernel[0], kernel[1]), node.attrs)


@row_sampler("conv2d_input_grad")
def conv_transpose2d(index: int, node: Node, y: Tensor, g: Tensor, axis: int) -> SampleGrad | None:
    """Weight of a transposed convolution: input and gradient change places."""
    if index == 0 or axis:
        return None
    kernel, settings = node.inputs[1].shape[2:], {k: v for k, v in node.attrs.items() if k != "size"}
    return Convolved(g, node.inputs[0], (kernel[0], kernel[1]), settings)


@row_sampler("scale_shift", "scale_channels")
def scale_shift(index: int, node: Node, y: Tensor, g: Tensor, axis: int) -> SampleGrad | None:
    """Scale or shift of the channels of x (n, c, ...)."""
    if index == 0 or axis:
        return None
    return Dense(sum_places(g * node.inputs[0] if index == 1 else g))


@row_sampler("gather")
def gather(index: int, node: Node, y: Tensor, g: Tensor, axis: int) -> SampleGrad | None:
    """Rows of a table (v, d) by numbers (..., n, ...), as of an embedding."""
    table, numbers = node.inputs
    if index or node.attrs["axis"] or table.ndim != 2 or axis >= numbers.ndim:
        return None
    g, numbers = front(g, axis), front(numbers, axis)
    n, features = g.shape[0], table.shape[1]
    return LookUp(reshape(numbers, (n, -1)), reshape(g, (n, -1, features)), table.shape[0])


def _products(d: Tensor, a: Tensor) -> SampleGrad:
    return Outer(d, a) if d.ndim == 2 else OuterSum(_places(d), _places(a))


def _places(t: Tensor) -> Tensor:
    return t if t.ndim == 3 else reshape(t, (t.shape[0], math.prod(t.shape[1:-1]), t.shape[-1]))


# -- parameters in another form -------------------------------------------------------------------------


class View(SampleGrad):
    """Gradients of what a row with one input shows in another form. inner: of what it shows."""

    def __init__(self, inner: SampleGrad, row: Op, attrs: dict[str, Any], shape: tuple[int, ...]) -> None:
        self._inner, self._row, self._attrs, self._shape = inner, row, attrs, shape

    def _dense(self) -> Tensor:
        return self._pull(self._inner.dense)

    def square_norms(self) -> Tensor:
        """The elements are the same ones, in other places."""
        return self._inner.square_norms()

    def weighted(self, weights: Tensor) -> Tensor:
        """The sum of what it shows, put in its places."""
        total = self._inner.weighted(weights)
        return reshape(self._pull(reshape(total, (1, *total.shape))), self._shape)

    def _pull(self, d: Tensor) -> Tensor:
        shape = (d.shape[0], *self._shape)
        if self._row.name == "reshape":
            return reshape(d, shape)
        if self._row.name == "transpose":
            axes = [a % len(self._shape) for a in self._attrs["axes"]]
            return transpose(d, (0, *(axes.index(i) + 1 for i in range(len(axes)))))
        if self._row.name == "alias":
            return d
        index = self._attrs["index"]
        index = index if isinstance(index, tuple) else (index,)
        return OPS["getitem_grad"](d, index=(slice(None), *index), shape=shape)


def shows(row: Op, attrs: dict[str, Any]) -> bool:
    """True if the row shows each element of its only input at most once, so that `View` can undo it."""
    if row.name == "getitem":
        index = attrs["index"]
        parts = index if isinstance(index, tuple) else (index,)
        return all(p is None or p is Ellipsis or isinstance(p, (int, slice)) for p in parts)
    return row.name in ("reshape", "transpose", "alias")
