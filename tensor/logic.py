"""Rows of the op table that give booleans or counts, without gradient; comparisons are in elementwise.py.

Any number other than 0, NaN too, counts as true.
"""

from __future__ import annotations

from typing import Any

from armour.tensor.core import Tensor
from armour.tensor.elementwise import PAIR, not_equal
from armour.tensor.op import Op, op
from armour.tensor.reduce import REDUCTIONS, Axis
from armour.tensor.reduce import sum as sum_of

isnan: Op = op("isnan", lambda xp, x: xp.isnan(x))
isinf: Op = op("isinf", lambda xp, x: xp.isinf(x))
isfinite: Op = op("isfinite", lambda xp, x: xp.isfinite(x))
logical_not: Op = op("logical_not", lambda xp, x: xp.logical_not(x))
logical_and: Op = op("logical_and", lambda xp, a, b: xp.logical_and(a, b), cases=PAIR)
logical_or: Op = op("logical_or", lambda xp, a, b: xp.logical_or(a, b), cases=PAIR)
logical_xor: Op = op("logical_xor", lambda xp, a, b: xp.logical_xor(a, b), cases=PAIR)
_any: Op = op(
    "any",
    lambda xp, x, axis=None, keepdims=False: xp.any(x, axis=axis, keepdims=keepdims),
    cases=REDUCTIONS,
)
_all: Op = op(
    "all",
    lambda xp, x, axis=None, keepdims=False: xp.all(x, axis=axis, keepdims=keepdims),
    cases=REDUCTIONS,
)


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether one element over `axis` (an int, a tuple, or None for all) is true; of no elements, False."""
    return _any(x, axis=axis, keepdims=keepdims)


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether every element over `axis` is true; of no elements, True."""
    return _all(x, axis=axis, keepdims=keepdims)


def count_nonzero(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """How many elements over `axis` are not 0, int64."""
    return sum_of(not_equal(x, 0), axis=axis, keepdims=keepdims)
