"""The gradient of activations as one row: g times the derivative, which plans make in a single pass.

Each kind has its derivative on arrays and the derivative of that in Tensor operations, so that higher
derivatives come free. At a bend the derivative is PyTorch's, as the activations' own pages say.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from armour.tensor import elementwise as e
from armour.tensor.backend import Array, Namespace
from armour.tensor.core import Tensor
from armour.tensor.op import Case, Op, op
from armour.tensor.special import erf_values

CUBE, ROOT = 0.044715, math.sqrt(2.0 / math.pi)
DENSITY = 1.0 / math.sqrt(2.0 * math.pi)


def _between(xp: Namespace, x: Array, low: float, high: float) -> Array:
    return xp.logical_and(x > x.dtype.type(low), x < x.dtype.type(high))


def _clip(xp: Namespace, g: Array, x: Array, low: float | None, high: float | None) -> Array:
    if low is not None:
        g = g * (x >= x.dtype.type(low))
    return g if high is None else g * (x <= x.dtype.type(high))


def _hardswish(xp: Namespace, g: Array, x: Array) -> Array:
    real = x.dtype.type
    inside = xp.where(x > real(-3.0), g * (x * real(1.0 / 3.0) + real(0.5)), xp.zeros((), g.dtype))
    return xp.where(x < real(3.0), inside, g)


def _elu(xp: Namespace, g: Array, x: Array, alpha: float) -> Array:
    real = x.dtype.type
    return xp.where(x > 0, g, g * (xp.exp(xp.minimum(x, xp.zeros((), x.dtype))) * real(alpha)))


def _sigmoid(xp: Namespace, x: Array) -> Array:
    half = x.dtype.type(0.5)
    return xp.tanh(x * half) * half + half


def _silu(xp: Namespace, g: Array, x: Array) -> Array:
    s, one = _sigmoid(xp, x), x.dtype.type(1.0)
    return g * (s * (x * (one - s) + one))


def _softplus(xp: Namespace, g: Array, x: Array) -> Array:
    # Written so that its digits remain where it is small: a sure answer needs them.
    return g * xp.exp(-xp.logaddexp(-x, xp.zeros((), x.dtype)))


def _gelu(xp: Namespace, g: Array, x: Array) -> Array:
    real = x.dtype.type
    density = xp.exp(x * x * real(-0.5)) * real(DENSITY)
    return g * ((erf_values(xp, x * real(math.sqrt(0.5))) + real(1.0)) * real(0.5) + x * density)


def _gelu_tanh(xp: Namespace, g: Array, x: Array) -> Array:
    real, square = x.dtype.type, x * x
    t = xp.tanh((square * real(CUBE) + real(1.0)) * x * real(ROOT))
    rate = (square * real(3.0 * CUBE) + real(1.0)) * real(ROOT)
    return g * ((t + real(1.0)) * real(0.5) + x * (real(1.0) - t * t) * rate * real(0.5))


SLOPES: dict[str, Callable[..., Array]] = {
    "clip": _clip,
    "elu": _elu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "hardsigmoid": lambda xp, g, x: g * _between(xp, x, -3.0, 3.0) * x.dtype.type(1.0 / 6.0),
    "hardswish": _hardswish,
    "hardtanh": lambda xp, g, x, low, high: g * _between(xp, x, low, high),
    "leaky_relu": lambda xp, g, x, slope: xp.where(x > 0, g, g * x.dtype.type(slope)),
    "silu": _silu,
    "softplus": _softplus,
}
"""Activation -> (xp, g, x, its attributes): g times its derivative at x."""


# -- derivatives of the derivatives ----------------


def _straight(h: Tensor, x: Tensor, **attrs: Any) -> Tensor:
    return e.where(e.greater(x, x), h, 0.0)


def _elu_curve(h: Tensor, x: Tensor, alpha: float) -> Tensor:
    return e.where(e.greater(x, 0.0), 0.0, h * (e.exp(e.minimum(x, 0.0)) * alpha))


def _silu_curve(h: Tensor, x: Tensor) -> Tensor:
    s = e.sigmoid(x)
    return h * (s * (1.0 - s) * (x * (1.0 - s * 2.0) + 2.0))


def _softplus_curve(h: Tensor, x: Tensor) -> Tensor:
    s = e.sigmoid(x)
    return h * (s * (1.0 - s))


def _gelu_tanh_curve(h: Tensor, x: Tensor) -> Tensor:
    square = x * x
    t = e.tanh((square * CUBE + 1.0) * x * ROOT)
    rate = (square * (3.0 * CUBE) + 1.0) * ROOT
    return h * ((1.0 - t * t) * (rate + square * (3.0 * CUBE * ROOT) - x * t * rate * rate))


_CURVES: dict[str, Callable[..., Tensor]] = {
    "elu": _elu_curve,
    "gelu": lambda h, x: h * (e.exp(x * x * -0.5) * DENSITY * (2.0 - x * x)),
    "gelu_tanh": _gelu_tanh_curve,
    "hardswish": lambda h, x: e.where(e.greater(x, -3.0) * e.less(x, 3.0), h * (1.0 / 3.0), 0.0),
    "silu": _silu_curve,
    "softplus": _softplus_curve,
}


def _forward(xp: Namespace, g: Array, x: Array, *, kind: str, **attrs: Any) -> Array:
    return SLOPES[kind](xp, g, x if x.dtype.kind == "f" else x.astype(g.dtype), **attrs)


def _x_vjp(gg: Tensor, r: Tensor, g: Tensor, x: Tensor, *, kind: str, **attrs: Any) -> Tensor:
    curve: Callable[..., Tensor] = _CURVES.get(kind, _straight)
    return curve(gg * g, x, **attrs)


_PAIR = ((3, 4), (3, 4))
activation_grad: Op = op(
    "activation_grad",
    _forward,
    (lambda gg, r, g, x, **attrs: activation_grad(gg, x, **attrs), _x_vjp),
    domain=((-2.0, 2.0), (-5.0, 5.0)),
    cases=(
        *(Case(_PAIR, {"kind": kind}) for kind in ("gelu", "gelu_tanh", "silu", "softplus")),
        *(Case(_PAIR, {"kind": kind}) for kind in ("hardsigmoid", "hardswish")),
        Case(_PAIR, {"kind": "clip", "low": -0.5, "high": 0.7}),
        Case(_PAIR, {"kind": "hardtanh", "low": -0.5, "high": 0.7}),
        Case(_PAIR, {"kind": "elu", "alpha": 0.7}),
        Case(_PAIR, {"kind": "leaky_relu", "slope": 0.1}),
        Case(((0, 2), (0, 2)), {"kind": "clip", "low": None, "high": 1.0}),
    ),
)
