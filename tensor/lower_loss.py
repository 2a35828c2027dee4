"""Plan kernels for losses: cross-entropy and its gradient from one set of exponentials."""

from __future__ import annotations

from functools import partial

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.backend import Array, Namespace
from armour.tensor.layout import Layout, kernel
from armour.tensor.program import Step


@kernel("cross_entropy_pair")
def cross_entropy_pair(layout: Layout, step: Step) -> bool:
    """Loss (n,) and its gradient (n, k), by the formulas of armour/tensor/losses.py."""
    logits, labels = step.inputs
    n, k = logits.shape
    if labels.dtype != "int64" or not n or not k or not layout.array(logits).flags.c_contiguous:
        return False
    loss, slope = (layout.make(v, last=False) for v in step.outs)
    first = layout.kept("first of row", (n,), "int64", lambda a: a.__setitem__(..., layout.xp.arange(n) * k))
    places = layout.scratch((n,), "int64")
    own, gap, others = (layout.scratch((n, 1), logits.dtype) for _ in range(3))
    z, y = layout.array(logits), layout.array(labels)
    layout.emit(partial(_pair, layout.xp, z, y, first, places, own, gap, others, loss.reshape((n, 1)), slope))
    return True


def _pair(
    xp: Namespace, z: Array, labels: Array, first: Array, places: Array, own: Array, gap: Array,
    others: Array, loss: Array, slope: Array,
) -> None:  # fmt: skip
    # The label's own term is left out of the sum, so that the small loss of a sure answer keeps its digits,
    # and so does its gradient.
    check_labels(xp, labels, z.shape[1])
    xp.add(first, labels, out=places)
    flat = slope.reshape((-1,))
    _reduce(xp, "max", z, gap)
    xp.subtract(z, gap, slope)
    xp.take(flat, places, out=own.reshape((-1,)))
    xp.negative(own, gap)
    xp.exp(slope, slope)
    xp.exp(own, own)
    flat[places] = 0
    _reduce(xp, "sum", slope, others)
    xp.negative(gap, loss)
    xp.expm1(loss, loss)
    loss += others
    xp.log1p(loss, loss)
    loss += gap
    own += others
    slope /= own
    others /= own
    flat[places] = -others.reshape((-1,))


def _reduce(xp: Namespace, name: str, rows: Array, out: Array) -> None:
    # np.max and np.sum take as long again to call what does the work.
    if xp is np:
        (np.maximum if name == "max" else np.add).reduce(rows, axis=1, keepdims=True, out=out)
    else:
        getattr(xp, name)(rows, axis=1, keepdims=True, out=out)


def check_labels(xp: Namespace, labels: Array, classes: int) -> None:
    """InvalidArgument for int64 labels on the host of which one is no class; a device is not waited for."""
    # As unsigned numbers those below 0 are large, so one comparison finds both kinds.
    if xp is np and int(np.maximum.reduce(labels.view(np.uint64))) >= classes:
        refuse_labels(labels, classes)


def refuse_labels(labels: Array, classes: int) -> None:
    """InvalidArgument for labels of which one is no class."""
    raise InvalidArgument(f"expected labels from 0 to {classes - 1}, got {labels.reshape(-1).tolist()[:20]}")
