"""Plan kernels for batch normalisation in training and for sums over all but the channels.

Memory (n, h, w, c) is taken as lines of several pixels, because an operation costs a call for each run and
runs of a few channels are too short; what belongs to the channels is written along such a line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from armour.tensor.backend import Array
from armour.tensor.layout import Layout, kernel
from armour.tensor.lower_basic import apply_mask, apply_relu
from armour.tensor.program import Step, Value

LENGTH = 1024  # elements of a line, about
BLOCK = 1 << 16  # elements that stay in the cache between two passes


class Lines:
    """Values of one shape as lines (m, r * c), with what kernels need to go over them in blocks."""

    def __init__(self, layout: Layout, values: tuple[Value, ...]) -> None:
        self.layout, self.channels = layout, values[0].shape[1]
        self.pixels = math.prod(values[0].shape) // self.channels if self.channels else 0
        fitting = range(max(1, LENGTH // max(self.channels, 1)), 0, -1)
        self.repeats = next((r for r in fitting if self.pixels % r == 0), 1)

    def of(self, array: Array) -> Array:
        """A contiguous (..., c) as lines."""
        return array.reshape((self.pixels // self.repeats, self.repeats * self.channels))

    def blocks(self) -> Iterator[slice]:
        """Slices of lines that stay in the cache."""
        rows = self.pixels // self.repeats
        step = max(1, BLOCK // (self.repeats * self.channels)) if self.layout.xp is np else rows
        return (slice(i, min(i + step, rows)) for i in range(0, rows, step))

    def spread(self, values: Array) -> Array:
        """Emits what writes (c,) values along a line, at each run."""
        line = self.layout.scratch((self.repeats, self.channels), values.dtype)
        self.layout.copy(line, values)
        return line.reshape((-1,))

    def add_sums(self, block: Array, total: Array) -> None:
        """Emit total (c,) += the sums of a block of lines."""
        xp, layout = self.layout.xp, self.layout
        ones = layout.kept("ones", (block.shape[0],), block.dtype, lambda a: a.fill(1))
        line = layout.scratch((block.shape[1],), block.dtype)
        part = layout.scratch((self.channels,), block.dtype)
        layout.emit(partial(xp.matmul, ones, block, out=line))
        layout.emit(partial(xp.sum, line.reshape((self.repeats, self.channels)), axis=0, out=part))
        layout.emit(partial(xp.add, total, part, total))


def channel_rows(layout: Layout, value: Value) -> Array:
    """A value (n, c) or (n, c, h, w) with the channels last and contiguous."""
    return layout.rows(value) if len(value.shape) == 4 else layout.array(value)


def fits(step: Step) -> bool:
    """True for images or rows of one floating dtype with something in them."""
    values = [v for v in (*step.inputs, *step.outs) if len(v.shape) > 1]
    same = all(v.dtype == values[0].dtype for v in values) and values[0].dtype.kind == "f"
    return same and len(step.inputs[0].shape) in (2, 4) and all(step.inputs[0].shape)


def make_like(layout: Layout, value: Value) -> Array:
    """Memory for a value (n, c) or (n, c, h, w), with the channels last."""
    return layout.make_rows(value) if len(value.shape) == 4 else layout.make(value, last=False)


@kernel("batch_statistics")
def batch_statistics(layout: Layout, step: Step) -> bool:
    """Means, then the means of the squared distances from them."""
    (x,) = step.inputs
    if not fits(step):
        return False
    xp, lines = layout.xp, Lines(layout, (x,))
    values, out = lines.of(channel_rows(layout, x)), layout.make(step.out, last=False)
    count = x.dtype.type(lines.pixels)
    layout.emit(partial(out.fill, 0))
    for rows in lines.blocks():
        lines.add_sums(values[rows], out[0])
    layout.emit(partial(xp.divide, out[0], count, out[0]))
    middle = lines.spread(out[0])
    for rows in lines.blocks():
        centred = layout.scratch(values[rows].shape, x.dtype)
        layout.emit(partial(xp.subtract, values[rows], middle, centred))
        layout.emit(partial(xp.multiply, centred, centred, centred))
        lines.add_sums(centred, out[1])
    layout.emit(partial(xp.divide, out[1], count, out[1]))
    return True


@kernel("norm_train")
def norm_train(layout: Layout, step: Step) -> bool:
    """Subtract, scale, shift and relu, block by block."""
    x, weight, bias, statistics = step.inputs
    if not fits(step):
        return False
    xp, lines = layout.xp, Lines(layout, (x,))
    values = lines.of(channel_rows(layout, x))
    target = lines.of(make_like(layout, step.out))
    mean, var = layout.array(statistics)[0], layout.array(statistics)[1]
    scale = layout.scratch(mean.shape, mean.dtype)
    deviation(layout, var, step.attrs["eps"], scale)
    layout.emit(partial(xp.divide, layout.array(weight), scale, scale))
    middle, factor, level = lines.spread(mean), lines.spread(scale), lines.spread(layout.array(bias))
    for rows in lines.blocks():
        # Subtracting the mean first loses no digits where it is large beside the deviation.
        layout.emit(partial(xp.subtract, values[rows], middle, target[rows]))
        layout.emit(partial(xp.multiply, target[rows], factor, target[rows]))
        layout.emit(partial(xp.add, target[rows], level, target[rows]))
        if step.attrs["relu"]:
            apply_relu(layout, target[rows].reshape((-1,)))
    return True


def deviation(layout: Layout, var: Array, eps: float, out: Array) -> None:
    """Emit out = sqrt(var + eps)."""
    layout.emit(partial(layout.xp.add, var, var.dtype.type(eps), out))
    layout.emit(partial(layout.xp.sqrt, out, out))


@kernel("norm_grad")
def norm_grad(layout: Layout, step: Step) -> bool:
    """The sums of g and of g * (x - mean), then the gradient made of them."""
    g, x, weight, statistics, *mask = step.inputs
    if not fits(step):
        return False
    xp, lines = layout.xp, Lines(layout, (x,))
    values, slopes = lines.of(channel_rows(layout, x)), lines.of(channel_rows(layout, g))
    target = lines.of(make_like(layout, step.out))
    sums = layout.make(step.outs[1], last=False)
    mean, var = layout.array(statistics)[0], layout.array(statistics)[1]
    middle = lines.spread(mean)
    layout.emit(partial(sums.fill, 0))
    if mask:
        layout.copy(target, slopes)
        shown = lines.of(channel_rows(layout, mask[0]))
        for rows in lines.blocks():
            apply_mask(layout, target[rows].reshape((-1,)), shown[rows].reshape((-1,)))
        slopes = target
    for rows in lines.blocks():
        centred = layout.scratch(values[rows].shape, x.dtype)
        lines.add_sums(slopes[rows], sums[0])
        layout.emit(partial(xp.subtract, values[rows], middle, centred))
        layout.emit(partial(xp.multiply, centred, slopes[rows], centred))
        lines.add_sums(centred, sums[1])
    # scale * (g - mean of g - (x - mean) * (mean of g * (x - mean)) / (var + eps))
    small = [layout.scratch(mean.shape, mean.dtype) for _ in range(3)]
    call = _factors(layout, var, layout.array(weight), sums, step.attrs["eps"], lines.pixels, small)
    layout.emit(call)
    factor, along, level = (lines.spread(a) for a in small)
    for rows in lines.blocks():
        centred = layout.scratch(values[rows].shape, x.dtype)
        layout.emit(partial(xp.subtract, values[rows], middle, centred))
        layout.emit(partial(xp.multiply, centred, along, centred))
        layout.emit(partial(xp.multiply, slopes[rows], factor, target[rows]))
        layout.emit(partial(xp.add, target[rows], centred, target[rows]))
        layout.emit(partial(xp.add, target[rows], level, target[rows]))
    return True


def _factors(
    layout: Layout, var: Array, weight: Array, sums: Array, eps: float, count: int, out: list[Array]
) -> Callable[[], Any]:
    xp, kind = layout.xp, var.dtype.type

    def run() -> None:
        variance = var + kind(eps)
        scale = weight / xp.sqrt(variance)
        out[0][...] = scale
        out[1][...] = scale * sums[1] / (variance * kind(-count))
        out[2][...] = scale * sums[0] / kind(-count)

    return run


@kernel("batch_norm_eval", "scale_channels")
def affine(layout: Layout, step: Step) -> bool:
    """x * scale + shift, where both follow from weights alone, in one or two passes block by block."""
    x, *parameters = step.inputs
    if not fits(step) or not all(layout.fixed(v) for v in parameters):
        return False
    xp, lines = layout.xp, Lines(layout, (x,))
    values, target = lines.of(channel_rows(layout, x)), lines.of(make_like(layout, step.out))
    scale, shift = (layout.own((lines.repeats, lines.channels), x.dtype) for _ in range(2))
    sources = [layout.weight(v) for v in parameters]

    def load() -> None:
        if step.row.name == "scale_channels":
            scale[...] = sources[0]()
            return
        weight, bias, mean, var = (get() for get in sources)
        scale[...] = weight / xp.sqrt(var + var.dtype.type(step.attrs["eps"]))
        shift[...] = bias - scale[0] * mean

    layout.on_load(load)
    factor, level = scale.reshape((-1,)), shift.reshape((-1,))
    if "numba" in layout.families and x.dtype == "float32" and step.row.name == "batch_norm_eval":
        from armour.tensor.kernels import numba_kernels

        layout.emit(numba_kernels.scale_shift.bind(values, factor, level, target))
        return True
    for rows in lines.blocks():
        layout.emit(partial(xp.multiply, values[rows], factor, target[rows]))
        if step.row.name == "batch_norm_eval":
            layout.emit(partial(xp.add, target[rows], level, target[rows]))
    return True


@kernel("sum")
def sum_of_channels(layout: Layout, step: Step) -> bool:
    """Sums over all but the channels of an image whose channels lie last: lines added up by a product."""
    (x,) = step.inputs
    axis = step.attrs.get("axis")
    if len(x.shape) != 4 or not isinstance(axis, tuple) or {a % 4 for a in axis} != {0, 2, 3}:
        return False
    if step.attrs.get("keepdims") or not fits(step) or layout.array(x).flags.c_contiguous:
        return False
    lines, out = Lines(layout, (x,)), layout.make(step.out, last=False)
    values = lines.of(layout.rows(x))
    layout.emit(partial(out.fill, 0))
    for rows in lines.blocks():
        lines.add_sums(values[rows], out)
    return True


@kernel("mean")
def mean_of_image(layout: Layout, step: Step) -> bool:
    """Means over the image, (n, c, h, w) to (n, c), as one product for each sample."""
    (x,) = step.inputs
    axis = step.attrs.get("axis")
    if len(x.shape) != 4 or not isinstance(axis, tuple) or {a % 4 for a in axis} != {2, 3}:
        return False
    if step.attrs.get("keepdims") or not fits(step) or layout.array(x).flags.c_contiguous:
        return False
    n, c, h, w = x.shape
    share = layout.kept("share", (1, h * w), x.dtype, lambda a: a.fill(1.0 / (h * w)))
    out = layout.make(step.out, last=False)
    rows = layout.rows(x).reshape((n, h * w, c))
    layout.emit(partial(layout.xp.matmul, share, rows, out=out.reshape((n, 1, c))))
    return True
