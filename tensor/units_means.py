"""Units for layers whose means over space are wanted: what is looked at is added up while it passes.

Each takes x (n, c, h, w), makes its output and, of what it sees on the way, means (n, c) over space.
"""

from __future__ import annotations

from typing import Any

from armour.tensor.backend import Array, Namespace
from armour.tensor.op import OPS, Op


def _activated(
    xp: Namespace,
    x: Array,
    *more: Array,
    norm: bool,
    residual: bool,
    relu: bool,
    before: bool,
    normed: bool,
    after: bool,
) -> tuple[Array, ...]:
    means = [x.mean(axis=(2, 3))] if before else []
    if norm:
        scale, shift = more[0][:, :, None, None]
        x = x * scale + shift
        means += [x.mean(axis=(2, 3))] if normed else []
    x = x + more[-1] if residual else x
    x = OPS["relu"].forward(xp, x) if relu else x
    return (x, *means, x.mean(axis=(2, 3))) if after else (x, *means)


def _pooled(
    xp: Namespace, x: Array, *more: Array, kernel: Any, stride: Any, pooled: bool, **attrs: Any
) -> tuple[Array, ...]:
    x, *means = _activated(xp, x, *more, residual=False, relu=True, **attrs)
    out = OPS["max_pool2d"].forward(xp, x, kernel=kernel, stride=stride)
    return (out, *means, out.mean(axis=(2, 3))) if pooled else (out, *means)


def _norm_pair(xp: Namespace, weight: Array, bias: Array, mean: Array, var: Array, *, eps: float) -> Array:
    # In float64, to round once.
    scale = weight.astype("float64") / xp.sqrt(var.astype("float64") + eps)
    shift = bias.astype("float64") - mean.astype("float64") * scale
    return xp.stack([scale, shift]).astype(weight.dtype)


ACTIVATED = Op("activated", _activated)
"""x, then scale and shift (2, c) if `norm`, then what is added if `residual`, then relu if `relu`.

Outputs: the result, and as the attributes say means of x (`before`), of it normed (`normed`), and of the
result (`after`).
"""

POOLED = Op("activated_pooled", _pooled)
"""ACTIVATED with a relu and without a residual, and the largest of each window; `pooled`: means of these."""

NORM_PAIR = Op("norm_pair", _norm_pair)
"""(2, c): scale and shift of a batch norm by given statistics."""
