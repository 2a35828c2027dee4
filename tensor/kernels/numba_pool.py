"""Pooling of arrays (n, h, w, c), float32, C-contiguous, by Numba: calls without arguments for a plan.

Each function gives a callable that works on the arrays given here, compiled for their number of channels and
the window, without which short runs of channels would not be vectorised; so they are as fast as oneDNN's,
which drops NaN. NaN and ties are treated as in pool_kernels.py: NaN wins, the first maximum gets the
gradient, and the last place of a window that holds NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.kernels.calls import chain
from armour.tensor.kernels.numba_compile import Kernel, kernel
from armour.tensor.kernels.numba_kernels import ONE, ZERO
from armour.tensor.kernels.numpy_kernels import Pair

Run = Callable[[], Any]
SHORT = 16  # channels; fewer fill no vector


def max_pool(x: np.ndarray, out: np.ndarray, window: Pair, stride: Pair) -> Run:
    """out (n, oh, ow, c) = the largest value of each window of x (n, h, w, c)."""
    _fit(x, out, window, stride)
    n, h, w, c = x.shape
    if c >= SHORT:
        return _max_pool(c, window, stride).bind(x, out)
    wide = _WIDE[_width(c)][0]
    line, here = np.empty(w * c, np.float32), np.empty(out.shape[2] * c, np.float32)
    return _max_pool_lines(c, window, stride).bind(
        x.reshape(n, h, line.size),
        out.reshape(n, out.shape[1], here.size),
        line,
        line.view(wide),
        here,
        here.view(wide),
    )


def max_pool_grad(
    x: np.ndarray,
    y: np.ndarray,
    g: np.ndarray,
    out: np.ndarray,
    window: Pair,
    stride: Pair,
    relu: bool = False,
) -> Run:
    """out (n, h, w, c) = the gradient g of y = max_pool(x) at the first maximum of each window.

    relu: x was the output of a relu, whose gradient is taken in the same pass.
    """
    _fit(x, y, window, stride)
    _same(g, y)
    _same(out, x)
    c, covered = x.shape[3], _covered(x, y, window, stride)
    wide, size = _WIDE[_width(c)][0], y.shape[2] * c
    lines = (y.shape[0], y.shape[1], size)
    free, here = np.empty((2, size), np.float32)
    run = _max_pool_grad(c, covered).bind(
        x.view(wide), y.reshape(lines), g.reshape(lines), out.view(wide) if covered else out,
        free, here, here.view(wide), *window, *stride, bool(relu),
    )  # fmt: skip
    return run if covered else chain([partial(out.fill, 0), run])


def avg_pool(x: np.ndarray, out: np.ndarray, window: Pair, stride: Pair) -> Run:
    """out (n, oh, ow, c) = the mean of each window of x (n, h, w, c)."""
    _fit(x, out, window, stride)
    return _avg_pool(x.shape[3]).bind(x, out, *window, *stride)


def avg_pool_grad(g: np.ndarray, out: np.ndarray, window: Pair, stride: Pair) -> Run:
    """out (n, h, w, c) = g (n, oh, ow, c) spread evenly over each window."""
    _fit(out, g, window, stride)
    return _avg_pool_grad(g.shape[3]).bind(g, out, *window, *stride)


def _fit(x: np.ndarray, y: np.ndarray, window: Pair, stride: Pair) -> None:
    sizes = [(x.shape[1 + i] - window[i]) // stride[i] + 1 for i in (0, 1)]
    if min(sizes) < 1 or y.shape != (x.shape[0], *sizes, x.shape[3]):
        raise InvalidArgument(
            f"expected x (n, h, w, c) and its pooled y (n, oh, ow, c), got {x.shape} and {y.shape} "
            f"for windows {window} at stride {stride}"
        )


def _same(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise InvalidArgument(f"expected two arrays of one shape, got {a.shape} and {b.shape}")


def _covered(x: np.ndarray, y: np.ndarray, window: Pair, stride: Pair) -> bool:
    # Every element of x is in exactly one window, so that each is written once.
    return window == stride and all(y.shape[1 + i] * stride[i] == x.shape[1 + i] for i in (0, 1))


@lru_cache(maxsize=256)
def _max_pool(c: int, window: Pair, stride: Pair) -> Kernel:
    (kh, kw), (sh, sw) = window, stride

    @kernel("void(f4[:, :, :, ::1], f4[:, :, :, ::1])")
    def max_pool(x: Any, out: Any) -> None:
        for s in range(out.shape[0]):
            for i in range(out.shape[1]):
                for j in range(out.shape[2]):
                    for k in range(c):
                        m = x[s, i * sh, j * sw, k]
                        for a in range(kh):
                            for b in range(kw):
                                v = x[s, i * sh + a, j * sw + b, k]
                                m = m if (m >= v or m != m) else v
                        out[s, i, j, k] = m

    return max_pool


@lru_cache(maxsize=256)
def _max_pool_lines(c: int, window: Pair, stride: Pair) -> Kernel:
    # Few channels are too short a run for a vector, a whole line of windows is not: the largest down each
    # column first, and then across, by copies that bring what is compared beside each other.
    (kh, kw), (sh, sw) = window, stride
    run, wide = c // _width(c), _WIDE[_width(c)][1]
    second = min(kh - 1, 1)

    @kernel(f"void(f4[:, :, ::1], f4[:, :, ::1], f4[::1], {wide}[::1], f4[::1], {wide}[::1])")
    def max_pool_lines(x: Any, out: Any, line: Any, wide_line: Any, here: Any, runs: Any) -> None:
        # line: a line of x; here: a line of windows; wide_line and runs: the same memory in wide elements.
        ow = here.size // c
        for s in range(out.shape[0]):
            for i in range(out.shape[1]):
                for k in range(line.size):
                    m, v = x[s, i * sh, k], x[s, i * sh + second, k]
                    line[k] = m if (m >= v or m != m) else v
                for a in range(2, kh):
                    for k in range(line.size):
                        m, v = line[k], x[s, i * sh + a, k]
                        line[k] = m if (m >= v or m != m) else v
                for b in range(kw):
                    for j in range(ow):
                        for k in range(run):
                            runs[j * run + k] = wide_line[(j * sw + b) * run + k]
                    if b == 0:
                        for k in range(here.size):
                            out[s, i, k] = here[k]
                    else:
                        for k in range(here.size):
                            m, v = out[s, i, k], here[k]
                            out[s, i, k] = m if (m >= v or m != m) else v

    return max_pool_lines


# Short runs are copied element by element, so several are taken for one: how many -> NumPy's, Numba's type.
_WIDE = {1: (np.float32, "f4"), 2: (np.float64, "f8"), 4: (np.complex128, "c16")}


def _width(c: int) -> int:
    return next(width for width in (4, 2, 1) if c % width == 0)


@lru_cache(maxsize=256)
def _max_pool_grad(c: int, covered: bool) -> Kernel:
    run, wide = c // _width(c), _WIDE[_width(c)][1]
    lines, images, written = "f4[:, :, ::1]", f"{wide}[:, :, :, ::1]", wide if covered else "f4"

    @kernel(
        f"void({images}, {lines}, {lines}, {written}[:, :, :, ::1], f4[::1], f4[::1], {wide}[::1], "
        "i8, i8, i8, i8, b1)"
    )
    def max_pool_grad(
        x: Any, y: Any, g: Any, out: Any, free: Any, here: Any, runs: Any,
        kh: int, kw: int, sh: int, sw: int, relu: bool,
    ) -> None:  # fmt: skip
        # One line of windows at a time. free: what of g has no place yet. here: what goes to the place at
        # hand, and at first what x holds there; runs: the same memory in wide elements.
        size = y.shape[2]
        ow = size // c
        for s in range(y.shape[0]):
            for i in range(y.shape[1]):
                for k in range(size):
                    free[k] = g[s, i, k] * (ONE if y[s, i, k] != ZERO or not relu else ZERO)
                for a in range(kh):
                    for b in range(kw):
                        for j in range(ow):
                            for k in range(run):
                                runs[j * run + k] = x[s, i * sh + a, j * sw + b, k]
                        if a == kh - 1 and b == kw - 1:
                            for k in range(size):
                                # What is left is 0 here, or the window holds a NaN, maybe elsewhere.
                                here[k] = free[k] * (ONE if here[k] != ZERO or not relu else ZERO)
                        else:
                            for k in range(size):
                                rest = free[k]
                                found = here[k] == y[s, i, k]
                                here[k] = rest if found else ZERO
                                free[k] = ZERO if found else rest
                        for j in range(ow):
                            if covered:
                                for k in range(run):
                                    out[s, i * sh + a, j * sw + b, k] = runs[j * run + k]
                            else:
                                for k in range(c):
                                    out[s, i * sh + a, j * sw + b, k] += here[j * c + k]

    return max_pool_grad


@lru_cache(maxsize=256)
def _avg_pool(c: int) -> Kernel:
    @kernel("void(f4[:, :, :, ::1], f4[:, :, :, ::1], i8, i8, i8, i8)")
    def avg_pool(x: Any, out: Any, kh: int, kw: int, sh: int, sw: int) -> None:
        share = np.float32(1.0 / (kh * kw))
        for s in range(out.shape[0]):
            for i in range(out.shape[1]):
                for j in range(out.shape[2]):
                    for k in range(c):
                        out[s, i, j, k] = ZERO
                    for a in range(kh):
                        for b in range(kw):
                            for k in range(c):
                                out[s, i, j, k] += x[s, i * sh + a, j * sw + b, k]
                    for k in range(c):
                        out[s, i, j, k] *= share

    return avg_pool


@lru_cache(maxsize=256)
def _avg_pool_grad(c: int) -> Kernel:
    @kernel("void(f4[:, :, :, ::1], f4[:, :, :, ::1], i8, i8, i8, i8)")
    def avg_pool_grad(g: Any, out: Any, kh: int, kw: int, sh: int, sw: int) -> None:
        share = np.float32(1.0 / (kh * kw))
        out[...] = ZERO
        for s in range(g.shape[0]):
            for i in range(g.shape[1]):
                for j in range(g.shape[2]):
                    for a in range(kh):
                        for b in range(kw):
                            for k in range(c):
                                out[s, i * sh + a, j * sw + b, k] += g[s, i, j, k] * share

    return avg_pool_grad
