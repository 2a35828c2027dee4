"""Arithmetic, functions of one number, activations, comparisons and logic."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import armour.tensor as T
from armour.tensor.core import Tensor, wrap

from .halves import in_single
from .rules import Call, rule
from .rules_quantise import real
from .values import dtype_of

Unary = Callable[[Tensor], Tensor]

UNARY: dict[str, Unary] = {
    "Abs": T.abs, "Acos": T.acos, "Acosh": T.acosh, "Asin": T.asin, "Asinh": T.asinh, "Atan": T.atan,
    "Atanh": T.atanh, "Ceil": T.ceil, "Cos": T.cos, "Cosh": T.cosh, "Erf": T.erf, "Exp": T.exp,
    "Floor": T.floor, "IsNaN": T.isnan, "Log": T.log, "Neg": T.negative, "Not": T.logical_not,
    "Reciprocal": T.reciprocal, "Round": T.round, "Sign": T.sign, "Sin": T.sin, "Sinh": T.sinh,
    "Sqrt": T.sqrt, "Tan": T.tan,
}  # fmt: skip

BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": T.add, "Sub": T.subtract, "Mul": T.multiply, "And": T.logical_and, "Or": T.logical_or,
    "Xor": T.logical_xor, "Equal": T.equal, "Greater": T.greater, "GreaterOrEqual": T.greater_equal,
    "Less": T.less, "LessOrEqual": T.less_equal,
}  # fmt: skip

# Operators that are layers of the engine as they are.
LAYERS: dict[str, tuple[str, Callable[[Call], dict[str, Any]]]] = {
    "Relu": ("ReLU", lambda c: {}),
    "Sigmoid": ("Sigmoid", lambda c: {}),
    "Tanh": ("Tanh", lambda c: {}),
    "Softplus": ("Softplus", lambda c: {}),
    "Softsign": ("Softsign", lambda c: {}),
    "Mish": ("Mish", lambda c: {}),
    "HardSwish": ("Hardswish", lambda c: {}),
    "LeakyRelu": ("LeakyReLU", lambda c: {"slope": float(c.attr("alpha", 0.01))}),
    "Elu": ("ELU", lambda c: {"alpha": float(c.attr("alpha", 1.0))}),
    "Celu": ("CELU", lambda c: {"alpha": float(c.attr("alpha", 1.0))}),
    "ThresholdedRelu": ("Threshold", lambda c: {"threshold": float(c.attr("alpha", 1.0)), "value": 0.0}),
}


def _unary(function: Unary) -> Callable[[Call], Tensor]:
    return lambda c: function(c.x())


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Call], Tensor]:
    return lambda c: function(*operands(c))


def _as_layer(kind: str, config: Callable[[Call], dict[str, Any]]) -> Callable[[Call], Tensor]:
    return lambda c: c.layer(kind, config(c))(c.x())


for _name, _function in UNARY.items():
    rule(_name)(_unary(_function))
for _name, _pair in BINARY.items():
    rule(_name)(_binary(_pair))
for _name, (_kind, _config) in LAYERS.items():
    rule(_name)(in_single(_as_layer(_kind, _config)))


def operands(c: Call) -> tuple[Tensor, Tensor]:
    """Both inputs; before opset 7 the second one may be aligned with any axis of the first."""
    a, b = c.x(0), c.x(1)
    if c.opset < 7 and c.attr("broadcast", 0):
        axis = int(c.attr("axis", a.ndim - b.ndim)) % (a.ndim + 1)
        b = b.reshape((*b.shape, *(1,) * (a.ndim - axis - b.ndim)))
    return a, b


@rule("Div")
def div(c: Call) -> Tensor:
    """Whole numbers are divided towards zero."""
    a, b = operands(c)
    if a.dtype.kind == "f":
        return T.divide(a, b)
    down = T.floor_divide(a, b)
    if a.dtype.kind != "i":
        return down
    rest = T.subtract(a, T.multiply(down, b))
    one_more = T.logical_and(T.not_equal(rest, 0), T.not_equal(T.less(a, 0), T.less(b, 0)))
    return T.add(down, T.cast(one_more, a.dtype))


@rule("Mod")
def mod(c: Call) -> Tensor:
    """The sign of the divisor, or with fmod=1 that of the dividend."""
    a, b = operands(c)
    if not c.attr("fmod", 0):
        return T.mod(a, b)
    rest = T.mod(T.abs(a), T.abs(b))
    return T.cast(T.where(T.less(a, 0), T.negative(rest), rest), a.dtype) if a.dtype.kind != "u" else rest


@rule("Pow")
def power(c: Call) -> Tensor:
    """The result has the type of the base."""
    a, exponent = operands(c)
    if a.dtype.kind == "f":
        number = c.number(1)
        if number is not None and math.isfinite(number):
            return a ** float(number)
        return T.power(a, T.cast(exponent, a.dtype))
    wide = T.power(T.cast(a, "float64"), T.cast(exponent, "float64"))
    return T.cast(T.trunc(wide), a.dtype)


@rule("Min", "Max", "Sum", "Mean")
def variadic(c: Call) -> Tensor:
    """Over any number of inputs, broadcast to each other."""
    functions: dict[str, Any] = {"Min": T.minimum, "Max": T.maximum, "Sum": T.add, "Mean": T.add}
    out: Tensor = functools.reduce(functions[c.node.op], c.xs())
    return out / float(len(c.inputs)) if c.node.op == "Mean" else out


@rule("Clip")
def clip(c: Call) -> Tensor:
    """Bounds are attributes before opset 11, inputs after."""
    x = c.x()
    low: Any
    high: Any
    if c.opset < 11:
        low, high = c.attr("min", None), c.attr("max", None)
    else:
        low, high = (c.number(i) if c.fixed(i) else None for i in (1, 2))
        if any(c.has(i) and not c.fixed(i) for i in (1, 2)) or x.dtype.kind != "f":
            x = T.maximum(x, T.cast(c.x(1), x.dtype)) if c.has(1) else x
            return T.minimum(x, T.cast(c.x(2), x.dtype)) if c.has(2) else x
    if low is not None and high is not None and -1e30 < low < high < 1e30:
        return c.layer("Hardtanh", {"min_val": float(low), "max_val": float(high)})(x)  # type: ignore[no-any-return]
    x = x if low is None or low < -3e38 else T.maximum(x, float(low))
    return x if high is None or high > 3e38 else T.minimum(x, float(high))


@rule("HardSigmoid")
def hard_sigmoid(c: Call) -> Tensor:
    """max(0, min(1, alpha x + beta))."""
    alpha, beta = float(c.attr("alpha", 0.2)), float(c.attr("beta", 0.5))
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return c.layer("Hardsigmoid")(c.x())  # type: ignore[no-any-return]
    return T.clip(c.x() * alpha + beta, 0.0, 1.0)


@rule("Selu")
def selu(c: Call) -> Tensor:
    """gamma (x or alpha (exp x - 1))."""
    alpha, gamma = (
        float(c.attr("alpha", 1.67326319217681884765625)),
        float(c.attr("gamma", 1.05070102214813232421875)),
    )
    return T.elu(c.x(), alpha=alpha) * gamma


@rule("Gelu")
def gelu(c: Call) -> Tensor:
    """Exact, or by tanh."""
    return c.layer("GELU", {"approximate": c.attr("approximate", "none")})(c.x())  # type: ignore[no-any-return]


@rule("PRelu")
def prelu(c: Call) -> Tensor:
    """The slope is broadcast to x from the right; one for each channel is a layer of its own."""
    x, slope = c.x(0), c.x(1)
    if c.fixed(1) and x.ndim > 1 and slope.shape in ((x.shape[1], *(1,) * (x.ndim - 2)), (1,)):
        return c.layer("PReLU", {"num_parameters": slope.size}, {"weight": c.known(1).reshape(-1)})(x)  # type: ignore[no-any-return]
    if c.opset < 7 and slope.ndim == 1 and slope.size > 1:
        slope = slope.reshape((-1, *(1,) * (x.ndim - 2)))
    return T.where(T.less(x, 0), x * slope, x)


@rule("Shrink")
def shrink(c: Call) -> Tensor:
    """0 near 0, moved towards 0 by the bias elsewhere."""
    x, bias, edge = c.x(), float(c.attr("bias", 0.0)), float(c.attr("lambd", 0.5))
    zero = T.zeros_like(x)
    if x.dtype.kind != "f":
        x, zero = T.cast(x, "float64"), T.cast(zero, "float64")
    out = T.where(T.less(x, -edge), x + bias, T.where(T.greater(x, edge), x - bias, zero))
    return T.cast(out, c.dtype())


@rule("IsInf")
def is_inf(c: Call) -> Tensor:
    """Either sign alone can be asked for."""
    x, found = c.x(), T.isinf(c.x())
    if not c.attr("detect_positive", 1):
        found = T.logical_and(found, T.less(x, 0))
    if not c.attr("detect_negative", 1):
        found = T.logical_and(found, T.greater(x, 0))
    return found


@rule("BitShift")
def bit_shift(c: Call) -> Any:
    """Of whole numbers that are known, or when the model is just run."""
    shift = np.left_shift if c.attr("direction") == "LEFT" else np.right_shift
    return shift(c.known(0), c.known(1))


@rule("Where")
def where(c: Call) -> Tensor:
    """Condition, value if true, value if false."""
    return T.where(c.x(0), c.x(1), c.x(2))


@rule("Cast", "CastLike")
def cast(c: Call) -> Tensor:
    """To a type of NumPy; a cast between whole numbers and back stops the gradient."""
    to = c.dtype(1) if c.node.op == "CastLike" else _target(c)
    if to.kind == "f" and c.dtype().kind in "iu":
        return real(c, 0, to.name)
    return c.x() if c.dtype() == to else T.cast(c.x(), to.name)


def _target(c: Call) -> np.dtype[Any]:
    to = c.attr("to")
    if isinstance(to, str):  # before opset 6
        return np.dtype({"FLOAT": "float32", "DOUBLE": "float64"}.get(to, to.lower()))
    return dtype_of(int(to), f"node {c.node.shown}")


@rule("Identity", "Dropout")
def identity(c: Call) -> Any:
    """Dropout drops nothing outside of training."""
    x = c.inputs[0]
    if c.node.op == "Dropout":
        if c.opset >= 12 and c.has(2) and bool(c.known(2).any()) and (c.number(1) or not c.has(1)):
            raise c.unsupported("dropout in training mode")
        if c.wants(1):
            mask = np.ones(c.shape(), bool if c.opset >= 10 else c.dtype())
            return x, mask
    if isinstance(x, Tensor) and not c.run.building:
        return wrap(x.data)
    return x
