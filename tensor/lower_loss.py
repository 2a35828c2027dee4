"""Plan kernels for losses: cross-entropy and its gradient from one set of exponentials."""

from __future__ import annotations

from armour.errors import InvalidArgument
from armour.tensor.backend import Array, Namespace
from armour.tensor.layout import Layout, kernel
from armour.tensor.program import Step


@kernel("cross_entropy_pair")
def cross_entropy_pair(layout: Layout, step: Step) -> bool:
    """Loss (n,) and its gradient (n, k), by the formulas of armour/tensor/losses.py."""
    logits, labels = step.inputs
    loss, slope = (layout.make(v, last=False) for v in step.outs)
    n, k = logits.shape
    if labels.dtype.kind not in "iu" or not n:
        return False
    xp, dtype = layout.xp, logits.dtype
    classes = layout.kept("classes", (k,), labels.dtype, lambda a: a.__setitem__(..., xp.arange(k)))
    own, top = layout.scratch((n, k), "bool"), layout.scratch((n, 1), dtype)
    mine, others = layout.scratch((n, 1), dtype), layout.scratch((n, 1), dtype)
    z, y = layout.array(logits), layout.array(labels).reshape((n, 1))
    layout.emit(lambda: _pair(xp, z, y, classes, own, top, mine, others, loss.reshape((n, 1)), slope))
    return True


def _pair(
    xp: Namespace, z: Array, labels: Array, classes: Array, own: Array, top: Array, mine: Array,
    others: Array, loss: Array, slope: Array,
) -> None:  # fmt: skip
    # Relative to the label's own logit and without its term, so that the small loss of a sure answer keeps
    # its digits, and so does its gradient.
    xp.equal(labels, classes, own)
    xp.multiply(z, own, slope)
    xp.sum(slope, axis=1, keepdims=True, out=mine)
    if not bool(xp.isfinite(mine).all()):  # infinity times 0
        xp.sum(xp.where(own, z, xp.zeros((), z.dtype)), axis=1, keepdims=True, out=mine)
    if xp.__name__ == "numpy" and xp.count_nonzero(own) != own.shape[0]:
        refuse_labels(labels, own.shape[1])
    xp.subtract(z, mine, slope)
    xp.max(slope, axis=1, keepdims=True, out=top)
    xp.subtract(slope, top, slope)
    xp.exp(slope, slope)
    xp.multiply(slope, ~own, slope)
    xp.sum(slope, axis=1, keepdims=True, out=others)
    xp.negative(top, mine)
    xp.expm1(mine, loss)
    loss += others
    xp.log1p(loss, loss)
    loss += top
    xp.exp(mine, mine)
    mine += others
    slope /= mine
    others /= mine
    slope -= own * others


def refuse_labels(labels: Array, classes: int) -> None:
    """InvalidArgument for labels of which one is no class."""
    raise InvalidArgument(f"expected labels from 0 to {classes - 1}, got {labels.reshape(-1).tolist()[:20]}")
