"""Geometric changes: one batched inverse warp with bilinear sampling, and the maps that feed it.

Contract as in armour/transforms.py. What comes in from outside the image repeats its edge, so that neither a
black nor a white border is invented.
"""

from __future__ import annotations

from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array, Namespace, get_xp

from .fields import smooth_fields
from .transforms import settle


def warp(x: Array, rows: Array, columns: Array) -> Array:
    """Output pixel (i, j) of item k is `x[k]` at (rows[k, i, j], columns[k, i, j]), bilinearly interpolated.

    x: (n, c, h, w) float32; rows, columns: (n, h, w) float32 pixel positions. Positions outside take the
    nearest edge pixel; at whole positions the pixel comes back exactly.
    """
    xp = get_xp(x)
    n, c, h, w = x.shape
    rows, columns = xp.maximum(rows, 0), xp.maximum(columns, 0)
    xp.minimum(rows, h - 1, out=rows)
    xp.minimum(columns, w - 1, out=columns)
    top, left = rows.astype(xp.int32), columns.astype(xp.int32)
    rows -= top.astype(xp.float32)
    columns -= left.astype(xp.float32)
    top *= w
    top += left
    down, right = rows.reshape(n, 1, h * w), columns.reshape(n, 1, h * w)
    corner = top.reshape(n, 1, h * w) + (xp.arange(n * c) * (h * w)).reshape(n, c, 1)
    # In the last row and column the far neighbours lie in the next image or in the padding; their weight is
    # zero.
    flat = xp.zeros(x.size + w + 1, dtype=x.dtype)
    flat[: x.size] = x.reshape(-1)
    upper = flat.take(corner)
    corner += 1
    side = flat.take(corner)
    side -= upper
    side *= right
    upper += side
    corner += w
    side = flat.take(corner)
    corner -= 1
    lower = flat.take(corner)
    side -= lower
    side *= right
    lower += side
    lower -= upper
    lower *= down
    upper += lower
    return upper.reshape(x.shape)


def warp_slopes(x: Array, rows: Array, columns: Array, along: Array) -> tuple[Array, Array]:
    """How `(along * warp(x, rows, columns)).sum()` of each item changes with its positions.

    along: (n, c, h, w). Returns the derivatives by rows and by columns, each (n, h, w). Between pixels they
    are those of the bilinear surface; on one, towards the next pixel, or from the one before at the last; 0
    outside.
    """
    xp = get_xp(x)
    n, c, h, w = x.shape
    inside = (rows >= 0) & (rows <= h - 1), (columns >= 0) & (columns <= w - 1)
    top = xp.clip(xp.floor(rows), 0, max(h - 2, 0)).astype(xp.int32)
    left = xp.clip(xp.floor(columns), 0, max(w - 2, 0)).astype(xp.int32)
    down = xp.clip(rows - top.astype(xp.float32), 0, 1).reshape(n, 1, h * w)
    right = xp.clip(columns - left.astype(xp.float32), 0, 1).reshape(n, 1, h * w)
    below, beside = min(h - 1, 1) * w, min(w - 1, 1)
    corner = (top * w + left).reshape(n, 1, h * w) + (xp.arange(n * c) * (h * w)).reshape(n, c, 1)
    flat = x.reshape(-1)
    a, b = flat.take(corner), flat.take(corner + beside)
    d, e = flat.take(corner + below), flat.take(corner + below + beside)
    weight = along.reshape(n, c, h * w)
    by_row = (((d - a) * (1 - right) + (e - b) * right) * weight).sum(axis=1).reshape(n, h, w)
    by_column = (((b - a) * (1 - down) + (e - d) * down) * weight).sum(axis=1).reshape(n, h, w)
    return by_row * inside[0], by_column * inside[1]


def offsets(h: int, w: int, xp: Namespace) -> tuple[Array, Array]:
    """Pixel centres from the image centre: rows (1, h, 1) and columns (1, 1, w), float32 pixels."""
    i = xp.arange(h, dtype=xp.float32) - xp.float32((h - 1) / 2)
    j = xp.arange(w, dtype=xp.float32) - xp.float32((w - 1) / 2)
    return i[None, :, None], j[None, None, :]


def affine(x: Array, matrix: Array, shift: Array, bounds: Bounds) -> Array:
    """Inverse affine warp about the image centre.

    matrix: (n, 2, 2) from an output offset (row, column) from the centre to an input offset; shift: (n, 2)
    pixels (row, column), added to the input offset. The identity matrix with shift 0 is identity.
    """
    xp = get_xp(x)
    h, w = x.shape[2:]
    i, j = offsets(h, w, xp)
    m = matrix[:, :, :, None, None]
    rows = (m[:, 0, 0] * i + (shift[:, 0, None, None] + (h - 1) / 2)) + m[:, 0, 1] * j
    columns = (m[:, 1, 1] * j + (shift[:, 1, None, None] + (w - 1) / 2)) + m[:, 1, 0] * i
    unchanged = (matrix == xp.eye(2, dtype=matrix.dtype)).all(axis=(1, 2)) & (shift == 0).all(axis=1)
    return settle(x, warp(x, rows, columns), ~unchanged, bounds)


