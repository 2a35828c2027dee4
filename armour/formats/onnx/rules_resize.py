"""Resize and Upsample: a matrix of weights along each axis that changes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import armour.tensor as T
from armour.errors import CheckpointError
from armour.tensor.core import Tensor

from .rules import Call, rule
from .rules_array import check_size

MAX_SIZE = 1 << 20  # elements of a matrix of weights


@rule("Upsample", "Resize")
def resize(c: Call) -> Tensor:
    """Nearest, linear or cubic, with all coordinate transformations of ONNX."""
    x = c.x(0)
    mode = c.attr("mode", "nearest")
    old = c.node.op == "Upsample" or c.opset < 11
    axes = list(range(x.ndim))
    roi: tuple[float, ...] = ()
    if old:
        scales = list(c.attr("scales") if c.opset < 9 and c.node.op == "Upsample" else c.known(1).reshape(-1))
        sizes = [math.floor(n * float(s) + 1e-9) for n, s in zip(x.shape, scales, strict=True)]
        transform, rounding = "asymmetric", "floor"
    else:
        if c.attr("axes", None) is not None:
            axes = [int(a) % x.ndim for a in c.attr("axes")]
        transform = c.attr("coordinate_transformation_mode", "half_pixel")
        rounding = c.attr("nearest_mode", "round_prefer_floor")
        if c.has(1) and c.known(1).size:
            roi = tuple(float(v) for v in c.known(1).reshape(-1))
        scales, sizes = _targets(c, [x.shape[a] for a in axes])
    for i, axis in enumerate(axes):
        length, out, scale = x.shape[axis], int(sizes[i]), float(scales[i])
        crop = transform == "tf_crop_and_resize"
        ends = (roi[i], roi[i + len(axes)]) if crop and len(roi) == 2 * len(axes) else (0.0, 1.0)
        if out == length and scale == 1 and (not crop or ends == (0.0, 1.0)):
            continue
        check_size(c, out)
        places = _places(transform, out, length, scale, ends)
        x = _along(c, x, axis, places, mode, rounding, scale, ends if crop else None)
    return x


def _targets(c: Call, lengths: list[int]) -> tuple[list[float], list[int]]:
    """Scales and output lengths from whichever of the two is given."""
    if c.has(3) and c.known(3).size:
        sizes = [int(v) for v in c.ints(3)]
        scales = [o / n if n else 1.0 for o, n in zip(sizes, lengths, strict=True)]
        policy = c.attr("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            one = (min if policy == "not_larger" else max)(scales)
            scales = [one] * len(scales)
            sizes = [math.floor(one * n + 0.5) for n in lengths]
        return scales, sizes
    if not c.has(2) or c.known(2).size != len(lengths):
        raise CheckpointError(
            f"node {c.node.shown} has neither sizes nor scales for its axes; get the file again"
        )
    scales = [float(v) for v in c.known(2).reshape(-1)]
    if not all(math.isfinite(s) and s > 0 for s in scales):
        raise CheckpointError(f"node {c.node.shown} has scales that are not above 0; get the file again")
    return scales, [math.floor(n * s) for n, s in zip(lengths, scales, strict=True)]


def _places(transform: str, out: int, length: int, scale: float, ends: tuple[float, float]) -> np.ndarray:
    """Where in the input each element of the output lies."""
    i = np.arange(out, dtype=np.float64)
    if transform == "asymmetric":
        return i / scale
    if transform == "align_corners":
        # By the length before it was rounded down, as ONNX has it.
        return i * (length - 1) / (scale * length - 1) if scale * length > 1 else np.zeros(out)
    if transform == "tf_crop_and_resize":
        start, end = ends
        if out > 1:
            return start * (length - 1) + i * (end - start) * (length - 1) / (out - 1)
        return np.full(out, 0.5 * (start + end) * (length - 1))
    if transform == "pytorch_half_pixel" and out <= 1:
        return np.zeros(out)
    if transform == "tf_half_pixel_for_nn":  # opset 11 only
        return (i + 0.5) / scale
    if transform == "half_pixel_symmetric":
        centre = length / 2 * (1 - out / (scale * length))
        return centre + (i + 0.5) / scale - 0.5
    return (i + 0.5) / scale - 0.5


def _along(
    c: Call,
    x: Tensor,
    axis: int,
    places: np.ndarray,
    mode: str,
    rounding: str,
    scale: float,
    crop: tuple[float, float] | None,
) -> Tensor:
    length = x.shape[axis]
    outside = (places < 0) | (places > length - 1) if crop is not None else None
    if mode == "nearest":
        index = np.clip(_rounded(places, rounding), 0, length - 1).astype(np.int64)
        out = T.gather(x, index, axis)
        if outside is not None and outside.any():
            shape = [1] * x.ndim
            shape[axis] = len(places)
            value = np.asarray(c.attr("extrapolation_value", 0.0), x.dtype)
            out = T.where(outside.reshape(shape), value, out)
        return out
    check_size(c, len(places), length)
    smooth = bool(c.attr("antialias", 0)) and scale < 1
    matrix = _matrix(c, places, length, mode, scale if smooth else 1.0)
    fill = 0.0
    if outside is not None:
        matrix[outside] = 0.0
        fill = float(c.attr("extrapolation_value", 0.0))
    kind = x.dtype
    wide = x if kind.kind == "f" else T.cast(x, "float64")
    moved = T.moveaxis(wide, axis, -1)
    out = T.moveaxis(T.matmul(moved, matrix.T.astype(wide.dtype)), -1, axis)
    if outside is not None and fill and outside.any():
        shape = [1] * x.ndim
        shape[axis] = len(places)
        out = out + (outside * fill).reshape(shape).astype(wide.dtype)
    return out if kind.kind == "f" else T.cast(T.round(out), kind.name)


def _rounded(places: np.ndarray, how: str) -> Any:
    if how == "round_prefer_floor":
        return np.ceil(places - 0.5)
    if how == "round_prefer_ceil":
        return np.floor(places + 0.5)
    return np.floor(places) if how == "floor" else np.ceil(places)


def _matrix(c: Call, places: np.ndarray, length: int, mode: str, scale: float) -> np.ndarray:
    """(out, length) weights; a scale below 1 widens the filter."""
    cubic = mode == "cubic"
    a = float(c.attr("cubic_coeff_a", -0.75))
    support = (2.0 if cubic else 1.0) / scale
    if support > 4 * length + 4:
        support = 4.0 * length + 4
    first = np.floor(places - support).astype(np.int64) + 1
    taps = first[:, None] + np.arange(math.ceil(2 * support))
    distance = (places[:, None] - taps) * scale
    weights = _keys(np.abs(distance), a) if cubic else np.maximum(0.0, 1.0 - np.abs(distance))
    outside = (taps < 0) | (taps >= length)
    if c.attr("exclude_outside", 0):
        weights = np.where(outside, 0.0, weights)
    total = weights.sum(axis=1, keepdims=True)
    if c.attr("exclude_outside", 0) or scale != 1.0 or not cubic:
        weights = weights / np.where(total == 0, 1.0, total)
    matrix = np.zeros((len(places), length))
    rows = np.broadcast_to(np.arange(len(places))[:, None], taps.shape)
    np.add.at(matrix, (rows, np.clip(taps, 0, length - 1)), weights)
    return matrix


def _keys(d: np.ndarray, a: float) -> np.ndarray:
    """The cubic convolution of Keys, 1981."""
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
