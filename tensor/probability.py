"""Rows of the op table for the tails and quantiles of the normal distribution."""

from __future__ import annotations

import math

from armour.tensor.elementwise import exp, floating
from armour.tensor.op import Op, op
from armour.tensor.special import erfc_values, erfinv_values

# 1 - erf(x), which keeps its digits where erf(x) rounds to 1.
erfc: Op = op(
    "erfc",
    lambda xp, x: erfc_values(xp, floating(x)),
    (lambda g, y, x: g * exp(-(x * x)) * (-2.0 / math.sqrt(math.pi)),),
)
# The y with erf(y) = x; infinite at -1 and 1, NaN outside.
erfinv: Op = op(
    "erfinv",
    lambda xp, x: erfinv_values(xp, floating(x)),
    (lambda g, y, x: g * exp(y * y) * (math.sqrt(math.pi) / 2.0),),
    domain=(-0.9, 0.9),
)
