"""Rows of the op table for powers, roots and logarithms beyond those in elementwise.py."""

from __future__ import annotations

import math

from armour.tensor.elementwise import PAIR, exp, floating, same_kind, softplus
from armour.tensor.op import Op, op

square: Op = op("square", lambda xp, x: xp.square(x), (lambda g, y, x: g * (x * 2.0),))
reciprocal: Op = op(
    "reciprocal",
    lambda xp, x: xp.reciprocal(floating(x)),
    (lambda g, y, x: -(g * (y * y)),),
    domain=(0.4, 2.0),
)
rsqrt: Op = op(
    "rsqrt",
    lambda xp, x: xp.reciprocal(xp.sqrt(floating(x))),
    (lambda g, y, x: g * (y * y * y) * -0.5,),
    domain=(0.3, 4.0),
)
exp2: Op = op("exp2", lambda xp, x: xp.exp2(floating(x)), (lambda g, y, x: g * (y * math.log(2.0)),))
log2: Op = op(
    "log2",
    lambda xp, x: xp.log2(floating(x)),
    (lambda g, y, x: g / (x * math.log(2.0)),),
    domain=(0.1, 4.0),
)
log10: Op = op(
    "log10",
    lambda xp, x: xp.log10(floating(x)),
    (lambda g, y, x: g / (x * math.log(10.0)),),
    domain=(0.1, 4.0),
)
# log(exp(a) + exp(b)) without overflow; the gradient is shared as by a softmax of the two.
logaddexp: Op = op(
    "logaddexp",
    lambda xp, a, b: xp.logaddexp(*(floating(v) for v in same_kind(a, b))),
    (
        lambda g, y, a, b: g * exp(-softplus(b - a)),
        lambda g, y, a, b: g * exp(-softplus(a - b)),
    ),
    cases=PAIR,
)
