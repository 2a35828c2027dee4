"""Geometric changes: one batched inverse warp with bilinear sampling, and the maps that feed it.

Contract as in armour/transforms.py. Angles are degrees, counter-clockwise as seen; shifts are fractions of
the side.
"""

from __future__ import annotations

from armour.tensor.backend import Array, get_xp


def warp(x: Array, rows: Array, columns: Array) -> Array:
    """Each output pixel (i, j) of item k is `x[k]` at (rows[k, i, j], columns[k, i, j]), bilinearly interpolated.

    x: (n, c, h, w); rows, columns: (n, h, w) float32 pixel positions. Positions outside take the nearest edge
    pixel.
    """
    xp = get_xp(x)
    n, c, h, w = x.shape
    rows = xp.clip(rows, 0, h - 1)
    columns = xp.clip(columns, 0, w - 1)
    top = xp.minimum(rows.astype(xp.int32), max(h - 2, 0))
    left = xp.minimum(columns.astype(xp.int32), max(w - 2, 0))
    down = (rows - top.astype(xp.float32)).reshape(n, 1, -1)
    right = (columns - left.astype(xp.float32)).reshape(n, 1, -1)
    corner = (top * w + left).reshape(n, 1, -1) + (xp.arange(n * c) * (h * w)).reshape(n, c, 1)
    flat = x.reshape(-1)
    step_down, step_right = (w if h > 1 else 0), (1 if w > 1 else 0)
    upper = flat.take(corner)
    upper += (flat.take(corner + step_right) - upper) * right
    corner += step_down
    lower = flat.take(corner)
    lower += (flat.take(corner + step_right) - lower) * right
    upper += (lower - upper) * down
    return upper.reshape(x.shape)


def affine(x: Array, matrix: Array, shift: Array) -> Array:
    """Inverse affine warp about the image centre.

    matrix: (n, 2, 2) float32, from an output offset (row, column) from the centre to an input offset, in
    pixels; shift: (n, 2) pixels, added to the input offset. The identity matrix with shift 0 is identity.
    """
    xp = get_xp(x)
    _, _, h, w = x.shape
    centre_row, centre_column = (h - 1) / 2, (w - 1) / 2
    i = (xp.arange(h, dtype=xp.float32) - centre_row)[None, :, None]
    j = (xp.arange(w, dtype=xp.float32) - centre_column)[None, None, :]
    m = matrix[:, :, :, None, None]
    rows = (m[:, 0, 0] * i + (shift[:, 0, None, None] + centre_row)) + m[:, 0, 1] * j
    columns = (m[:, 1, 0] * i + (shift[:, 1, None, None] + centre_column)) + m[:, 1, 1] * j
    return warp(x, rows, columns)


def rotate(x: Array, degrees: Array) -> Array:
    """Turn counter-clockwise about the centre; 0 is identity."""
    xp = get_xp(x)
    angle = degrees * xp.float32(xp.pi / 180)
    cosine, sine = xp.cos(angle), xp.sin(angle)
    matrix = xp.stack([xp.stack([cosine, sine], axis=1), xp.stack([-sine, cosine], axis=1)], axis=1)
    return affine(x, matrix, xp.zeros((len(x), 2), dtype=xp.float32))


def translate(x: Array, right: Array, down: Array) -> Array:
    """Shift by fractions of the width and height; the uncovered strip repeats the edge. 0 is identity."""
    xp = get_xp(x)
    n, _, h, w = x.shape
    matrix = xp.broadcast_to(xp.eye(2, dtype=xp.float32), (n, 2, 2))
    shift = xp.stack([down * xp.float32(-h), right * xp.float32(-w)], axis=1)
    return affine(x, matrix, shift)
