"""Fourier transforms as products with matrices of waves, windows, and weights of the mel scale."""

from __future__ import annotations

import numpy as np

import armour.tensor as T
from armour.tensor.core import Tensor

from .rules import Call, rule
from .rules_array import check_size
from .values import dtype_of


@rule("DFT")
def dft(c: Call) -> Tensor:
    """Along one axis of real (..., 1) or complex (..., 2) numbers; -> (..., 2).

    Of a real inverse (inverse=1, onesided=1) -> (..., 1).
    """
    x = c.x(0)
    axis = int(c.attr("axis", 1)) if c.opset < 20 else _one(c, 2, -2)
    inverse, half = bool(c.attr("inverse", 0)), bool(c.attr("onesided", 0))
    fits = x.ndim > 1 and x.shape[-1] in (1, 2) and -x.ndim <= axis < x.ndim
    if not fits or axis % x.ndim == x.ndim - 1:
        raise c.damaged(f"transforms {x.shape} along axis {axis}")
    axis %= x.ndim
    length = _one(c, 1, 2 * (x.shape[axis] - 1) if inverse and half else x.shape[axis])
    return _transformed(c, x, axis, length, inverse, half)


def _one(c: Call, i: int, default: int) -> int:
    return int(c.known(i).reshape(-1)[0]) if c.has(i) else default


def _transformed(c: Call, x: Tensor, axis: int, length: int, inverse: bool, half: bool) -> Tensor:
    if length < 1:
        raise c.damaged(f"transforms {length} elements")
    used = min(x.shape[axis], length // 2 + 1 if inverse and half else length)
    out = length // 2 + 1 if half and not inverse else length
    check_size(c, out, used)
    a, b = _waves(length, used, out, inverse, half)
    # In double precision: the numbers of a transform differ by many orders.
    dtype, x = x.dtype.name, T.cast(T.getitem(x, (*(slice(None),) * axis, slice(0, used))), "float64")
    parts = [T.moveaxis(T.getitem(x, (..., i)), axis, -1) for i in range(x.shape[-1])]
    first, second = T.matmul(parts[0], a), T.matmul(parts[0], b)
    if len(parts) == 2:
        first, second = first - T.matmul(parts[1], b), second + T.matmul(parts[1], a)
    outputs = [first] if inverse and half else [first, second]
    return T.cast(T.stack([T.moveaxis(p, -1, axis) for p in outputs], -1), dtype)


def _waves(length: int, used: int, out: int, inverse: bool, half: bool) -> tuple[np.ndarray, np.ndarray]:
    """(used, out) cosines and sines."""
    # Whole turns are taken off before the division, while the numbers are exact.
    angle = 2.0 * np.pi / length * (np.outer(np.arange(used), np.arange(out)) % length)
    real, imaginary = np.cos(angle), np.sin(angle) if inverse else -np.sin(angle)
    if not inverse:
        return real, imaginary
    weights = np.full((used, 1), 1.0 / length)
    if half:
        # The other half is the mirrored conjugate: every element but the ends counts twice.
        weights[1 : (length + 1) // 2] *= 2.0
    return real * weights, imaginary * weights


@rule("STFT")
def stft(c: Call) -> Tensor:
    """Transforms of windows of a signal (n, length), real (n, length, 1) or complex (n, length, 2).

    -> (n, frames, bins, 2).
    """
    x = c.x(0)
    x = T.expand_dims(x, -1) if x.ndim == 2 else x
    step, weights = _one(c, 1, 0), c.x(2) if c.has(2) else None
    size = _one(c, 3, x.shape[1] if weights is None else weights.shape[0])
    fits = x.ndim == 3 and step > 0 and 0 < size <= x.shape[1]
    if not fits or (weights is not None and weights.shape != (size,)):
        raise c.damaged(f"cuts {x.shape} into windows of {size}, {step} apart")
    check_size(c, x.shape[0], (x.shape[1] - size) // step + 1, size)
    frames = T.sliding_windows(x, 1, size, step)
    frames = frames if weights is None else frames * T.reshape(weights, (-1, 1))
    return _transformed(c, frames, 2, size, False, bool(c.attr("onesided", 1)) and x.shape[-1] == 1)


_COSINES = {
    "HannWindow": (0.5, 0.5, 0.0),
    "HammingWindow": (25.0 / 46.0, 21.0 / 46.0, 0.0),
    "BlackmanWindow": (0.42, 0.5, 0.08),
}


@rule("HannWindow", "HammingWindow", "BlackmanWindow")
def window(c: Call) -> np.ndarray:
    """Raised cosines of a known length, periodic or symmetric."""
    size = _one(c, 0, 0)
    check_size(c, size)
    turn = 2.0 * np.pi * np.arange(size) / max(size if c.attr("periodic", 1) else size - 1, 1)
    a, b, d = _COSINES[c.node.op]
    values: np.ndarray = a - b * np.cos(turn) + d * np.cos(2 * turn)
    return values.astype(dtype_of(int(c.attr("output_datatype", 1)), f"node {c.node.shown}"))


@rule("MelWeightMatrix")
def mel_weights(c: Call) -> np.ndarray:
    """(bins, bands) triangles that are equally wide on the mel scale, as ONNX rounds them to bins."""
    bands, size, rate, low, high = (c.known(i).reshape(-1)[0].item() for i in range(5))
    bands, bins = int(bands), int(size) // 2 + 1
    check_size(c, bins, bands + 2)
    if not (rate > 0 and 0 <= low < high < np.inf):
        raise c.damaged(f"has frequencies from {low} to {high} at a rate of {rate}")
    ends = 2595.0 * np.log10(1.0 + np.array([low, high], np.float64) / 700.0)
    mel = np.arange(bands + 2) * ((ends[1] - ends[0]) / (bands + 2)) + ends[0]
    places = ((int(size) + 1) * (700.0 * (10.0 ** (mel / 2595.0) - 1.0)) / rate).astype(np.int64)
    out, at = np.zeros((bins, bands)), np.arange(bins)
    for i, (before, middle, after) in enumerate(zip(places, places[1:], places[2:], strict=False)):
        rising, falling = (at >= before) & (at <= middle), (at >= middle) & (at < after)
        out[rising, i] = 1.0 if middle == before else (at[rising] - before) / (middle - before)
        out[falling, i] = (after - at[falling]) / max(after - middle, 1)
    return out.astype(dtype_of(int(c.attr("output_datatype", 1)), f"node {c.node.shown}"))
