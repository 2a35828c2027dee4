"""Resizing of signals, images and volumes, and exchanging channels for pixels."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from armour.checks import count, one_of
from armour.errors import InvalidArgument
from armour.tensor.backend import get_xp
from armour.tensor.core import Tensor, lift, wrap
from armour.tensor.poolnd import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from armour.tensor.resample import along_axis
from armour.tensor.scatter import gather
from armour.tensor.shape import broadcast_to, reshape, transpose

MODES = ("nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area")
_AXES = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}
_AREA = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}
CUBIC = -0.75  # the slope of the cubic kernel at 1, as in PyTorch


def interpolate(
    x: Any,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Tensor:
    """x (n, c, ...) with one to three axes of positions, resized; PyTorch's numbers.

    size: of the output, or scale_factor: how many times larger, one number or one for each axis. mode:
    "nearest" (takes the pixel at floor(i / scale)), "nearest-exact", "linear", "bilinear" and "trilinear"
    for one, two and three axes, "bicubic" (Keys, 1981) for two, "area" (adaptive means). align_corners: the
    corner pixels' centres stay where they are, instead of the corners. Raises InvalidArgument if they do not
    fit x.
    """
    (t,) = lift([x])
    axes = t.ndim - 2
    one_of("mode", mode, MODES)
    if not 1 <= axes <= 3 or _AXES.get(mode, axes) != axes or min(t.shape[2:], default=0) < 1:
        raise InvalidArgument(f"interpolate cannot resize an input of shape {t.shape} with mode={mode!r}")
    if align_corners and mode not in _AXES:
        raise InvalidArgument(f"align_corners is for linear and cubic modes, got mode={mode!r}")
    out, scales = _sizes(t.shape[2:], size, scale_factor)
    if mode == "area":
        return _AREA[axes](t, out)
    for i, (o, scale) in enumerate(zip(out, scales, strict=True)):
        length = t.shape[2 + i]
        if mode.startswith("nearest"):
            t = _nearest(t, 2 + i, o, scale, 0.5 if mode == "nearest-exact" else 0.0)
        elif o != length or scale != 1.0:
            t = along_axis(t, 2 + i, _matrix(length, o, scale, mode == "bicubic", bool(align_corners)))
    return t


def _sizes(lengths: tuple[int, ...], size: Any, scale_factor: Any) -> tuple[list[int], list[float]]:
    """Output lengths, and input elements for each output element along each axis."""
    if (size is None) == (scale_factor is None):
        raise InvalidArgument("expected either size or scale_factor, got both or neither")
    given = size if scale_factor is None else scale_factor
    several = [given] * len(lengths) if isinstance(given, (int, float)) else list(given)
    if len(several) != len(lengths):
        raise InvalidArgument(f"expected one or {len(lengths)} numbers for shape {lengths}, got {given}")
    if scale_factor is None:
        out = [count("size", int(o) if int(o) == o else 0) for o in several]
        return out, [n / o for n, o in zip(lengths, out, strict=True)]
    if not all(math.isfinite(s) and s > 0 for s in several):
        raise InvalidArgument(f"expected a scale_factor above 0, got {scale_factor}")
    out = [math.floor(n * s) for n, s in zip(lengths, several, strict=True)]
    if min(out) < 1:
        raise InvalidArgument(f"scale_factor={scale_factor} leaves nothing of {lengths}")
    return out, [1.0 / s for s in several]


def _nearest(t: Tensor, axis: int, out: int, scale: float, offset: float) -> Tensor:
    length = t.shape[axis]
    # PyTorch computes the positions in float32.
    places = (np.arange(out, dtype=np.float32) + np.float32(offset)) * np.float32(scale)
    index = np.minimum(places.astype(np.int64), length - 1)
    if (index == np.arange(out)).all() and out == length:
        return t
    if out % length == 0 and (index == np.repeat(np.arange(length), out // length)).all():
        before, after = t.shape[:axis], t.shape[axis + 1 :]
        wide = broadcast_to(
            reshape(t, (*before, length, 1, *after)), (*before, length, out // length, *after)
        )
        return reshape(wide, (*before, out, *after))
    return gather(t, wrap(get_xp(t.data).asarray(index)), axis)


@functools.lru_cache(maxsize=16)
def _matrix(length: int, out: int, scale: float, cubic: bool, align_corners: bool) -> np.ndarray:
    """(out, length) weights of the input elements in each output element."""
    i = np.arange(out)
    if align_corners:
        source = i * ((length - 1) / (out - 1) if out > 1 else 0.0)
    else:
        source = (i + 0.5) * scale - 0.5
        source = source if cubic else np.maximum(source, 0.0)
    first = np.floor(source).astype(np.int64)
    part = source - first
    taps: list[tuple[int, np.ndarray]] = [(0, 1 - part), (1, part)]
    if cubic:
        taps = [(k, _cubic(np.abs(part - k))) for k in (-1, 0, 1, 2)]
    matrix = np.zeros((out, length))
    for k, weights in taps:
        np.add.at(matrix, (i, np.clip(first + k, 0, length - 1)), weights)
    matrix.flags.writeable = False
    return matrix


def _cubic(d: np.ndarray) -> np.ndarray:
    near = ((CUBIC + 2) * d - (CUBIC + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * CUBIC - 4 * CUBIC
    values: np.ndarray = np.where(d <= 1, near, far)
    return values


def pixel_shuffle(x: Any, upscale_factor: int) -> Tensor:
    """(n, c * r * r, h, w) -> (n, c, h * r, w * r), r = upscale_factor: channels become pixels.

    Shi et al., 2016, https://arxiv.org/abs/1609.05158.
    """
    (t,) = lift([x])
    r = count("upscale_factor", upscale_factor)
    if t.ndim != 4 or t.shape[1] % (r * r):
        raise InvalidArgument(f"pixel_shuffle expects channels divisible by {r * r}, got shape {t.shape}")
    n, c, h, w = t.shape
    split = reshape(t, (n, c // (r * r), r, r, h, w))
    return reshape(transpose(split, (0, 1, 4, 2, 5, 3)), (n, c // (r * r), h * r, w * r))


def pixel_unshuffle(x: Any, downscale_factor: int) -> Tensor:
    """(n, c, h * r, w * r) -> (n, c * r * r, h, w): pixel_shuffle undone."""
    (t,) = lift([x])
    r = count("downscale_factor", downscale_factor)
    if t.ndim != 4 or t.shape[2] % r or t.shape[3] % r:
        raise InvalidArgument(f"pixel_unshuffle expects sides divisible by {r}, got shape {t.shape}")
    n, c, h, w = t.shape
    split = reshape(t, (n, c, h // r, r, w // r, r))
    return reshape(transpose(split, (0, 1, 3, 5, 2, 4)), (n, c * r * r, h // r, w // r))
