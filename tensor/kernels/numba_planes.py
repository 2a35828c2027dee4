"""The shortest way across a hyperplane inside a box, one row at a time in the cache, compiled by Numba.

The same as armour/hyperplanes.py does in passes over all rows. See numba_compile.Kernel for calling.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from armour.tensor.kernels.numba_compile import Helper, kernel

ZERO, ONE = np.float32(0), np.float32(1)
FURTHEST = np.float32(np.sqrt(np.finfo(np.float32).max))
AHEAD = np.float32(1 + 4 * np.finfo(np.float32).eps)


@Helper
def room(g: Any, low: Any, high: Any) -> Any:
    """How far a coordinate may go the way its gradient points."""
    return high if g > ZERO else (-low if g < ZERO else ZERO)


@kernel("void(f4[:, ::1], i4[:, ::1], f4[:, ::1], f4[:, ::1], f8[::1], b1, f4[:, ::1], f4[:, ::1])")
def shortest(
    gradient: Any, bits: Any, low: Any, high: Any, gain: Any, squared: bool, scratch: Any, out: Any
) -> None:
    """out (n, d): no coordinate further than t (linf), or t times the gradient (l2, `squared`), in the box.

    The least t with gradient . out >= gain (n,). bits: the gradient's memory as int32. scratch: (2, d).
    """
    weight, most = scratch[0], scratch[1]
    n, d = gradient.shape
    for i in range(n):
        top = 0
        for k in range(d):  # floats above 0 are ordered as their bits are, and whole numbers are faster
            top = max(top, bits[i, k] & 0x7FFFFFFF)
        peak = ONE
        if top:
            for k in range(d):
                if (bits[i, k] & 0x7FFFFFFF) == top:
                    peak = abs(gradient[i, k])
                    break
        target = np.float32(gain[i] / peak)
        reach, slope = ZERO, ZERO
        for k in range(d):
            g = gradient[i, k]
            size = abs(g) / peak
            w = size * (size if squared else ONE)
            m = size * room(g, low[i, k], high[i, k])
            weight[k], most[k] = w, m
            reach += m
            slope += w if m > ZERO else ZERO
        t = FURTHEST if target > ZERO else ZERO
        if target > ZERO and target < reach:
            # Newton's method from the left, as in armour/hyperplanes.py.
            t = min(target / slope, FURTHEST)
            for _ in range(d):
                reach, slope = ZERO, ZERO
                for k in range(d):  # from 0: only then is the loop known to need no check of its index
                    w, m = weight[k], most[k]
                    v = w * t
                    reach += v if v < m else m
                    slope += w if v < m else ZERO
                if not slope > ZERO:
                    break
                ahead = min(t + (target - reach) / slope, FURTHEST)
                if not ahead > t * AHEAD:
                    break
                t = ahead
        for k in range(d):
            g = gradient[i, k]
            limit = room(g, low[i, k], high[i, k])
            v = t * (abs(g) / peak if squared else ONE)
            v = v if v < limit else limit
            out[i, k] = v if g > ZERO else -v
