"""Rows of the op table that work element by element: arithmetic, exponentials, activations, comparisons.

Arithmetic between an integer and a floating array gives the floating array's dtype (NumPy alone would widen
float32 to float64). Functions of one floating argument turn integers into float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from armour.tensor import slopes
from armour.tensor.backend import Array, Namespace
from armour.tensor.core import Tensor
from armour.tensor.op import Case, Op, op
from armour.tensor.special import erf_values

PAIR = (
    Case(((3, 4), (3, 4))),
    Case(((3, 4), (4,))),
    Case(((3, 1), (1, 4))),
    Case(((0, 4), (1, 4))),
    Case(((), (2, 3))),
)


RUN, BLOCK = 1 << 13, 1 << 15  # elements of a run of zeros, and of a block that stays in the cache


def memory(x: Array) -> Array:
    """All elements of `x` as one flat view in the order they lie in memory; None if they lie apart.

    Knows NumPy's own order and that of convolutions, (n, h, w, c).
    """
    if x.flags.c_contiguous:
        return x.reshape((-1,))
    if x.ndim == 4:
        last = x.transpose((0, 2, 3, 1))
        if last.flags.c_contiguous:
            return last.reshape((-1,))
    return None


def floating(a: Array) -> Array:
    """`a`, or `a` as float32 if it holds integers or booleans."""
    return a if a.dtype.kind == "f" else a.astype("float32")


def same_kind(a: Array, b: Array) -> tuple[Array, Array]:
    """Both arrays, the one of integers cast to the other's dtype if that is floating."""
    if a.dtype != b.dtype:
        if a.dtype.kind == "f" and b.dtype.kind in "iub":
            b = b.astype(a.dtype)
        elif b.dtype.kind == "f" and a.dtype.kind in "iub":
            a = a.astype(b.dtype)
    return a, b


# -- arithmetic ------------------------------------------------------


def _add(xp: Namespace, a: Array, b: Array) -> Array:
    if a.dtype is not b.dtype:
        a, b = same_kind(a, b)
    return xp.add(a, b)


def _subtract(xp: Namespace, a: Array, b: Array) -> Array:
    if a.dtype is not b.dtype:
        a, b = same_kind(a, b)
    return xp.subtract(a, b)


def _multiply(xp: Namespace, a: Array, b: Array) -> Array:
    if a.dtype is not b.dtype and a.dtype.kind != "b" and b.dtype.kind != "b":  # a mask needs no cast
        a, b = same_kind(a, b)
    return xp.multiply(a, b)


def _divide(xp: Namespace, a: Array, b: Array) -> Array:
    a, b = same_kind(a, b)
    return xp.divide(floating(a), floating(b))


def _power(xp: Namespace, a: Array, b: Array) -> Array:
    a, b = same_kind(a, b)
    return xp.power(a, b)


