"""Plan kernels by Numba: elementwise steps, pooling, losses and batch normalisation in single passes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from armour.tensor.backend import Array
from armour.tensor.kernels import numba_kernels, numba_pool
from armour.tensor.layout import Layout, kernel
from armour.tensor.lower_loss import check_labels
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
