"""Sampling of images at positions that are themselves inputs: what spatial transformations are made of.

The rows read pixels at whole positions and add to them, and are each other's gradients; the weights between
pixels are Tensor operations, so that gradients for the positions come by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from armour.checks import one_of
from armour.errors import InvalidArgument
from armour.tensor.backend import Array, Namespace, add_rows
from armour.tensor.core import Tensor, lift
from armour.tensor.elementwise import abs as absolute
from armour.tensor.elementwise import floor
from armour.tensor.linalg import matmul
from armour.tensor.op import Case, Op, op
from armour.tensor.rectifiers import hardtanh
from armour.tensor.resample import constant
from armour.tensor.rounding import round as rounded
from armour.tensor.shape import getitem, reshape, stack, transpose


def _flat(xp: Namespace, rows: Array, columns: Array, size: Sequence[int]) -> Array:
    # Positions (n * oh * ow,) in the pixels of all images, one after another; those outside are one further.
    n, (h, w) = rows.shape[0], size
    inside = (rows >= 0) & (rows <= h - 1) & (columns >= 0) & (columns <= w - 1)
    if h * w >= 1 << 24:  # beyond the whole numbers of float32
        rows, columns = rows.astype("float64"), columns.astype("float64")
    # Brought inside first: NaN, which fmax takes for 0, must not be made an integer. No `where`, whose
    # branches cannot be predicted here.
    real = rows.dtype.type
    y, x = (xp.fmin(xp.fmax(a, real(0)), real(m - 1)) for a, m in ((rows, h), (columns, w)))
    pixels = (y * real(w) + x).astype("int64")
    pixels += xp.arange(n, dtype="int64").reshape((n, 1, 1)) * (h * w) - n * h * w
    pixels *= inside
    pixels += n * h * w
    return pixels.reshape((-1,))


def _read(xp: Namespace, x: Array, rows: Array, columns: Array) -> Array:
    if x.ndim != 4 or rows.ndim != 3 or rows.shape != columns.shape or rows.shape[0] != x.shape[0]:
        raise InvalidArgument(
            f"expected an image (n, c, h, w) and positions (n, oh, ow), got {x.shape}, {rows.shape}, "
            f"{columns.shape}"
        )
    n, c, h, w = x.shape
    # Pixels as rows of their channels, and a row of zeros for what is outside.
    pixels = xp.zeros((n * h * w + 1, c), x.dtype)
    pixels[:-1].reshape((n, h, w, c))[...] = x.transpose((0, 2, 3, 1))
    values = xp.take(pixels, _flat(xp, rows, columns, (h, w)), axis=0)
    # The weights of positions multiply these: with few channels last every pixel would be a run of its own.
    return xp.ascontiguousarray(values.reshape((*rows.shape, c)).transpose((0, 3, 1, 2)))


def _add(xp: Namespace, g: Array, rows: Array, columns: Array, size: tuple[int, int]) -> Array:
    n, c = g.shape[:2]
    pixels = n * size[0] * size[1]
    out = add_rows(xp, g.transpose((0, 2, 3, 1)), _flat(xp, rows, columns, size), pixels + 1, c)
    return out[:pixels].reshape((n, *size, c)).transpose((0, 3, 1, 2))


_R = np.array([[[0.0, 2.0, 1.0], [3.0, -1.0, 2.0]], [[0.0, 0.0, 1.0], [2.0, 2.0, 5.0]]])
_C = np.array([[[1.0, 3.0, 1.0], [0.0, 1.0, 3.0]], [[1.0, 1.0, -1.0], [3.0, 0.0, 2.0]]])

read_pixels: Op = op(
    "read_pixels",
    _read,
    (lambda g, y, x, rows, columns: add_pixels(g, rows, columns, size=x.shape[2:]), None, None),
    cases=(
        Case(((2, 3, 3, 4), _R, _C)),
        Case(((0, 3, 3, 4), np.zeros((0, 2, 2)), np.zeros((0, 2, 2)))),
    ),
)
add_pixels: Op = op(
    "add_pixels",
    _add,
    (lambda gg, y, g, rows, columns, size: read_pixels(gg, rows, columns), None, None),
    cases=(
        Case(((2, 3, 2, 3), _R, _C), {"size": (3, 4)}),
        Case(((0, 3, 2, 2), np.zeros((0, 2, 2)), np.zeros((0, 2, 2))), {"size": (3, 4)}),
    ),
)


def grid_sample(
    x: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = False
) -> Tensor:
    """The pixels of x (n, c, h, w) at the positions grid (n, oh, ow, 2); -> (n, c, oh, ow).

    grid: (horizontal, vertical), -1 and 1 at the corners (of the corner pixels' centres if align_corners).
    mode: "bilinear" or "nearest" (no gradient for grid). padding_mode: what is outside is 0 ("zeros"), the
    nearest border pixel ("border") or mirrored ("reflection"). Raises InvalidArgument if the shapes do not
    fit. Jaderberg et al., 2015, https://arxiv.org/abs/1506.02025.
    """
    t, places = lift([x, grid])
    one_of("mode", mode, ("bilinear", "nearest"))
    one_of("padding_mode", padding_mode, ("zeros", "border", "reflection"))
    if t.ndim != 4 or places.ndim != 4 or places.shape[3] != 2 or places.shape[0] != t.shape[0]:
        raise InvalidArgument(
            f"grid_sample expects x (n, c, h, w) and grid (n, oh, ow, 2), got {t.shape} and {places.shape}"
        )
    columns, rows = (
        _position(getitem(places, (..., i)), t.shape[3 - i], padding_mode, bool(align_corners))
        for i in (0, 1)
    )
    if mode == "nearest":
        return read_pixels(t, rounded(rows), rounded(columns))
    top, left = floor(rows), floor(columns)
    down, right = rows - top, columns - left
    up, near = 1.0 - down, 1.0 - right
    bottom, beside = top + 1.0, left + 1.0
    # All four corners in one reading.
    (n, oh, ow), c = top.shape, t.shape[1]
    lines = reshape(stack([top, top, bottom, bottom], 1), (n, 4 * oh, ow))
    places = reshape(stack([left, beside, left, beside], 1), (n, 4 * oh, ow))
    weights = stack([up * near, up * right, down * near, down * right], 1)
    corners = reshape(read_pixels(t, lines, places), (n, c, 4, oh, ow))
    return (corners * weights.expand_dims(1)).sum(axis=2)


def _position(at: Tensor, size: int, padding_mode: str, align_corners: bool) -> Tensor:
    """Positions in pixels, from -1 to 1 along an axis of `size` pixels."""
    if align_corners:
        place = (at + 1.0) * ((size - 1) / 2.0)
    else:
        place = (at + 1.0) * (size / 2.0) - 0.5
    if padding_mode == "reflection":
        low, span = (0.0, size - 1.0) if align_corners else (-0.5, float(size))
        if span <= 0:
            return place * 0.0
        away = absolute(place - low)
        # A triangle wave: forth over the image, and back.
        turns = floor(away * (1.0 / (2.0 * span))) * (2.0 * span)
        place = span - absolute(away - turns - span) + low
    return place if padding_mode == "zeros" else hardtanh(place, 0.0, size - 1.0)


def affine_grid(theta: Any, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """Positions for grid_sample from affine maps theta (n, 2, 3); -> (n, h, w, 2).

    size: (n, c, h, w) of the image wanted. Each of its pixels (x, y) is sampled at theta (x, y, 1).
    """
    (t,) = lift([theta])
    sizes = tuple(int(n) for n in size)
    if t.ndim != 3 or t.shape[1:] != (2, 3) or len(sizes) != 4 or sizes[0] != t.shape[0]:
        raise InvalidArgument(
            f"affine_grid expects theta ({sizes[0]}, 2, 3) and size (n, c, h, w), got {t.shape}"
        )
    h, w = sizes[2:]
    ys, xs = (_centres(n, align_corners) for n in (h, w))
    base = np.stack(
        [np.broadcast_to(xs, (h, w)), np.broadcast_to(ys[:, None], (h, w)), np.ones((h, w))], axis=2
    )
    places = matmul(constant(t, base.reshape(h * w, 3)), transpose(t, (0, 2, 1)))
    return reshape(places, (sizes[0], h, w, 2))


def _centres(n: int, align_corners: bool) -> np.ndarray:
    if n < 2:
        return np.zeros(n)
    centres: np.ndarray = np.linspace(-1.0, 1.0, n)
    return centres if align_corners else centres * ((n - 1) / n)