def _power_base(g: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    # 0 ** -1 is infinite, but the derivative of a ** 0 is 0 for a = 0 as well.
    constant = equal(a, 0) * equal(b, 0)
    return g * b * power(a, where(constant, 1, b) - 1)


def _power_exponent(g: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    # y log a tends to 0 for a = 0 and b >= 0; log 0 itself must not be taken.
    zero = equal(a, 0)
    return g * where(zero, 0.0, y * log(where(zero, 1.0, a)))


add: Op = op("add", _add, (lambda g, y, a, b: g, lambda g, y, a, b: g), cases=PAIR)
subtract: Op = op("subtract", _subtract, (lambda g, y, a, b: g, lambda g, y, a, b: -g), cases=PAIR)
multiply: Op = op("multiply", _multiply, (lambda g, y, a, b: g * b, lambda g, y, a, b: g * a), cases=PAIR)
divide: Op = op(
    "divide",
    _divide,
    (lambda g, y, a, b: g / b, lambda g, y, a, b: -(g * y) / b),
    domain=((-2.0, 2.0), (0.5, 2.0)),
    cases=PAIR,
)
power: Op = op("power", _power, (_power_base, _power_exponent), domain=((0.3, 2.0), (-2.0, 2.0)), cases=PAIR)
negative: Op = op("negative", lambda xp, x: xp.negative(x), (lambda g, y, x: -g,))
abs: Op = op("abs", lambda xp, x: xp.abs(x), (lambda g, y, x: g * sign(x),))

# -- exponentials, logarithms, trigonometry ------------------------------------------------------

exp: Op = op("exp", lambda xp, x: xp.exp(floating(x)), (lambda g, y, x: g * y,))
log: Op = op("log", lambda xp, x: xp.log(floating(x)), (lambda g, y, x: g / x,), domain=(0.1, 4.0))
log1p: Op = op(
    "log1p", lambda xp, x: xp.log1p(floating(x)), (lambda g, y, x: g / (x + 1.0),), domain=(-0.8, 4.0)
)
expm1: Op = op("expm1", lambda xp, x: xp.expm1(floating(x)), (lambda g, y, x: g * (y + 1.0),))
sqrt: Op = op("sqrt", lambda xp, x: xp.sqrt(floating(x)), (lambda g, y, x: g / (y * 2.0),), domain=(0.1, 4.0))
sin: Op = op("sin", lambda xp, x: xp.sin(floating(x)), (lambda g, y, x: g * cos(x),))
cos: Op = op("cos", lambda xp, x: xp.cos(floating(x)), (lambda g, y, x: -(g * sin(x)),))
tanh: Op = op("tanh", lambda xp, x: xp.tanh(floating(x)), (lambda g, y, x: g * (1.0 - y * y),))
erf: Op = op(
    "erf",
    lambda xp, x: erf_values(xp, floating(x)),
    (lambda g, y, x: g * exp(-(x * x)) * (2.0 / math.sqrt(math.pi)),),
)

# -- activations ------------------------------------------------------


def _sigmoid(xp: Namespace, x: Array) -> Array:
    # By tanh: no overflow at either end, and one transcendental.
    x = floating(x)
    half = x.dtype.type(0.5)
    return xp.tanh(x * half) * half + half


def _relu(xp: Namespace, x: Array) -> Array:
    # NumPy's maximum with a scalar is two to four times slower than with an array: a run of zeros is
    # repeated.
    flat = memory(x) if x.size >= RUN else None
    if flat is None:
        return xp.maximum(x, xp.zeros((), x.dtype))
    out = xp.empty_like(x)
    zeros, target = xp.zeros(RUN, x.dtype), memory(out)
    whole = x.size // RUN * RUN
    xp.maximum(flat[:whole].reshape((-1, RUN)), zeros, out=target[:whole].reshape((-1, RUN)))
    xp.maximum(flat[whole:], zeros[: x.size - whole], out=target[whole:])
    return out


def _relu_grad(xp: Namespace, g: Array, y: Array) -> Array:
    # y is never below 0, so y != 0 means x > 0 or NaN, for which PyTorch passes the gradient too.
    zero = xp.zeros((), y.dtype)
    alike = xp.__name__ == "numpy" and y.size > BLOCK and g.strides == y.strides and g.dtype == y.dtype
    flat = memory(y) if alike else None
    if flat is None:
        return xp.multiply(g, xp.not_equal(y, zero))
    # One walk over the memory instead of two: the mask of a block is used while it is in the cache.
    out, mask, amounts = xp.empty_like(y), xp.empty(BLOCK, "bool"), memory(g)
    target = memory(out)
    for start in range(0, y.size, BLOCK):
        part = flat[start : start + BLOCK]
        found = xp.not_equal(part, zero, out=mask[: part.shape[0]])
        xp.multiply(amounts[start : start + BLOCK], found, out=target[start : start + BLOCK])
    return out


def _softplus(xp: Namespace, x: Array) -> Array:
    x = floating(x)
    return xp.logaddexp(x, xp.zeros((), x.dtype))


def _gelu(xp: Namespace, x: Array) -> Array:
    x = floating(x)
    one = x.dtype.type(1.0)
    return x * ((erf_values(xp, x * x.dtype.type(math.sqrt(0.5))) + one) * x.dtype.type(0.5))


def slope(kind: str) -> Any:
    """The gradient rule of an activation whose derivative is in slopes.py."""
    return lambda g, y, x, **attrs: slopes.activation_grad(g, x, kind=kind, **attrs)


sigmoid: Op = op("sigmoid", _sigmoid, (lambda g, y, x: g * (y * (1.0 - y)),))
_relu_mask: Op = op(
    "relu_grad",
    _relu_grad,
    (lambda gg, r, g, y: _relu_mask(gg, y), None),
    cases=(Case(((2, 3), [[0.0, 1.5, 2.0], [0.5, 0.0, 0.0]])), Case(((0, 3), np.zeros((0, 3))))),
)
relu: Op = op("relu", _relu, (lambda g, y, x: _relu_mask(g, y),))
softplus: Op = op("softplus", _softplus, (slope("softplus"),))
gelu: Op = op("gelu", _gelu, (slope("gelu"),))
silu: Op = op("silu", lambda xp, x: floating(x) * _sigmoid(xp, x), (slope("silu"),))

_leaky_relu: Op = op(
    "leaky_relu",
    lambda xp, x, slope: xp.where(x > 0, x, x * x.dtype.type(slope)),
    (slope("leaky_relu"),),
    cases=(Case(((3, 4),), {"slope": 0.1}), Case(((0, 2),), {"slope": 0.1})),
)
_elu: Op = op(
    "elu",
    lambda xp, x, alpha: xp.where(
        x > 0, x, xp.expm1(xp.minimum(x, xp.zeros((), x.dtype))) * x.dtype.type(alpha)
    ),
    (slope("elu"),),
    cases=(Case(((3, 4),), {"alpha": 0.7}), Case(((0, 2),), {"alpha": 0.7})),
)


def leaky_relu(x: Any, slope: float = 0.01) -> Tensor:
    """x where x > 0, else slope * x."""
    return _leaky_relu(x, slope=float(slope))


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1)."""
    return _elu(x, alpha=float(alpha))


# -- limits and choices ------------------------------------------------------


def _clip(xp: Namespace, x: Array, low: float | None, high: float | None) -> Array:
    if low is not None:
        x = xp.maximum(x, x.dtype.type(low))
    return x if high is None else xp.minimum(x, x.dtype.type(high))


def _where(xp: Namespace, condition: Array, a: Array, b: Array) -> Array:
    a, b = same_kind(a, b)
    return xp.where(condition, a, b)


def _share(xp: Namespace, a: Array, b: Array) -> Array:
    # The part of the gradient of maximum(a, b) that goes to a: 0 below, a half at a tie, 1 above or beside a
    # NaN.
    a, b = same_kind(a, b)
    half = a.dtype.type(0.5)
    return a.dtype.type(1) - (a < b) * half - (a <= b) * half


_max_share: Op = op("max_share", _share, None, cases=PAIR)
maximum: Op = op(
    "maximum",
    lambda xp, a, b: xp.maximum(*same_kind(a, b)),
    (lambda g, y, a, b: g * _max_share(a, b), lambda g, y, a, b: g * _max_share(b, a)),
    cases=PAIR,
)
minimum: Op = op(
    "minimum",
    lambda xp, a, b: xp.minimum(*same_kind(a, b)),
    (lambda g, y, a, b: g * _max_share(b, a), lambda g, y, a, b: g * _max_share(a, b)),
    cases=PAIR,
)
where: Op = op(
    "where",
    _where,
    (None, lambda g, y, c, a, b: where(c, g, 0.0), lambda g, y, c, a, b: where(c, 0.0, g)),
    cases=(
        Case(([[True, False], [False, True]], (2, 2), (2, 2))),
        Case(([[True], [False]], (2,), ())),
        Case(([True], (0,), ())),
    ),
)
_clip_row: Op = op(
    "clip",
    _clip,
    (slope("clip"),),
    cases=(
        Case(((3, 4),), {"low": -0.5, "high": 0.7}),
        Case(((3, 4),), {"low": None, "high": 0.7}),
        Case(((0,),), {"low": 0.0, "high": None}),
    ),
)


def clip(x: Any, low: float | None = None, high: float | None = None) -> Tensor:
    """Limited to [low, high]; the gradient passes on the closed interval (image values sit on 0 and 1)."""
    return _clip_row(x, low=low, high=high)


# -- without gradient ------------------------------------------------------

sign: Op = op("sign", lambda xp, x: xp.sign(x))
floor: Op = op("floor", lambda xp, x: xp.floor(x))
less: Op = op("less", lambda xp, a, b: xp.less(a, b), cases=PAIR)
less_equal: Op = op("less_equal", lambda xp, a, b: xp.less_equal(a, b), cases=PAIR)
greater: Op = op("greater", lambda xp, a, b: xp.greater(a, b), cases=PAIR)
greater_equal: Op = op("greater_equal", lambda xp, a, b: xp.greater_equal(a, b), cases=PAIR)
equal: Op = op("equal", lambda xp, a, b: xp.equal(a, b), cases=PAIR)
not_equal: Op = op("not_equal", lambda xp, a, b: xp.not_equal(a, b), cases=PAIR)


def _cast_vjp(g: Tensor, y: Tensor, x: Tensor, dtype: str) -> Tensor | None:
    # A whole number has no gradient of its own, but one that stands for a rounded value hands it on as it is.
    if y.dtype.kind != "f":
        return None
    return g.astype(x.dtype) if x.dtype.kind == "f" else g


_cast: Op = op(
    "cast",
    lambda xp, x, dtype: x.astype(dtype),
    (_cast_vjp,),
    cases=(Case(((3, 4),), {"dtype": "float64"}), Case(((0,),), {"dtype": "float64"})),
)


def cast(x: Any, dtype: Any) -> Tensor:
    """The values in another dtype, given by name ("float32")."""
    return _cast(x, dtype=np.dtype(dtype).name)
