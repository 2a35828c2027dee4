"""The input gradient of a strided convolution over an image of few channels, by oneDNN.

Pixels at the same place between two strides get their gradient from the same taps. So all places' channels
together are the output of one convolution of the gradient at stride 1, with as many channels as a vector has
elements, where oneDNN's own backward operation would fill vectors with three.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from armour.tensor.kernels.calls import chain
from armour.tensor.kernels.numpy_kernels import Margins, Pair
from armour.tensor.kernels.onednn import ConvForward
from armour.tensor.kernels.onednn_primitive import Shape, aligned

VECTOR = 16  # float32 in a register, which the places' channels should fill and not exceed


class _Axis:
    """Along one axis: which tap and which element of g each pixel meets."""

    def __init__(self, pixels: int, steps: int, taps: int, stride: int, before: int) -> None:
        self.stride, self.whole = stride, pixels % stride == 0
        # Pixel stride * q + place meets tap t of window q + d where place + before = stride * d + t.
        self.pairs = [
            (place, t, (place + before - t) // stride)
            for place in range(stride)
            for t in range(taps)
            if (place + before - t) % stride == 0
        ]
        offsets = [d for _, _, d in self.pairs] or [0]
        self.first, self.taps = min(offsets), max(offsets) - min(offsets) + 1
        self.margins = (-self.first, pixels // stride + max(offsets) - steps)


class PhasedInputGrad:
    """out (n, h, w, c) = the gradient of conv(x, w) by x, for the gradient g (n, oh, ow, o) of its output.

    Float32, C-contiguous, one group, dilation 1. Ask `suits` first. `load` takes the weights (o, c, kh, kw).
    """

    def __init__(
        self, g: np.ndarray, w_shape: Shape, out: np.ndarray, stride: Pair, padding: Margins
    ) -> None:
        self._axes = _axes(out.shape, w_shape, g.shape, stride, padding)
        (n, h, w, c), (sy, sx) = out.shape, stride
        planes = aligned((n, h // sy, w // sx, sy * sx * c))
        self._shape = (sy, sx, c, w_shape[0], self._axes[0].taps, self._axes[1].taps)
        margins = (self._axes[0].margins, self._axes[1].margins)
        grouped: Shape = (sy * sx * c, *self._shape[3:])
        self._conv = ConvForward(g, grouped, planes, padding=margins)
        apart = planes.reshape(n, h // sy, w // sx, sy, sx, c).transpose(0, 1, 3, 2, 4, 5)
        target = out.reshape(n, h // sy, sy, w // sx, sx, c)
        self.implementation = self._conv.implementation
        self.run: Callable[[], Any] = chain([self._conv.run, partial(np.copyto, target, apart)])

    def load(self, w: np.ndarray) -> None:
        """Take weights (o, c, kh, kw)."""
        taps, (rows, columns) = np.zeros(self._shape, np.float32), self._axes
        for a, i, d in rows.pairs:
            for b, j, e in columns.pairs:
                taps[a, b, :, :, d - rows.first, e - columns.first] = w[:, :, i, j].T
        self._conv.load(taps.reshape(-1, *self._shape[3:]))


def suits(x: Shape, w: Shape, g: Shape, stride: Pair, padding: Margins, dilation: Pair, groups: int) -> bool:
    """True where PhasedInputGrad computes the gradient by x (n, h, w, c), and pays."""
    if stride == (1, 1) or dilation != (1, 1) or groups != 1 or x[3] * stride[0] * stride[1] > VECTOR:
        return False
    axes = _axes(x, w, g, stride, padding)
    return all(axis.whole and min(axis.margins) >= 0 for axis in axes)


def _axes(x: Shape, w: Shape, g: Shape, stride: Pair, padding: Margins) -> tuple[_Axis, _Axis]:
    rows, columns = (_Axis(x[1 + i], g[1 + i], w[2 + i], stride[i], padding[i][0]) for i in (0, 1))
    return rows, columns
