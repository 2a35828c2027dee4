"""Rows of the op table for trigonometric and hyperbolic functions and their inverses; angles are in radians.

sin, cos and tanh are in elementwise.py. The gradient of atan2 at the origin is 0.
"""

from __future__ import annotations

from armour.tensor.backend import Array, Namespace
from armour.tensor.core import Tensor
from armour.tensor.elementwise import PAIR, equal, floating, same_kind, where
from armour.tensor.op import Op, op
from armour.tensor.powers import rsqrt

tan: Op = op(
    "tan", lambda xp, x: xp.tan(floating(x)), (lambda g, y, x: g * (y * y + 1.0),), domain=(-1.2, 1.2)
)
sinh: Op = op("sinh", lambda xp, x: xp.sinh(floating(x)), (lambda g, y, x: g * cosh(x),))
cosh: Op = op("cosh", lambda xp, x: xp.cosh(floating(x)), (lambda g, y, x: g * sinh(x),))
# (1 - x)(1 + x) keeps the digits that 1 - x^2 loses near -1 and 1.
asin: Op = op(
    "asin",
    lambda xp, x: xp.arcsin(floating(x)),
    (lambda g, y, x: g * rsqrt((1.0 - x) * (x + 1.0)),),
    domain=(-0.8, 0.8),
)
acos: Op = op(
    "acos",
    lambda xp, x: xp.arccos(floating(x)),
    (lambda g, y, x: -(g * rsqrt((1.0 - x) * (x + 1.0))),),
    domain=(-0.8, 0.8),
)
atan: Op = op("atan", lambda xp, x: xp.arctan(floating(x)), (lambda g, y, x: g / (x * x + 1.0),))
asinh: Op = op("asinh", lambda xp, x: xp.arcsinh(floating(x)), (lambda g, y, x: g * rsqrt(x * x + 1.0),))
acosh: Op = op(
    "acosh",
    lambda xp, x: xp.arccosh(floating(x)),
    (lambda g, y, x: g * rsqrt((x - 1.0) * (x + 1.0)),),
    domain=(1.3, 4.0),
)
atanh: Op = op(
    "atanh",
    lambda xp, x: xp.arctanh(floating(x)),
    (lambda g, y, x: g / ((1.0 - x) * (x + 1.0)),),
    domain=(-0.8, 0.8),
)


def _atan2(xp: Namespace, y: Array, x: Array) -> Array:
    y, x = same_kind(y, x)
    return xp.arctan2(floating(y), floating(x))


def _squared_radius(y: Tensor, x: Tensor) -> Tensor:
    total = y * y + x * x
    # At the origin the numerators are 0, and so are the gradients.
    return where(equal(total, 0.0), 1.0, total)


atan2: Op = op(
    "atan2",
    _atan2,
    (
        lambda g, out, y, x: g * x / _squared_radius(y, x),
        lambda g, out, y, x: -(g * y) / _squared_radius(y, x),
    ),
    domain=((0.2, 2.0), (-2.0, 2.0)),
    cases=PAIR,
)
