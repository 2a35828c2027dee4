"""Smooth activations that weigh their input by a function of it; rows of the op table and functions of
rows."""

from __future__ import annotations

import math
from typing import Any

from armour.errors import InvalidArgument
from armour.tensor.backend import Array, Namespace
from armour.tensor.core import Tensor, lift
from armour.tensor.elementwise import abs as absolute
from armour.tensor.elementwise import exp, floating, minimum, sigmoid, slope, softplus
from armour.tensor.op import Op, op
from armour.tensor.shape import getitem

_SLOPE, _CUBE = math.sqrt(2.0 / math.pi), 0.044715
_LARGE = 20.0  # from here on tanh(softplus(x)) is 1 in float64


def _gelu_tanh(xp: Namespace, x: Array) -> Array:
    x = floating(x)
    real = x.dtype.type
    inner = (x * x * real(_CUBE) + real(1.0)) * x * real(_SLOPE)
    return x * ((xp.tanh(inner) + real(1.0)) * real(0.5))


def _mish(xp: Namespace, x: Array) -> Array:
    # tanh(log(1 + e)) = (e^2 + 2 e) / (e^2 + 2 e + 2) for e = exp(x): one exponential instead of three.
    x = floating(x)
    e = xp.exp(xp.minimum(x, x.dtype.type(_LARGE)))
    e = e * (e + x.dtype.type(2.0))
    return x * (e / (e + x.dtype.type(2.0)))


def _mish_vjp(g: Tensor, y: Tensor, x: Tensor) -> Tensor:
    e = exp(minimum(x, _LARGE))
    e = e * (e + 2.0)
    t = e / (e + 2.0)
    return g * (t + x * (1.0 - t * t) * sigmoid(x))


gelu_tanh: Op = op("gelu_tanh", _gelu_tanh, (slope("gelu_tanh"),))
mish: Op = op("mish", _mish, (_mish_vjp,))


def softsign(x: Any) -> Tensor:
    """x / (1 + |x|)."""
    (t,) = lift([x])
    out: Tensor = t / (absolute(t) + 1.0)
    return out


def logsigmoid(x: Any) -> Tensor:
    """log of 1 / (1 + exp(-x)), without overflow."""
    (t,) = lift([x])
    return -softplus(-t)


def glu(x: Any, axis: int = -1) -> Tensor:
    """The first half along `axis` times the sigmoid of the second. Dauphin et al., 2016, arXiv 1612.08083.

    Raises InvalidArgument for an odd length.
    """
    (t,) = lift([x])
    axis %= max(t.ndim, 1)
    if not t.ndim or t.shape[axis] % 2:
        raise InvalidArgument(f"glu expects an even length along axis {axis}, got shape {t.shape}")
    half, before = t.shape[axis] // 2, (slice(None),) * axis
    return getitem(t, (*before, slice(0, half))) * sigmoid(getitem(t, (*before, slice(half, 2 * half))))
