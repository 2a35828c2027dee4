"""Activations as single passes over memory, in place, compiled by Numba.

All take flat C-contiguous float32 arrays: y[...] = f(y), and for gradients g[...] *= f'(x). NaN stays NaN,
and at a bend they do what tensor/slopes.py does. The exponential is written out, since a call for each
element is ten times slower: its relative error is below 2e-7, and it stops at exp(-87) and exp(88), which
float32 nearly does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from armour.tensor.kernels.numba_compile import Helper, kernel

Flat = Any  # (size,) float32
real, whole = np.float32, np.int32
ZERO, HALF, ONE, TWO, THREE, SIX = (real(v) for v in (0, 0.5, 1, 2, 3, 6))
SIXTH, THIRD = real(1 / 6), real(1 / 3)
LOG2E, LOG2_HIGH, LOG2_LOW = real(1 / math.log(2)), real(0.693359375), real(math.log(2) - 0.693359375)
LOWEST, HIGHEST = real(-87.0), real(88.0)
# exp(r) = 1 + r + r^2 (E0 + r (E1 + ...)) for |r| <= log(2) / 2: minimax of the relative error, degree 4.
E0, E1, E2, E3, E4 = (real(v) for v in (0.49999999, 0.16666521, 0.041668226, 0.0083689946, 0.0013814))
# erf(x) / x with u = 2 x^2 - 1 for |x| <= 1; exp(x^2) erfc(x) with u of 2 / (2 + x) for x >= 1: the first
# coefficients of special.py's, rounded to float32.
N0, N1, N2, N3 = (real(v) for v in (0.96546874, -0.14053609, 0.019852496, -0.0022854855))
N4, N5, N6, N7 = (real(v) for v in (0.00021751716, -1.7537169e-05, 1.2233828e-06, -7.5115693e-08))
F0, F1, F2, F3, F4 = (real(v) for v in (0.22142953, 0.16189357, 0.03856057, 0.0055888163, 0.00019713918))
F5, F6, F7, F8 = (real(v) for v in (-8.0792204e-05, -7.3405179e-06, 1.9795619e-06, 1.6349935e-07))
MIDDLE, SPREAD = real(11 / 24), real(24 / 5)
ROOT_HALF, DENSITY = real(math.sqrt(0.5)), real(1 / math.sqrt(2 * math.pi))
CUBE, ROOT = real(0.044715), real(math.sqrt(2 / math.pi))
Z3, Z5, Z7, Z9, Z11, Z13 = (real(1 / n) for n in (3, 5, 7, 9, 11, 13))


@Helper
def limited(v: Any, low: Any, high: Any) -> Any:
    """min(max(v, low), high)."""
    v = low if v < low else v
    return high if v > high else v


@Helper
def expm1(z: Any) -> Any:
    """exp(z) - 1 with the digits of small z; at most exp(88)."""
    z = limited(z, LOWEST, HIGHEST)
    n = np.floor(z * LOG2E + HALF)
    r = (z - n * LOG2_HIGH) - n * LOG2_LOW
    p = r + r * r * (E0 + r * (E1 + r * (E2 + r * (E3 + r * E4))))
    s = whole((whole(n) + whole(127)) << whole(23)).view(real)
    return p * s + (s - ONE)


@Helper
def exp(z: Any) -> Any:
    """The exponential: 0 below -87, and at most exp(88)."""
    value = expm1(z) + ONE
    return ZERO if z < LOWEST else value


@Helper
def logistic(z: Any) -> Any:
    """1 / (1 + exp(-z)), with its digits where it is small."""
    e = exp(-abs(z))
    above = ONE / (ONE + e)
    below = e * above
    return below if z < ZERO else above


@Helper
def erf(x: Any) -> Any:
    """The error function."""
    size = abs(x)
    near = ONE if size > ONE else size
    u = TWO * near * near - ONE
    near = near * (N0 + u * (N1 + u * (N2 + u * (N3 + u * (N4 + u * (N5 + u * (N6 + u * N7)))))))
    far = limited(size, ONE, SIX)
    u = (TWO / (TWO + far) - MIDDLE) * SPREAD
    p = F0 + u * (F1 + u * (F2 + u * (F3 + u * (F4 + u * (F5 + u * (F6 + u * (F7 + u * F8)))))))
    far = ONE - exp(-far * far) * p
    value = far if size > ONE else near
    return -value if x < ZERO else value


@kernel("void(f4[::1])")
def hardswish(y: Flat) -> None:
    """x * min(max(x + 3, 0), 6) / 6."""
    for i in range(y.size):
        v = y[i]
        y[i] = v * (limited(v + THREE, ZERO, SIX) * SIXTH)


@kernel("void(f4[::1])")
def hardsigmoid(y: Flat) -> None:
    """min(max(x + 3, 0), 6) / 6."""
    for i in range(y.size):
        y[i] = limited(y[i] + THREE, ZERO, SIX) * SIXTH


@kernel("void(f4[::1], f4, f4)")
def hardtanh(y: Flat, low: Any, high: Any) -> None:
    """min(max(x, low), high)."""
    for i in range(y.size):
        y[i] = limited(y[i], low, high)


@kernel("void(f4[::1], f4)")
def leaky_relu(y: Flat, slope: Any) -> None:
    """x where x > 0, else slope * x."""
    for i in range(y.size):
        v = y[i]
        y[i] = v if v > ZERO else v * slope


@kernel("void(f4[::1], f4)")
def elu(y: Flat, alpha: Any) -> None:
    """x where x > 0, else alpha * (exp(x) - 1)."""
    for i in range(y.size):
        v = y[i]
        below = expm1(v) * alpha
        y[i] = v if v > ZERO else below


@kernel("void(f4[::1])")
def sigmoid(y: Flat) -> None:
    """1 / (1 + exp(-x))."""
    for i in range(y.size):
        y[i] = logistic(y[i])


@kernel("void(f4[::1])")
def silu(y: Flat) -> None:
    """x / (1 + exp(-x))."""
    for i in range(y.size):
        v = y[i]
        y[i] = v * logistic(v)


@kernel("void(f4[::1])")
def gelu(y: Flat) -> None:
    """x times the normal distribution function of x."""
    for i in range(y.size):
        v = y[i]
        y[i] = v * (HALF * (ONE + erf(v * ROOT_HALF)))


@kernel("void(f4[::1])")
def gelu_tanh(y: Flat) -> None:
    """x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), which is x times the logistic of 2 u."""
    for i in range(y.size):
        v = y[i]
        y[i] = v * logistic(TWO * ROOT * v * (ONE + CUBE * v * v))


@kernel("void(f4[::1])")
def softplus(y: Flat) -> None:
    """log(1 + exp(x)) = max(x, 0) + log(1 + e) for e = exp(-|x|), and that is 2 artanh(e / (2 + e))."""
    for i in range(y.size):
        v = y[i]
        e = exp(-abs(v))
        z = e / (TWO + e)
        q = z * z
        tail = ONE + q * (Z3 + q * (Z5 + q * (Z7 + q * (Z9 + q * (Z11 + q * Z13)))))
        y[i] = (ZERO if v < ZERO else v) + TWO * z * tail


# -- gradients ----------------


@kernel("void(f4[::1], f4[::1])")
def hardswish_slope(g: Flat, x: Flat) -> None:
    """0 below -3, x / 3 + 1 / 2, from 3 on 1."""
    for i in range(g.size):
        v, a = x[i], g[i]
        inside = a * (v * THIRD + HALF)
        below = inside if v > -THREE else ZERO
        g[i] = below if v < THREE else a


@kernel("void(f4[::1], f4[::1])")
def hardsigmoid_slope(g: Flat, x: Flat) -> None:
    """1 / 6 between -3 and 3."""
    for i in range(g.size):
        v = x[i]
        g[i] = g[i] * (SIXTH if (v > -THREE) & (v < THREE) else ZERO)


@kernel("void(f4[::1], f4[::1], f4, f4)")
def hardtanh_slope(g: Flat, x: Flat, low: Any, high: Any) -> None:
    """1 between the limits, without them."""
    for i in range(g.size):
        v = x[i]
        g[i] = g[i] * (ONE if (v > low) & (v < high) else ZERO)


@kernel("void(f4[::1], f4[::1], f4, f4)")
def clip_slope(g: Flat, x: Flat, low: Any, high: Any) -> None:
    """1 between the limits and at them."""
    for i in range(g.size):
        v = x[i]
        g[i] = g[i] * (ONE if (v >= low) & (v <= high) else ZERO)


@kernel("void(f4[::1], f4[::1], f4)")
def leaky_relu_slope(g: Flat, x: Flat, slope: Any) -> None:
    """1 above 0, else the slope."""
    for i in range(g.size):
        a = g[i]
        g[i] = a if x[i] > ZERO else a * slope


@kernel("void(f4[::1], f4[::1], f4)")
def elu_slope(g: Flat, x: Flat, alpha: Any) -> None:
    """1 above 0, else alpha * exp(x)."""
    for i in range(g.size):
        v, a = x[i], g[i]
        below = a * (alpha * exp(v))
        g[i] = a if v > ZERO else below


@kernel("void(f4[::1], f4[::1])")
def silu_slope(g: Flat, x: Flat) -> None:
    """s (1 + x (1 - s)) with s = 1 / (1 + exp(-x))."""
    for i in range(g.size):
        v = x[i]
        s = logistic(v)
        g[i] = g[i] * (s * (ONE + v * (ONE - s)))


@kernel("void(f4[::1], f4[::1])")
def softplus_slope(g: Flat, x: Flat) -> None:
    """1 / (1 + exp(-x))."""
    for i in range(g.size):
        g[i] = g[i] * logistic(x[i])


@kernel("void(f4[::1], f4[::1])")
def gelu_slope(g: Flat, x: Flat) -> None:
    """The normal distribution function of x, plus x times its density."""
    for i in range(g.size):
        v = x[i]
        density = exp(-HALF * v * v) * DENSITY
        g[i] = g[i] * (HALF * (ONE + erf(v * ROOT_HALF)) + v * density)


@kernel("void(f4[::1], f4[::1])")
def gelu_tanh_slope(g: Flat, x: Flat) -> None:
    """s + x s (1 - s) r with s the logistic of 2 u and r the derivative of 2 u."""
    for i in range(g.size):
        v = x[i]
        q = CUBE * v * v
        s = logistic(TWO * ROOT * v * (ONE + q))
        g[i] = g[i] * (s + v * s * (ONE - s) * (TWO * ROOT * (ONE + THREE * q)))
