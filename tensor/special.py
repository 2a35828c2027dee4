"""Functions of arrays that array namespaces do not have: erf, erfc and the inverse of erf."""

from __future__ import annotations

import math

from armour.tensor.backend import Array, Namespace

# Chebyshev interpolants made with mpmath at 40 digits, in powers of u on [-1, 1]. NEAR: erf(x) / x with u = 2
# x^2 - 1 for |x| <= 1. FAR: exp(x^2) erfc(x) for x >= 1 with t = 2 / (2 + x) in [1/4, 2/3] mapped to u. The
# error is below 5e-16.
_NEAR = (
    0.9654687386698673, -0.1405360890227171, 0.019852496688984218, -0.0022854855611440855,
    0.00021751715603563488, -1.75371694412802e-05, 1.2233827638093572e-06, -7.51156925108609e-08,
    4.115751500265885e-09,
    -2.035231956483527e-10, 9.21125018742823e-12, -3.80659122412214e-13,
)  # fmt: skip
_FAR = (
    0.2214295402299318, 0.16189356804102498, 0.03856057042518243, 0.005588816281839609, 0.0001971391777277226,
    -8.079220426293067e-05, -7.340517934970952e-06, 1.9795618189578446e-06, 1.6349935293466479e-07,
    -7.005319580576908e-08, -5.885355290157333e-10, 2.62402194786673e-09, -2.6883072233536537e-10,
    -7.362738434909444e-11, 2.2278309356940502e-11, -1.2718226318181825e-13, -1.0185140159980557e-12,
    1.4213140304715316e-13, 1.9212732679880574e-14,
)  # fmt: skip
# TAIL: x exp(x^2) erfc(x) for x >= 6 with 1 / x^2 in [0, 1/36] mapped to u.
_TAIL = (
    0.5603505205560211, -0.003762724873077514, 7.38713831321479e-05, -2.357833330709325e-06,
    1.0286465741477058e-07, -5.6376551193088024e-09, 3.6926557128003245e-10, -2.7969670549855024e-11,
    2.3922875992320455e-12, -2.2726445822587304e-13, 2.4679228766012223e-14, -2.8022377741339723e-15,
)  # fmt: skip


def erf_values(xp: Namespace, x: Array) -> Array:
    """The error function of a floating array, to its precision; NaN gives NaN."""
    size = xp.minimum(xp.abs(x), xp.asarray(6.0, dtype=x.dtype))  # 1 - erf(6) is 2e-17
    one = xp.asarray(1.0, dtype=x.dtype)
    near = xp.minimum(size, one)
    near = near * _polynomial(xp, _NEAR, 2 * near * near - one)
    far = xp.maximum(size, one)
    far = one - xp.exp(-far * far) * _polynomial(xp, _FAR, (2 / (2 + far) - 11 / 24) * (24 / 5))
    return xp.copysign(xp.where(size < one, near, far), x)


def erfc_values(xp: Namespace, x: Array) -> Array:
    """1 - erf(x), with a relative error below 1e-13 (float64) where x is large and the value small."""
    size = xp.minimum(xp.abs(x), xp.asarray(30.0, dtype=x.dtype))  # erfc(28) is 0 in float64
    one = xp.asarray(1.0, dtype=x.dtype)
    near = xp.minimum(size, one)
    near = one - near * _polynomial(xp, _NEAR, 2 * near * near - one)
    middle = xp.minimum(xp.maximum(size, one), 6 * one)
    middle = _polynomial(xp, _FAR, (2 / (2 + middle) - 11 / 24) * (24 / 5))
    far = xp.maximum(size, 6 * one)
    far = _polynomial(xp, _TAIL, 72 / (far * far) - one) / far
    far = xp.exp(-size * size) * xp.where(size < 6, middle, far)
    value = xp.where(size < one, near, far)
    return xp.where(x < 0, 2 * one - value, value)


def erfinv_values(xp: Namespace, x: Array) -> Array:
    """The y with erf(y) = x, for x in [-1, 1], to the precision of x; infinite at the ends, NaN outside.

    Winitzki's approximation (2008, relative error 2e-3), then steps of Halley's method, each of which cubes
    the error. Above a half, 1 - x and erfc are compared, since erf is too close to 1 there.
    """
    one = xp.asarray(1.0, dtype=x.dtype)
    size = xp.abs(x)
    inside = xp.where(size < one, size, xp.zeros((), x.dtype))
    gap = (xp.log1p(-inside) + xp.log1p(inside)) / 0.147
    b = 2 / (math.pi * 0.147) + gap * (0.147 / 2)
    y = xp.sqrt(-gap / (xp.sqrt(b * b - gap) + b))
    for _ in range(3):
        below, above = erf_values(xp, y) - inside, (one - inside) - erfc_values(xp, y)
        step = xp.where(inside < 0.5, below, above) * xp.exp(y * y) * (math.sqrt(math.pi) / 2)
        y = y - step / (one + y * step)
    ends = (xp.asarray(v, dtype=x.dtype) for v in (math.inf, math.nan))
    y = xp.where(size < one, y, xp.where(size == one, *ends))
    return xp.copysign(y, x)


def _polynomial(xp: Namespace, coefficients: tuple[float, ...], u: Array) -> Array:
    total = xp.full_like(u, coefficients[-1])
    for c in coefficients[-2::-1]:
        total *= u
        total += c
    return total
