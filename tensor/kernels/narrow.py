"""The input gradient of a convolution of one to three channels: the last step of an attack's gradient.

With so few channels a vector of them is mostly empty, and oneDNN's convolutions run at a tenth of their
speed. Here one product gives, for each place in the window, what every pixel of g adds there (pixels are what
vectors hold), and a pass of long additions moves these planes to their places. Needs oneDNN and Numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.kernels import numba_compile, onednn_library
from armour.tensor.kernels.calls import chain
from armour.tensor.kernels.numba_compile import kernel
from armour.tensor.kernels.numba_kernels import ZERO
from armour.tensor.kernels.numpy_kernels import Margins, Pair
from armour.tensor.kernels.onednn_primitive import (
    DST,
    SRC,
    WEIGHTS,
    Attributes,
    Memory,
    Primitive,
    Shape,
    aligned,
    check,
    describe_operation,
    plain,
)  # fmt: skip

# Bytes of planes at a time: they are written by the product and read again from the cache.
CHUNK = 1 << 19
CHANNELS, OUTPUTS = 3, 8


def suits(
    w_shape: Shape, size: Pair, stride: Pair, padding: Margins, dilation: Pair = (1, 1), groups: int = 1
) -> bool:
    """True if NarrowInputGrad can do this convolution of (h, w) = size and is the faster way, as measured."""
    o, c, *kernel_size = w_shape
    same = all(sum(padding[i]) == dilation[i] * (kernel_size[i] - 1) for i in (0, 1))
    few = c <= CHANNELS and o >= OUTPUTS and min(size) >= 4
    return (
        few and same and groups == 1 and stride == (1, 1)
        and onednn_library.available() and numba_compile.available()
    )  # fmt: skip


class NarrowInputGrad:
    """out (n, c, h, w) = the gradient of conv(x, w) by x, for the gradient g (n, h, w, o) of its output.

    Stride 1 and padding that keeps the size, one group. `out` has its channels first, as callers of a network
    want them, while g has them last.
    """

    def __init__(
        self, g: np.ndarray, w_shape: Shape, out: np.ndarray, padding: Margins, dilation: Pair = (1, 1)
    ) -> None:
        check("g", g, 4), check("out", out, 4)
        o, c, kh, kw = w_shape
        n, h, w, _ = g.shape
        keeps = all(sum(padding[i]) == dilation[i] * (w_shape[2 + i] - 1) for i in (0, 1))
        if g.shape[3] != o or out.shape != (n, c, h, w) or not keeps:
            raise InvalidArgument(
                f"expected g (n, h, w, o), w (o, c, kh, kw), out (n, c, h, w), padding that keeps the size, "
                f"got {g.shape}, {w_shape}, {out.shape} and {padding} for dilation {dilation}"
            )
        terms, step = c * kh * kw, max(1, CHUNK // max(1, 4 * c * kh * kw * h * w))
        self._taps = Memory(plain((terms, o)), aligned((terms, o)))
        calls: list[Callable[[], Any]] = []
        room = aligned((terms * min(n, step) * h * w,))
        for start in range(0, n if h * w else 0, step):
            m = min(step, n - start)
            pixels, planes = m * h * w, room[: terms * m * h * w]
            layouts = plain((terms, o)), plain((o, pixels), (1, 0)), plain((terms, pixels))
            operation = describe_operation(
                "matmul", layouts[0], layouts[1], None, layouts[2], Attributes().handle
            )
            memories = {
                SRC: self._taps,
                WEIGHTS: Memory(layouts[1], g[start : start + m]),
                DST: Memory(layouts[2], planes),
            }
            calls.append(Primitive(operation, memories).run)
            before = padding[0][0], padding[1][0]
            calls.append(
                fold.bind(
                    planes.reshape(c, kh * kw, m, h * w),
                    out[start : start + m].reshape(m, c, h * w),
                    w, kw, *before, *dilation,
                )
            )  # fmt: skip
        self.run = chain(calls)

    def load(self, w: np.ndarray) -> None:
        """Take weights (o, c, kh, kw)."""
        self._taps.array[...] = w.transpose(1, 2, 3, 0).reshape(self._taps.array.shape)


@kernel("void(f4[:, :, :, ::1], f4[:, :, ::1], i8, i8, i8, i8, i8, i8)")
def fold(planes: Any, out: Any, width: int, kw: int, top: int, left: int, down: int, right: int) -> None:
    """out (m, c, h * width)[i, j] = the sum over taps of planes (c, taps, m, h * width)[i + di, j + dj].

    (di, dj) = (top - down * a, left - right * b) for tap (a, b). Shifted planes are added as single runs;
    what comes in from the line before or after is set to zero first, and no tap ever needs it.
    """
    size = out.shape[2]
    h = size // width
    for ch in range(out.shape[1]):
        for tap in range(planes.shape[1]):
            dj = left - right * (tap % kw)
            if dj != 0:
                low = max(0, width + dj) if dj < 0 else 0
                high = width if dj < 0 else min(dj, width)
                for s in range(out.shape[0]):
                    for i in range(h):
                        for j in range(low, high):
                            planes[ch, tap, s, i * width + j] = ZERO
        for s in range(out.shape[0]):
            plane = out[s, ch]
            for k in range(size):
                plane[k] = ZERO
            for tap in range(planes.shape[1]):
                di = top - down * (tap // kw)
                shift = di * width + left - right * (tap % kw)
                low = max(max(0, -di) * width, -shift)
                high = min(min(h, h - di) * width, size - shift)
                if high > low:
                    to = plane[low:high]
                    come = planes[ch, tap, s, low + shift : high + shift]
                    for k in range(to.size):
                        to[k] += come[k]
