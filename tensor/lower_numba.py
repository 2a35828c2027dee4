"""Plan kernels by Numba: elementwise steps, pooling, losses and batch normalisation in single passes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from armour.tensor.backend import Array
from armour.tensor.kernels import numba_kernels, numba_norm, numba_pool
from armour.tensor.layout import Layout, kernel
from armour.tensor.lower_loss import check_labels
from armour.tensor.lower_norm import channel_rows, deviation, fits, make_like
from armour.tensor.program import Step


def _float32(step: Step) -> bool:
    return all(v.dtype == "float32" for v in (*step.inputs, *step.outs))


@kernel("max_pool2d", family="numba")
def max_pool2d(layout: Layout, step: Step) -> bool:
    """Compiled for the window and the number of channels."""
    (x,) = step.inputs
    if not _float32(step) or not all(step.out.shape):
        return False
    source, out = layout.rows(x), layout.make_rows(step.out)
    layout.emit(numba_pool.max_pool(source, out, step.attrs["kernel"], step.attrs["stride"]))
    return True


@kernel("max_unpool2d", family="numba")
def max_unpool2d(layout: Layout, step: Step) -> bool:
    """A line of windows at a time."""
    g, x, y = step.inputs
    if not _float32(step) or not all(y.shape):
        return False
    source, top, slope = layout.rows(x), layout.rows(y), layout.rows(g)
    out = layout.make_rows(step.out)
    kernel_size, stride = step.attrs["kernel"], step.attrs["stride"]
    layout.emit(numba_pool.max_pool_grad(source, top, slope, out, kernel_size, stride))
    return True


@kernel("avg_pool2d", family="numba")
def avg_pool2d(layout: Layout, step: Step) -> bool:
    """The mean of each window."""
    if not _float32(step) or not all(step.out.shape):
        return False
    source, out = layout.rows(step.inputs[0]), layout.make_rows(step.out)
    layout.emit(numba_pool.avg_pool(source, out, step.attrs["kernel"], step.attrs["stride"]))
    return True


@kernel("avg_unpool2d", family="numba")
def avg_unpool2d(layout: Layout, step: Step) -> bool:
    """Shares added up where windows overlap."""
    if not _float32(step) or not all(step.out.shape):
        return False
    slope, out = layout.rows(step.inputs[0]), layout.make_rows(step.out)
    layout.emit(numba_pool.avg_pool_grad(slope, out, step.attrs["kernel"], step.attrs["stride"]))
    return True


@kernel("batch_statistics", family="numba")
def batch_statistics(layout: Layout, step: Step) -> bool:
    """Two passes, sums in float64 over all."""
    (x,) = step.inputs
    if not _float32(step) or not fits(step):
        return False
    out = layout.make(step.out, last=False)
    lines = numba_norm.lines(channel_rows(layout, x))
    layout.emit(numba_norm.batch_statistics.bind(lines, out[0], out[1]))
    return True


@kernel("norm_train", family="numba")
def norm_train(layout: Layout, step: Step) -> bool:
    """Subtract, scale, shift and relu in one pass."""
    x, weight, bias, statistics = step.inputs
    if not _float32(step) or not fits(step) or not layout.array(bias).flags.c_contiguous:
        return False
    lines = numba_norm.lines
    source, out = lines(channel_rows(layout, x)), lines(make_like(layout, step.out))
    mean, var = layout.array(statistics)[0], layout.array(statistics)[1]
    scale = layout.scratch(mean.shape, mean.dtype)
    deviation(layout, var, step.attrs["eps"], scale)
    layout.emit(partial(layout.xp.divide, layout.array(weight), scale, scale))
    relu = bool(step.attrs["relu"])
    layout.emit(numba_norm.normalise.bind(source, mean, scale, layout.array(bias), out, relu))
    return True


@kernel("norm_grad", family="numba")
def norm_grad(layout: Layout, step: Step) -> bool:
    """Mask, sums and gradient in two passes."""
    g, x, weight, statistics, *mask = step.inputs
    if not _float32(step) or not fits(step) or not layout.array(weight).flags.c_contiguous:
        return False
    lines = numba_norm.lines
    source, slope = lines(channel_rows(layout, x)), lines(channel_rows(layout, g))
    shown = lines(channel_rows(layout, mask[0])) if mask else source
    out, sums = lines(make_like(layout, step.out)), layout.make(step.outs[1], last=False)
    mean, var = layout.array(statistics)[0], layout.array(statistics)[1]
    inverse = layout.scratch(mean.shape, mean.dtype)
    deviation(layout, var, step.attrs["eps"], inverse)
    ones = layout.kept("ones", mean.shape, mean.dtype, lambda a: a.fill(1))
    layout.emit(partial(layout.xp.divide, ones, inverse, inverse))
    weights = layout.array(weight)
    call = numba_norm.normalise_grad.bind(
        source, shown, slope, mean, inverse, weights, out, sums[1], sums[0], bool(mask)
    )
    layout.emit(call)
    # The kernel gives the gradient by the weight, which is the sum times the inverse deviation.
    layout.emit(partial(layout.xp.divide, sums[1], inverse, sums[1]))
    return True


@kernel("cross_entropy_pair", family="numba")
def cross_entropy_pair(layout: Layout, step: Step) -> bool:
    """One pass over the logits."""
    logits, labels = step.inputs
    if logits.dtype != "float32" or labels.dtype != "int64" or not all(logits.shape):
        return False
    z = layout.array(logits)
    if not z.flags.c_contiguous:
        return False
    loss, slope = (layout.make(v, last=False) for v in step.outs)
    run, y = (
        numba_kernels.softmax_cross_entropy.bind(z, layout.array(labels), loss, slope),
        layout.array(labels),
    )
    layout.emit(partial(_checked, run, y, logits.shape[1]))
    return True


def _checked(run: Any, labels: Array, classes: int) -> None:
    check_labels(np, labels, classes)
    run()