def similarity_matrix(degrees: Array, wide: Array, high: Array, slant: Array) -> Array:
    """(n, 2, 2): the inverse map of a shear, then a stretch by (`wide`, `high`), then a turn (all (n,))."""
    xp = get_xp(degrees)
    angle = degrees * xp.float32(xp.pi / 180)
    cosine, sine = xp.cos(angle), xp.sin(angle)
    # Turned back: row = cos i + sin j, column = cos j - sin i; then shrunk back, then sheared back.
    row_i, row_j = cosine / high, sine / high
    column_i, column_j = -sine / wide - slant * row_i, cosine / wide - slant * row_j
    return xp.stack([row_i, row_j, column_i, column_j], axis=1).reshape(-1, 2, 2)


def translate(x: Array, right: Array, down: Array, bounds: Bounds) -> Array:
    """Shift by pixels to the right and down (0 and 0 are identity)."""
    xp = get_xp(x)
    matrix = xp.broadcast_to(xp.eye(2, dtype=xp.float32), (len(x), 2, 2))
    return affine(x, matrix, xp.stack([-down, -right], axis=1), bounds)


def rotate(x: Array, degrees: Array, bounds: Bounds) -> Array:
    """Turn counter-clockwise about the centre (0 is identity)."""
    one = get_xp(degrees).ones_like(degrees)
    return _about_centre(x, similarity_matrix(degrees, one, one, 0 * one), bounds)


def scale(x: Array, wide: Array, high: Array, bounds: Bounds) -> Array:
    """Magnify about the centre by `wide` across and `high` down (1 and 1 are identity)."""
    return _about_centre(x, similarity_matrix(wide * 0, wide, high, wide * 0), bounds)


def shear(x: Array, right: Array, down: Array, bounds: Bounds) -> Array:
    """Slant: row i below the centre moves right by `right` i, column j down by `down` j (0 is identity)."""
    xp = get_xp(x)
    matrix = xp.stack([right * 0 + 1, -down, -right, right * 0 + 1], axis=1).reshape(-1, 2, 2)
    return _about_centre(x, matrix, bounds)


def affine_about(x: Array, matrix: Array, right: Array, down: Array, bounds: Bounds) -> Array:
    """The map of `similarity_matrix`, then a shift by pixels to the right and down."""
    xp = get_xp(x)
    row = -(matrix[:, 0, 0] * down + matrix[:, 0, 1] * right)
    column = -(matrix[:, 1, 0] * down + matrix[:, 1, 1] * right)
    return affine(x, matrix, xp.stack([row, column], axis=1), bounds)


def perspective(x: Array, tilt_right: Array, tilt_down: Array, bounds: Bounds) -> Array:
    """Tilt the image plane: the right recedes by `tilt_right`, the bottom by `tilt_down` (0 is identity).

    A tilt t moves the corners by about t times half a side.
    """
    xp = get_xp(x)
    h, w = x.shape[2:]
    i, j = offsets(h, w, xp)
    across = (tilt_right / xp.float32(w / 2))[:, None, None] * j
    depth = 1 / (1 - (across + (tilt_down / xp.float32(h / 2))[:, None, None] * i))
    changed = (tilt_right != 0) | (tilt_down != 0)
    return settle(x, warp(x, i * depth + (h - 1) / 2, j * depth + (w - 1) / 2), changed, bounds)


def wave(x: Array, amplitude: Array, cycles: Array, streams: Streams, bounds: Bounds) -> Array:
    """Bend rows sideways by a sine of `amplitude` pixels (0 is identity) with `cycles` periods in all.

    The phase is drawn for each item.
    """
    xp = get_xp(x)
    h, w = x.shape[2:]
    i, j = offsets(h, w, xp)
    phase = xp.asarray(streams.uniform((), 0, 2 * float(xp.pi)))[:, None, None]
    bend = amplitude[:, None, None] * xp.sin((cycles * xp.float32(2 * xp.pi / h))[:, None, None] * i + phase)
    rows = xp.broadcast_to(i + (h - 1) / 2, (len(x), h, w))
    return settle(x, warp(x, rows, j + (w - 1) / 2 + bend), amplitude != 0, bounds)


def elastic(x: Array, amplitude: Array, streams: Streams, bounds: Bounds) -> Array:
    """Move pixels by a smooth random field, at most `amplitude` pixels each way (0 is identity)."""
    xp = get_xp(x)
    h, w = x.shape[2:]
    i, j = offsets(h, w, xp)
    field = smooth_fields(streams, 2, 3, h, w, xp)
    field *= amplitude[:, None, None, None]
    field[:, 0] += i[0] + (h - 1) / 2
    field[:, 1] += j[0] + (w - 1) / 2
    return settle(x, warp(x, field[:, 0], field[:, 1]), amplitude != 0, bounds)


def _about_centre(x: Array, matrix: Array, bounds: Bounds) -> Array:
    xp = get_xp(x)
    return affine(x, matrix, xp.zeros((len(x), 2), dtype=xp.float32), bounds)
