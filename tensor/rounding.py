"""Rows of the op table that round, and division with a remainder; floor is in elementwise.py.

Rounding has no gradient. `mod` has one: a - b * floor(a / b) grows with a, and falls with b by the quotient.
"""

from __future__ import annotations

from armour.tensor.elementwise import PAIR, same_kind
from armour.tensor.op import Op, op

# Integers stay as they are: NumPy would make some of them float64.
ceil: Op = op("ceil", lambda xp, x: xp.ceil(x) if x.dtype.kind == "f" else x)
trunc: Op = op("trunc", lambda xp, x: xp.trunc(x) if x.dtype.kind == "f" else x)
# To the nearest whole number, halves to the even one.
round: Op = op("round", lambda xp, x: xp.rint(x) if x.dtype.kind == "f" else x)
# The quotient rounded down, as Python's //.
floor_divide: Op = op(
    "floor_divide",
    lambda xp, a, b: xp.floor_divide(*same_kind(a, b)),
    domain=((-0.45, -0.1), (0.5, 2.0)),
    cases=PAIR,
)
# The remainder with the sign of the divisor, as Python's %.
mod: Op = op(
    "mod",
    lambda xp, a, b: xp.remainder(*same_kind(a, b)),
    (lambda g, y, a, b: g, lambda g, y, a, b: -(g * floor_divide(a, b))),
    domain=((-0.45, -0.1), (0.5, 2.0)),
    cases=PAIR,
)
