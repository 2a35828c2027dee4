"""Plan kernels by oneDNN: convolutions and linear layers of float32 with weights packed at load time.

oneDNN's own relu turns NaN into 0, which would hide what a fuzzer looks for; so a relu is a pass of its own,
while bias and shortcut are part of the product.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from armour.tensor.backend import Array
from armour.tensor.kernels import narrow, onednn, onednn_linear, onednn_phases
from armour.tensor.kernels.numpy_kernels import Margins
from armour.tensor.layout import Layout, kernel
from armour.tensor.lower_basic import apply_mask, apply_relu, matrix
from armour.tensor.program import Step, Value

# Rows from which packing a matrix ahead pays: below, reading it is what takes time, and a second packed copy
# (forward and backward want their own) pushes the first out of the cache.
FEWEST = 4


def _float32(layout: Layout, values: tuple[Value, ...]) -> bool:
    return all(v.dtype == "float32" for v in values)


def _margins(attrs: dict[str, Any]) -> Margins:
    ph, pw = attrs["padding"]
    return (ph, ph), (pw, pw)


class _Window:
    """How a convolution is given to oneDNN: an image of one column is turned into one of a single line.

    oneDNN makes vectors of several pixels along a line; with one pixel a line it is ten times slower.
    """

    def __init__(self, x: tuple[int, ...], w: tuple[int, ...], attrs: dict[str, Any]) -> None:
        self.turned = x[3] == w[3] == 1 and x[2] > 1 and attrs["padding"][1] == 0
        order = (1, 0) if self.turned else (0, 1)
        stride, padding, dilation = (
            tuple(attrs[key][i] for i in order) for key in ("stride", "padding", "dilation")
        )
        self.weight = (*w[:2], *(w[2 + i] for i in order))
        self.numbers: tuple[Any, ...] = stride, tuple((p, p) for p in padding), dilation, attrs["groups"]

    def image(self, rows: Array) -> Array:
        """(n, h, w, c) as oneDNN gets it."""
        n, h, w, c = rows.shape
        return rows.reshape((n, w, h, c)) if self.turned else rows

    def load(self, made: Any) -> Callable[..., None]:
        """made.load for weights in their own order."""
        return lambda w, *bias: made.load(w.reshape(self.weight), *bias)


@kernel("conv", family="onednn")
def conv(layout: Layout, step: Step) -> bool:
    """Convolution, bias and shortcut in one call; then relu."""
    x, w, *more = step.inputs
    attrs = step.attrs
    bias = more[0] if attrs["bias"] else None
    if not _float32(layout, step.inputs) or not all((*x.shape, *step.out.shape)) or not layout.fixed(w):
        return False
    if bias is not None and not layout.fixed(bias):
        return False
    window = _Window(x.shape, w.shape, attrs)
    source = window.image(layout.rows(x))
    shortcut = window.image(layout.rows(more[-1])) if attrs["residual"] else False
    out = window.image(layout.make_rows(step.out))
    made = onednn.ConvForward(
        source, window.weight, out, *window.numbers, bias=bias is not None, add=shortcut
    )
    _loaded(layout, made, w, bias, window.load(made))
    if attrs["relu"]:
        apply_relu(layout, out.reshape((-1,)))
    return True


@kernel("conv_input_grad", family="onednn")
def narrow_input_grad(layout: Layout, step: Step) -> bool:
    """The gradient by an image of a few channels, as kernels/narrow.py: channels come first in it."""
    g, w, *_ = step.inputs
    attrs, size = step.attrs, step.attrs["size"]
    if not _float32(layout, step.inputs) or not all(g.shape) or not layout.fixed(w):
        return False
    if attrs["add"] or attrs["mask"] or "numba" not in layout.families:
        return False
    around, dilation = _margins(attrs), attrs["dilation"]
    if not narrow.suits(w.shape, size, attrs["stride"], around, dilation, attrs["groups"]):
        return False
    source, out = layout.rows(g), layout.make(step.out, last=False)
    _loaded(layout, narrow.NarrowInputGrad(source, w.shape, out, around, dilation), w, None)
    return True


@kernel("conv_input_grad", family="onednn")
def phased_input_grad(layout: Layout, step: Step) -> bool:
    """The gradient by an image of a few channels through a stride, as kernels/onednn_phases.py."""
    g, w, *_ = step.inputs
    attrs = step.attrs
    if not _float32(layout, step.inputs) or not all((*g.shape, *step.out.shape)) or not layout.fixed(w):
        return False
    if attrs["add"] or attrs["mask"]:
        return False
    (n, c, height, width), (_, o, oh, ow) = step.out.shape, g.shape
    around, stride = _margins(attrs), attrs["stride"]
    shapes = (n, height, width, c), w.shape, (n, oh, ow, o)
    if not onednn_phases.suits(*shapes, stride, around, attrs["dilation"], attrs["groups"]):
        return False
    source, out = layout.rows(g), layout.make_rows(step.out)
    _loaded(layout, onednn_phases.PhasedInputGrad(source, w.shape, out, stride, around), w, None)
    return True


@kernel("conv_input_grad", family="onednn")
def conv_input_grad(layout: Layout, step: Step) -> bool:
    """The input gradient and what is added to it; then the mask."""
    g, w, *more = step.inputs
    attrs = step.attrs
    if not _float32(layout, step.inputs) or not all((*g.shape, *step.out.shape)) or not layout.fixed(w):
        return False
    window = _Window(step.out.shape, w.shape, attrs)
    source = window.image(layout.rows(g))
    other = window.image(layout.rows(more[0])) if attrs["add"] else False
    mask = layout.rows(more[-1]) if attrs["mask"] else None
    out = window.image(layout.make_rows(step.out))
    made = onednn.ConvInputGrad(source, window.weight, out, *window.numbers, add=other)
    _loaded(layout, made, w, None, window.load(made))
    if mask is not None:
        apply_mask(layout, out.reshape((-1,)), mask.reshape((-1,)))
    return True


@kernel("conv2d_weight_grad", family="onednn")
def conv_weight_grad(layout: Layout, step: Step) -> bool:
    """The weight gradient in one call."""
    x, g = step.inputs
    attrs = step.attrs
    if not _float32(layout, step.inputs) or not all((*x.shape, *g.shape)):
        return False
    window = _Window(x.shape, step.out.shape, attrs)
    source, slope = window.image(layout.rows(x)), window.image(layout.rows(g))
    out = layout.make(step.out, last=False).reshape(window.weight)
    made = onednn.ConvWeightGrad(source, slope, out, *window.numbers)
    layout.owned.append(made)
    layout.emit(made.run)
    return True


@kernel("linear", "linear_relu", family="onednn")
def linear(layout: Layout, step: Step) -> bool:
    """x @ w.T + b with w packed ahead; then relu."""
    x, w, *bias = step.inputs
    if not _float32(layout, step.inputs) or not all(x.shape) or not _pays(math.prod(x.shape[:-1]), w):
        return False
    if not all(layout.fixed(v) for v in step.inputs[1:]) or not layout.array(x).flags.c_contiguous:
        return False
    out = layout.make(step.out, last=False).reshape((-1, w.shape[0]))
    made = onednn_linear.Linear(matrix(layout, x), w.shape, out, bias=bool(bias))
    _loaded(layout, made, w, bias[0] if bias else None)
    if step.attrs.get("relu"):
        apply_relu(layout, out.reshape((-1,)))
    return True


@kernel("matmul", "matmul_masked", family="onednn")
def matmul(layout: Layout, step: Step) -> bool:
    """g @ w with w packed ahead: the input gradient of a linear layer; then the mask."""
    g, w, *mask = step.inputs
    if not _float32(layout, step.inputs) or len(g.shape) != 2 or len(w.shape) != 2 or not layout.fixed(w):
        return False
    known = layout.flat(mask) if mask else None
    if not _pays(g.shape[0], w) or (mask and known is None) or not layout.array(g).flags.c_contiguous:
        return False
    out = layout.make(step.out, last=False)
    _loaded(layout, onednn_linear.LinearInputGrad(layout.array(g), w.shape, out), w, None)
    if known is not None:
        apply_mask(layout, out.reshape((-1,)), known[0])
    return True


def _pays(rows: int, w: Value) -> bool:
    return rows >= FEWEST and min(w.shape) >= 8


def _loaded(
    layout: Layout, made: Any, w: Value, bias: Value | None, load: Callable[..., None] | None = None
) -> None:
    get: Callable[[], Array] = layout.weight(w)
    get_bias = None if bias is None else layout.weight(bias)
    take = made.load if load is None else load
    if get_bias is None:
        layout.on_load(lambda: take(get()))
    else:
        layout.on_load(lambda: take(get(), get_bias()))
    layout.owned.append(made)
    layout.emit(made.run)
