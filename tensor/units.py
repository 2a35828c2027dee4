"""Units: what passes put in the place of several rows of the op table. They are not rows themselves.

Each has a forward rule for any array namespace, which says what it computes and serves where no kernel of
its own exists. Units that make weights from weights run only when a weight has changed.
"""

from __future__ import annotations

from typing import Any

from armour.tensor.backend import Array, Namespace
from armour.tensor.kernels import numpy_kernels as kernels
from armour.tensor.op import OPS, Op

CONV_ATTRS = ("stride", "padding", "dilation", "groups")


def _conv(
    xp: Namespace, x: Array, w: Array, *more: Array, bias: bool, residual: bool, relu: bool, **attrs: Any
) -> Array:
    out = kernels.conv2d(xp, x, w, more[0] if bias else None, **attrs)
    if residual:
        out = out + more[-1]
    return OPS["relu"].forward(xp, out) if relu else out


def _conv_input_grad(
    xp: Namespace, g: Array, w: Array, *more: Array, add: bool, mask: bool, **attrs: Any
) -> Array:
    out = kernels.conv2d_input_grad(xp, g, w, **attrs)
    if add:
        out = out + more[0]
    return OPS["relu_grad"].forward(xp, out, more[-1]) if mask else out


def _linear(xp: Namespace, x: Array, w: Array, *bias: Array, relu: bool) -> Array:
    out = OPS["linear"].forward(xp, x, w, *bias)
    return OPS["relu"].forward(xp, out) if relu else out


def _matmul_masked(xp: Namespace, g: Array, w: Array, y: Array) -> Array:
    return OPS["relu_grad"].forward(xp, OPS["matmul"].forward(xp, g, w), y)


def _norm_train(
    xp: Namespace, x: Array, weight: Array, bias: Array, statistics: Array, *, eps: float, relu: bool
) -> Array:
    out = OPS["batch_norm_train"].forward(xp, x, weight, bias, statistics, eps=eps)
    return OPS["relu"].forward(xp, out) if relu else out


def _norm_grad(
    xp: Namespace, g: Array, x: Array, weight: Array, statistics: Array, *y: Array, eps: float, mask: bool
) -> tuple[Array, Array]:
    g = OPS["relu_grad"].forward(xp, g, y[0]) if mask else g
    sums = OPS["batch_norm_sums"].forward(xp, g, x, statistics)
    return OPS["batch_norm_input_grad"].forward(xp, g, x, weight, statistics, sums, eps=eps), sums


def _cross_entropy_pair(xp: Namespace, logits: Array, labels: Array) -> tuple[Array, Array]:
    ones = xp.ones(logits.shape[0], logits.dtype)
    return (
        OPS["cross_entropy"].forward(xp, logits, labels),
        OPS["cross_entropy_grad"].forward(xp, ones, logits, labels),
    )


def _folded_weight(xp: Namespace, w: Array, scale: Array) -> Array:
    return (w.astype("float64") * scale.astype("float64").reshape((-1, 1, 1, 1))).astype(w.dtype)


def _scale(xp: Namespace, weight: Array, var: Array, *, eps: float) -> Array:
    return weight.astype("float64") / xp.sqrt(var.astype("float64") + eps)


def _folded_bias(xp: Namespace, scale: Array, shift: Array, mean: Array, *bias: Array) -> Array:
    # In float64, to round once.
    level = -mean.astype("float64") if not bias else bias[0].astype("float64") - mean.astype("float64")
    return (level * scale + shift.astype("float64")).astype(shift.dtype)


CONV = Op("conv", _conv)
CONV_INPUT_GRAD = Op("conv_input_grad", _conv_input_grad)
LINEAR = Op("linear_relu", _linear)
MATMUL_MASKED = Op("matmul_masked", _matmul_masked)
NORM_TRAIN = Op("norm_train", _norm_train)
NORM_GRAD = Op("norm_grad", _norm_grad)
CROSS_ENTROPY_PAIR = Op("cross_entropy_pair", _cross_entropy_pair)

NORM_SCALE = Op("norm_scale", _scale)
FOLDED_WEIGHT = Op("folded_weight", _folded_weight)
FOLDED_BIAS = Op("folded_bias", _folded_bias)
