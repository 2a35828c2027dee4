"""Lengths, spreads and similarities along axes, whose gradients are defined where they vanish: 0."""

from __future__ import annotations

import math
from typing import Any

from armour.errors import InvalidArgument
from armour.tensor.axes import squeeze
from armour.tensor.control import stop_gradient
from armour.tensor.core import Tensor, lift
from armour.tensor.elementwise import abs as absolute
from armour.tensor.elementwise import equal, less_equal, log, log1p, maximum, not_equal, power, sqrt, where
from armour.tensor.logic import isfinite, isinf, logical_and, logical_or
from armour.tensor.reduce import Axis, var
from armour.tensor.reduce import max as max_of
from armour.tensor.reduce import min as min_of
from armour.tensor.reduce import sum as sum_of


def std(x: Any, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """Standard deviation over `axis`, divided by n - ddof; gradient 0 where it is 0."""
    return _root(var(x, axis, keepdims, ddof))


def vector_norm(x: Any, p: float = 2.0, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """(sum of |x|^p)^(1/p) over `axis`; p = inf is the largest |x|, -inf the smallest, 0 counts non-zeros.

    The gradient is 0 where the norm is 0, and for elements that are 0 while p < 2. Sums neither overflow nor
    underflow: they are taken relative to the largest element.
    """
    (t,) = lift([x])
    if math.isnan(p) or (p < 0 and not math.isinf(p)):
        raise InvalidArgument(f"vector_norm expects p at or above 0, inf or -inf, got {p!r}")
    size = absolute(t)
    if p == 0:
        return sum_of(not_equal(size, 0).astype(size.dtype), axis, keepdims)
    if math.isinf(p):
        return max_of(size, axis, keepdims) if p > 0 else min_of(size, axis, keepdims)
    if p == 1:
        return sum_of(size, axis, keepdims)
    if not t.size:
        return sum_of(size, axis, keepdims)
    largest = stop_gradient(max_of(size, axis, keepdims=True))
    scale = where(logical_and(isfinite(largest), not_equal(largest, 0)), largest, 1.0)
    scaled = t / scale
    if p == 2:
        length = _root(sum_of(scaled * scaled, axis, keepdims=True)) * scale
    else:
        length = _power(sum_of(_power(absolute(scaled), p), axis, keepdims=True), 1.0 / p) * scale
    return length if keepdims else squeeze(length, tuple(range(t.ndim)) if axis is None else axis)


def normalize(x: Any, p: float = 2.0, axis: Axis = -1, eps: float = 1e-12) -> Tensor:
    """x divided by its p-norm over `axis`, or by eps where that is larger: zeros stay zeros."""
    (t,) = lift([x])
    return t / maximum(vector_norm(t, p, axis, keepdims=True), eps)


def cosine_similarity(a: Any, b: Any, axis: int = -1, eps: float = 1e-8) -> Tensor:
    """Cosine of the angle between a and b along `axis`; 0 where one of them is 0.

    eps: lengths are taken to be at least this.
    """
    left, right = lift([a, b])
    lengths = (maximum(vector_norm(t, 2.0, axis, keepdims=True), eps) for t in (left, right))
    first, second = lengths
    return sum_of(left / first * (right / second), axis)


def xlogy(x: Any, y: Any) -> Tensor:
    """x * log(y), and 0 with gradients 0 where x is 0 and the logarithm is none."""
    a, b = lift([x, y])
    none = logical_and(equal(a, 0.0), logical_or(less_equal(b, 0.0), isinf(b)))
    return where(none, 0.0, a * log(where(none, 1.0, b)))


def xlog1py(x: Any, y: Any) -> Tensor:
    """x * log(1 + y), which keeps the digits of a small y; and 0 as xlogy."""
    a, b = lift([x, y])
    none = logical_and(equal(a, 0.0), logical_or(less_equal(b, -1.0), isinf(b)))
    return where(none, 0.0, a * log1p(where(none, 0.0, b)))


def lerp(a: Any, b: Any, weight: Any) -> Tensor:
    """a + weight * (b - a): a at weight 0, b at weight 1."""
    left, right, share = lift([a, b, weight])
    return left + share * (right - left)


def _root(x: Tensor) -> Tensor:
    zero = equal(x, 0.0)
    return where(zero, 0.0, sqrt(where(zero, 1.0, x)))


def _power(x: Tensor, p: float) -> Tensor:
    zero = equal(x, 0.0)
    return where(zero, 0.0, power(where(zero, 1.0, x), p))
