"""Activations of arrays (n, h, w, c), float32, with the means over space of what goes in and what comes out.

Each function gives a callable that works on the arrays given here, compiled for their number of channels. A
sample is taken as lines of several pixels, four lines at a time: sums of a whole line stay in the first cache
and cost little beside the pass over memory. NaN goes through as in numba_kernels.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from armour.tensor.kernels.numba_compile import Kernel, kernel
from armour.tensor.kernels.numba_kernels import ZERO

Run = Callable[[], Any]
WIDTH = 96  # elements of a line, at least
TOGETHER = 4  # lines


def activated(
    y: np.ndarray,
    other: np.ndarray | None,
    pair: np.ndarray | None,
    means: list[np.ndarray | None],
    relu: bool,
) -> tuple[Run, Run]:
    """y (n, h, w, c) = relu(y * scale + shift + other), in place; and what reads scale and shift.

    pair: (2, c) scale and shift. means: (n, c) each, of y as it was, of it scaled and shifted, and as it is
    in the end; None for what is not wanted.
    """
    n, h, w, c = y.shape
    area = h * w
    fitting = [k for k in range(1, area + 1) if area % k == 0 and (k * c >= WIDTH or k == area)]
    k = next((k for k in fitting if area // k % TOGETHER == 0), fitting[0])
    group = TOGETHER if area // k % TOGETHER == 0 else 1
    line = k * c
    work, nothing = np.zeros(4 * line, np.float32), np.zeros((n, c), np.float32)
    shape = (n, area // k // group, group * line)
    given = [nothing if mean is None else mean for mean in means]
    flags = (pair is not None, other is not None, relu, *(mean is not None for mean in means))
    source = y if other is None else other
    run = _activated(c, line, group, *flags).bind(y.reshape(shape), source.reshape(shape), work, *given)
    return run, _loading(work[2 * line :], pair, c)


def activated_pooled(
    x: np.ndarray, out: np.ndarray, pair: np.ndarray | None, means: list[np.ndarray | None], width: int
) -> tuple[Run, Run]:
    """out (n, h // 2, w // width, c): of each window of x (n, h, w, c) the largest relu(x * scale + shift).

    means: as in `activated`, and of out.
    """
    n, h, w, c = x.shape
    size, line = out.shape[2] * c, w * c
    work, nothing = np.zeros(5 * line + size, np.float32), np.zeros((n, c), np.float32)
    given = [nothing if mean is None else mean for mean in means]
    copies, name = _COPIES[next(v for v in (4, 2, 1) if c % v == 0)]
    here, held = np.zeros(size, np.float32), np.zeros(line, np.float32)
    flags = (pair is not None, *(mean is not None for mean in means))
    run = _activated_pooled(c, line, size, width, copies().itemsize // 4, name, *flags).bind(
        x.reshape(n, h, line), out.reshape(n, h // 2, size), work, held, held.view(copies),
        here, here.view(copies), *given,
    )  # fmt: skip
    return run, _loading(work[2 * line : 4 * line], pair, c)


def _loading(target: np.ndarray, pair: np.ndarray | None, c: int) -> Run:
    """What writes scale, and then shift, along a line each."""

    def load() -> None:
        if pair is not None:
            target.reshape(2, -1, c)[...] = pair[:, None]

    return load


# Short runs are copied element by element, so several are taken for one: how many -> NumPy's, Numba's type.
_COPIES: dict[int, tuple[Any, str]] = {
    1: (np.float32, "f4"),
    2: (np.float64, "f8"),
    4: (np.complex128, "c16"),
}


@lru_cache(maxsize=256)
def _activated(
    c: int, line: int, group: int, norm: bool, residual: bool, relu: bool, low: bool, middle: bool, high: bool
) -> Kernel:
    # work: sums before, sums after, scale and shift, a line each; one array, so that the compiler sees that
    # they lie apart.
    before = low or middle

    @kernel("void(f4[:, :, ::1], f4[:, :, ::1], f4[::1], f4[:, ::1], f4[:, ::1], f4[:, ::1])")
    def activated(y: Any, other: Any, work: Any, first: Any, second: Any, third: Any) -> None:
        share = np.float32(1.0 / (y.shape[1] * group * (line // c)))
        for s in range(y.shape[0]):
            for j in range(2 * line):
                work[j] = ZERO
            for r in range(y.shape[1]):
                if group == 4:
                    for j in range(line):
                        v0, v1 = y[s, r, j], y[s, r, j + line]
                        v2, v3 = y[s, r, j + 2 * line], y[s, r, j + 3 * line]
                        if before:
                            work[j] += (v0 + v1) + (v2 + v3)
                        if norm:
                            scale, shift = work[j + 2 * line], work[j + 3 * line]
                            v0, v1 = v0 * scale + shift, v1 * scale + shift
                            v2, v3 = v2 * scale + shift, v3 * scale + shift
                        if residual:
                            v0 += other[s, r, j]
                            v1 += other[s, r, j + line]
                            v2 += other[s, r, j + 2 * line]
                            v3 += other[s, r, j + 3 * line]
                        if relu:
                            v0 = ZERO if v0 <= ZERO else v0
                            v1 = ZERO if v1 <= ZERO else v1
                            v2 = ZERO if v2 <= ZERO else v2
                            v3 = ZERO if v3 <= ZERO else v3
                        if norm or residual or relu:
                            y[s, r, j], y[s, r, j + line] = v0, v1
                            y[s, r, j + 2 * line], y[s, r, j + 3 * line] = v2, v3
                        if high:
                            work[j + line] += (v0 + v1) + (v2 + v3)
                else:
                    for j in range(line):
                        v = y[s, r, j]
                        if before:
                            work[j] += v
                        if norm:
                            v = v * work[j + 2 * line] + work[j + 3 * line]
                        if residual:
                            v += other[s, r, j]
                        if relu:
                            v = ZERO if v <= ZERO else v
                        if norm or residual or relu:
                            y[s, r, j] = v
                        if high:
                            work[j + line] += v
            for k in range(c):
                a, b = ZERO, ZERO
                for q in range(line // c):
                    a += work[q * c + k]
                    b += work[q * c + k + line]
                if low:
                    first[s, k] = a * share
                if middle:
                    second[s, k] = a * share * work[k + 2 * line] + work[k + 3 * line]
                if high:
                    third[s, k] = b * share

    return activated


@lru_cache(maxsize=256)
def _activated_pooled(
    c: int, line: int, size: int, width: int, run: int, name: str,
    norm: bool, low: bool, middle: bool, high: bool, top: bool,
) -> Kernel:  # fmt: skip
    # work: as above, then sums of the result along a line of windows. held: the larger of two lines.
    pieces, before = c // run, low or middle

    @kernel(
        f"void(f4[:, :, ::1], f4[:, :, ::1], f4[::1], f4[::1], {name}[::1], f4[::1], {name}[::1], "
        "f4[:, ::1], f4[:, ::1], f4[:, ::1], f4[:, ::1])"
    )
    def activated_pooled(
        x: Any, out: Any, work: Any, held: Any, wide: Any, here: Any, runs: Any,
        first: Any, second: Any, third: Any, fourth: Any,
    ) -> None:  # fmt: skip
        share = np.float32(1.0 / (x.shape[1] * (line // c)))
        part = np.float32(1.0 / (out.shape[1] * (size // c)))
        for s in range(x.shape[0]):
            for j in range(2 * line):
                work[j] = ZERO
            for j in range(size):
                work[j + 4 * line] = ZERO
            for i in range(out.shape[1]):
                for j in range(line):
                    v0, v1 = x[s, 2 * i, j], x[s, 2 * i + 1, j]
                    if before:
                        work[j] += v0 + v1
                    if norm:
                        scale, shift = work[j + 2 * line], work[j + 3 * line]
                        v0, v1 = v0 * scale + shift, v1 * scale + shift
                    v0 = ZERO if v0 <= ZERO else v0
                    v1 = ZERO if v1 <= ZERO else v1
                    if high:
                        work[j + line] += v0 + v1
                    held[j] = v0 if (v0 >= v1 or v0 != v0) else v1
                for b in range(width):
                    for q in range(size // c):
                        for k in range(pieces):
                            runs[q * pieces + k] = wide[(q * width + b) * pieces + k]
                    if b == 0:
                        for j in range(size):
                            out[s, i, j] = here[j]
                    else:
                        for j in range(size):
                            m, v = out[s, i, j], here[j]
                            out[s, i, j] = m if (m >= v or m != m) else v
                if top:
                    for j in range(size):
                        work[j + 4 * line] += out[s, i, j]
            for i in range(2 * out.shape[1], x.shape[1]):  # a line that is in no window
                for j in range(line):
                    v = x[s, i, j]
                    if before:
                        work[j] += v
                    if norm:
                        v = v * work[j + 2 * line] + work[j + 3 * line]
                    if high:
                        work[j + line] += ZERO if v <= ZERO else v
            for k in range(c):
                a, d, e = ZERO, ZERO, ZERO
                for q in range(line // c):
                    a += work[q * c + k]
                    d += work[q * c + k + line]
                for q in range(size // c):
                    e += work[q * c + k + 4 * line]
                if low:
                    first[s, k] = a * share
                if middle:
                    second[s, k] = a * share * work[k + 2 * line] + work[k + 3 * line]
                if high:
                    third[s, k] = d * share
                if top:
                    fourth[s, k] = e * part

    return activated_pooled
