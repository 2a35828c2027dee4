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
from armour.tensor.backend import Array, Namespace, scatter_add
from armour.tensor.core import Tensor, lift
from armour.tensor.elementwise import abs as absolute
from armour.tensor.elementwise import floor
from armour.tensor.linalg import matmul
from armour.tensor.op import Case, Op, op
from armour.tensor.rectifiers import hardtanh
from armour.tensor.resample import constant
from armour.tensor.rounding import round as rounded
from armour.tensor.shape import getitem, reshape, transpose


def _flat(xp: Namespace, rows: Array, columns: Array, size: Sequence[int]) -> tuple[Array, Array]:
    # (n, oh * ow) positions in the flattened image, and whether they are inside; those outside are at 0.
    h, w = size
    inside = (rows >= 0) & (rows <= h - 1) & (columns >= 0) & (columns <= w - 1)
    # NaN is outside; it must not be made an integer.
    y, x = (xp.where(inside, a, xp.zeros((), a.dtype)).astype("int64") for a in (rows, columns))
    shape = (rows.shape[0], rows.size // rows.shape[0] if rows.shape[0] else 0)
    return (y * w + x).reshape(shape), inside.reshape(shape)


def _read(xp: Namespace, x: Array, rows: Array, columns: Array) -> Array:
    if x.ndim != 4 or rows.ndim != 3 or rows.shape != columns.shape or rows.shape[0] != x.shape[0]:
        raise InvalidArgument(
            f"expected an image (n, c, h, w) and positions (n, oh, ow), got {x.shape}, {rows.shape}, "
            f"{columns.shape}"
        )
    n, c, h, w = x.shape
    flat, inside = _flat(xp, rows, columns, (h, w))
    values = xp.take_along_axis(x.reshape((n, c, h * w)), flat[:, None], axis=2)
    return (values * inside[:, None]).reshape((n, c, *rows.shape[1:]))


def _add(xp: Namespace, g: Array, rows: Array, columns: Array, size: tuple[int, int]) -> Array:
    n, c = g.shape[:2]
    flat, inside = _flat(xp, rows, columns, size)
    pixels = size[0] * size[1]
    base = xp.arange(n * c, dtype="int64").reshape((n, c, 1)) * pixels
    values = g.reshape((n, c, flat.shape[1])) * inside[:, None]
    out = xp.zeros(n * c * pixels, g.dtype)
    # Flat indices: NumPy adds along one axis several times faster than along many.
    scatter_add(xp, out, (base + flat[:, None]).reshape((-1,)), values.reshape((-1,)))
    return out.reshape((n, c, *size))


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
    total: Tensor | None = None
    for dy, weight_y in ((0.0, 1.0 - down), (1.0, down)):
        for dx, weight_x in ((0.0, 1.0 - right), (1.0, right)):
            corner = read_pixels(t, top + dy, left + dx) * (weight_y * weight_x).expand_dims(1)
            total = corner if total is None else total + corner
    assert total is not None
    return total


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
