"""The shortest way across a hyperplane inside a box, in linf, l2 and l1.

Functions of arrays of one dtype, float32 or float64: `gradient` is (n, d), the hyperplane's normal; `low` and
`high` are (n, d) with low <= 0 <= high, the room each coordinate has; `gain` is (n,), the inner product with
the gradient that is asked for. They return the shortest point z (n, d) of the box with gradient . z >= gain,
which is 0 for a gain of at most 0. Where the box has no such point, its corner furthest along the gradient.
Coordinates in which the gradient is 0 stay 0.

Croce and Hein, 2020, https://arxiv.org/abs/1907.02044, find the piece of the solution by sorting. Here it is
found in fewer passes over the data: see `_level` and `shortest_l1`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armour.projections import Array
from armour.tensor.families import families

# Coordinates that an l1 way is looked for among at first: nearly always enough.
_FEW = 64


def shortest_linf(gradient: Array, low: Array, high: Array, gain: Array) -> Array:
    """As far as the room goes, but nowhere further than t."""
    way = _compiled(gradient, low, high, gain, squared=False)
    if way is not None:
        return way
    size, gain = _scaled(gradient, gain)
    sign = np.sign(gradient)
    room = _room(sign, low, high)
    level = _level(size, size * room, gain)
    np.minimum(room, level[:, None], out=room)
    room *= sign
    return room


def shortest_l2(gradient: Array, low: Array, high: Array, gain: Array) -> Array:
    """t times the gradient, cut off where the room ends."""
    way = _compiled(gradient, low, high, gain, squared=True)
    if way is not None:
        return way
    size, gain = _scaled(gradient, gain)
    sign = np.sign(gradient)
    room = _room(sign, low, high)
    level = _level(size * size, size * room, gain)
    size *= level[:, None]
    np.minimum(room, size, out=room)
    room *= sign
    return room


def shortest_l1(gradient: Array, low: Array, high: Array, gain: Array) -> Array:
    """The coordinates with the steepest gradient as far as the room goes, until the gain is reached."""
    size, gain = _scaled(gradient, gain)
    room = _room(np.sign(gradient), low, high)
    size *= room > 0
    way, rows = np.zeros_like(room), np.arange(len(room))
    for most in (_FEW, room.shape[1]):
        order = _largest(size[rows], most)
        steep, left = (np.take_along_axis(values[rows], order, 1) for values in (size, room))
        gains = np.multiply(steep, left, dtype=np.float64)
        before = np.cumsum(gains, axis=1) - gains
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            moves = np.where(steep > 0, (gain[rows, None] - before) / steep, 0)
        way[rows[:, None], order] = np.clip(moves, 0, left)
        rows = rows[gains.sum(axis=1) < gain[rows]]
        if most >= room.shape[1] or not rows.size:
            break
    return np.copysign(way, gradient)


def _compiled(gradient: Array, low: Array, high: Array, gain: Array, squared: bool) -> Array | None:
    """The same by Numba, row by row, where its kernels are in use and take the arrays; else None."""
    given = (gradient, low, high)
    if any(a.dtype != np.float32 or not a.flags.c_contiguous or not a.flags.writeable for a in given):
        return None
    if "numba" not in families():
        return None
    from armour.tensor.kernels.numba_planes import shortest

    way, scratch = np.empty_like(gradient), np.empty((2, gradient.shape[1]), np.float32)
    shortest(gradient, gradient.view(np.int32), low, high, gain.astype(np.float64), squared, scratch, way)
    return way


def _scaled(gradient: Array, gain: Array) -> tuple[Array, Array]:
    """Sizes (n, d) of the gradients with a largest entry of 1, and the gains in that scale.

    Squares and products of small float32 gradients would vanish.
    """
    size = np.abs(gradient)
    peak = size.max(axis=1, initial=0)
    peak[peak == 0] = 1
    size /= peak[:, None]
    with np.errstate(over="ignore"):
        return size, (gain / peak).astype(gradient.dtype)


def _room(sign: Array, low: Array, high: Array) -> Array:
    """(n, d) how far each coordinate may go the way its sign points; 0 where that is 0."""
    # numpy.where takes ten times as long: it branches.
    room = high * sign
    return np.maximum(room, low * sign, out=room)


def _largest(values: Array, most: int) -> NDArray[np.intp]:
    """(n, min(most, d)) places of the largest values of each row, in descending order."""
    if most >= values.shape[1]:
        return np.argsort(-values, axis=1)
    places: NDArray[np.intp] = np.argpartition(-values, most - 1, axis=1)[:, :most]
    order = np.argsort(-np.take_along_axis(values, places, 1), axis=1)
    return np.take_along_axis(places, order, 1)


def _level(weight: Array, most: Array, target: Array) -> Array:
    """The t (n,) at which sum(min(t * weight, most)) over (n, d) is `target`; very large where it is less.

    The sum is concave and piecewise linear in t: Newton's method from the left goes up, never too far, and is
    exact on the piece where it stops. Each pass leaves at least one coordinate more at its end, and about
    five are enough for the gradients of networks.
    """
    dtype = weight.dtype
    eps, limit = 4 * np.finfo(dtype).eps, np.sqrt(np.finfo(dtype).max)
    t = np.where(target > 0, limit, 0).astype(dtype)
    rows = np.flatnonzero((most.sum(axis=1) > target) & (target > 0))
    if len(rows) < len(weight):
        weight, most, target = weight[rows], most[rows], target[rows]
    rest, moved, free = target, np.empty_like(weight), np.empty_like(weight)
    # Booleans as numbers: einsum would convert them, slowly.
    np.greater(most, 0, out=free)
    with np.errstate(divide="ignore", over="ignore"):
        now = np.minimum(rest / np.einsum("nd,nd->n", weight, free), limit)
    for _ in range(weight.shape[1]):
        np.multiply(weight, now[:, None], out=moved)
        np.less(moved, most, out=free)
        slope = np.einsum("nd,nd->n", weight, free)
        np.minimum(moved, most, out=moved)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ahead = np.minimum(now + (rest - moved.sum(axis=1)) / slope, limit)
        going = (slope > 0) & (ahead > now * (1 + eps))
        t[rows] = now = np.where(going, ahead, now)
        left = int(going.sum())
        if not left:
            break
        if 2 * left < len(rows):
            # A row that has come to its end would stay there: leaving it out only saves time.
            rows, now, weight, most, rest = rows[going], now[going], weight[going], most[going], rest[going]
            moved, free = moved[:left], free[:left]
    t[rows] = now
    return t
