"""Activations with bends: limited, hard and leaky ones; rows of the op table and functions of rows.

At a bend the gradient is PyTorch's: 0 on both ends of what is cut off.
"""

from __future__ import annotations

from typing import Any

from armour.errors import InvalidArgument
from armour.tensor.backend import Array, Namespace
from armour.tensor.core import Tensor, lift
from armour.tensor.elementwise import elu, floating, greater, slope, where
from armour.tensor.op import Case, Op, op
from armour.tensor.shape import reshape

# Klambauer et al., 2017: the fixed point of mean 0 and variance 1.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _limited(xp: Namespace, x: Array, low: float, high: float) -> Array:
    x = floating(x)
    return xp.minimum(xp.maximum(x, x.dtype.type(low)), x.dtype.type(high))


def _hardsigmoid(xp: Namespace, x: Array) -> Array:
    x = floating(x)
    return _limited(xp, x + x.dtype.type(3.0), 0.0, 6.0) / x.dtype.type(6.0)


_hardtanh: Op = op(
    "hardtanh",
    _limited,
    (slope("hardtanh"),),
    cases=(Case(((3, 4),), {"low": -0.5, "high": 0.7}), Case(((0, 2),), {"low": 0.0, "high": 6.0})),
)
hardsigmoid: Op = op(
    "hardsigmoid",
    _hardsigmoid,
    (slope("hardsigmoid"),),
    domain=(-5.0, 5.0),
)
hardswish: Op = op(
    "hardswish",
    lambda xp, x: floating(x) * _hardsigmoid(xp, x),
    (slope("hardswish"),),
    domain=(-5.0, 5.0),
)


def hardtanh(x: Any, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Limited to [low, high], with gradient 0 at both ends; `clip` passes it there."""
    if not low <= high:
        raise InvalidArgument(f"expected low at or below high, got low={low}, high={high}")
    return _hardtanh(x, low=float(low), high=float(high))


def relu6(x: Any) -> Tensor:
    """min(max(x, 0), 6); gradient 0 at 0 and 6."""
    return _hardtanh(x, low=0.0, high=6.0)


def selu(x: Any) -> Tensor:
    """ELU scaled so that mean 0 and variance 1 are kept. Klambauer et al., 2017, arXiv 1706.02515."""
    return elu(x, SELU_ALPHA) * SELU_SCALE


def celu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha * (exp(x / alpha) - 1). Barron, 2017, https://arxiv.org/abs/1704.07483."""
    (t,) = lift([x])
    return elu(t * (1.0 / alpha), 1.0) * float(alpha)


def threshold(x: Any, threshold: float, value: float) -> Tensor:
    """x where x > threshold, else the constant `value`."""
    (t,) = lift([x])
    return where(greater(t, float(threshold)), t, float(value))


def prelu(x: Any, weight: Any) -> Tensor:
    """x where x > 0, else weight * x. weight: (1,), or (c,) beside x (n, c, ...).

    He et al., 2015, https://arxiv.org/abs/1502.01852. Raises InvalidArgument for another number of weights.
    """
    t, w = lift([x, weight])
    if w.ndim != 1 or w.shape[0] not in (1, t.shape[1] if t.ndim > 1 else 1):
        raise InvalidArgument(f"prelu expects 1 weight or one for each channel of x {t.shape}, got {w.shape}")
    slopes = w if w.shape[0] == 1 else reshape(w, (w.shape[0], *(1,) * (t.ndim - 2)))
    return where(greater(t, 0.0), t, t * slopes)
