"""Pooling by oneDNN on arrays (n, h, w, c), float32, C-contiguous, of fixed shape and place.

For 16 channels and more it is several times as fast as any loop of ours, above all backwards, and needs no
compiler. The largest of a window that holds NaN is that of its other elements: for a caller that must see NaN
there is numba_pool.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.kernels.numpy_kernels import Pair
from armour.tensor.kernels.onednn_primitive import (
    DIFF_DST,
    DIFF_SRC,
    DST,
    SRC,
    Attributes,
    Memory,
    Primitive,
    check,
    check_like,
    describe_operation,
    dims,
    nhwc,
    wanted,
)  # fmt: skip

TRAINING, WORKSPACE = 64, 64
LARGEST, MEAN = 0x1FF, 0x2FF


class _Pool:
    kind: int

    def __init__(self, x: np.ndarray, out: np.ndarray, window: Pair, stride: Pair) -> None:
        check("x", x, 4), check("out", out, 4)
        sizes = [(x.shape[1 + i] - window[i]) // stride[i] + 1 for i in (0, 1)]
        if min(sizes) < 1 or out.shape != (x.shape[0], *sizes, x.shape[3]):
            raise InvalidArgument(
                f"expected x (n, h, w, c) and its pooled out (n, oh, ow, c), got {x.shape} and {out.shape} "
                f"for windows {window} at stride {stride}"
            )
        # What lies beyond the last window is given as a negative margin, so that sizes agree exactly.
        rest = [(sizes[i] - 1) * stride[i] + window[i] - x.shape[1 + i] for i in (0, 1)]
        self._numbers = dims(stride), dims(window), dims((0, 0)), dims((0, 0)), dims(rest)
        self._x, self._out = x, out
        self._operation = describe_operation(
            "pooling_forward", TRAINING, self.kind, nhwc(x), nhwc(out), *self._numbers, Attributes().handle
        )
        self._memories = {SRC: Memory(nhwc(x), x), DST: Memory(nhwc(out), out)}
        if self.kind == LARGEST:
            self._memories[WORKSPACE] = Memory(wanted(self._operation, WORKSPACE))
        primitive = Primitive(self._operation, self._memories)
        self.implementation = primitive.implementation
        self.run: Callable[[], Any] = primitive.run if out.size else _nothing

    def grad(self, g: np.ndarray, out: np.ndarray) -> Callable[[], Any]:
        """A call that makes out (n, h, w, c) from the gradient g (n, oh, ow, c) of the latest `run`."""
        check_like("g", g, self._out)
        check_like("out", out, self._x)
        operation = describe_operation(
            "pooling_backward", self.kind, nhwc(out), nhwc(g), *self._numbers,
            self._operation, Attributes().handle,
        )  # fmt: skip
        memories = {DIFF_DST: Memory(nhwc(g), g), DIFF_SRC: Memory(nhwc(out), out)}
        if WORKSPACE in self._memories:
            memories[WORKSPACE] = self._memories[WORKSPACE]
        return Primitive(operation, memories).run if out.size else _nothing


class MaxPool(_Pool):
    """run: out = the largest value of each window of x. grad: to the first of the largest."""

    kind = LARGEST


class AvgPool(_Pool):
    """run: out = the mean of each window of x. grad: the gradient is spread evenly over the window."""

    kind = MEAN


def _nothing() -> None:
    """For empty batches."""
