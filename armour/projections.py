"""Euclidean projections onto an Lp ball cut with a box, and the point of that set furthest along a direction.

Functions of arrays of one dtype, float32 or float64: `delta` and `gradient` are (n, d), one perturbation per
row; `low` and `high` are (n, d) with low <= 0 <= high, the room each coordinate has; `epsilon` is (n,) radii
at or above 0. Projecting onto the ball and onto the box in turn does not give the nearest common point, and
an attack that does so leaves part of its budget unused (Croce and Hein, 2021,
https://arxiv.org/abs/2103.01208). The box alone is `numpy.clip`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating[Any]]
# (guess (m,), rows (m,) or all) -> value and slope (m,) of an increasing function, one for each row.
Evaluate: TypeAlias = Callable[[Array, Any], tuple[Array, Array]]


def project_l2(delta: Array, low: Array, high: Array, epsilon: Array) -> Array:
    """The nearest points with |z|_2 <= epsilon inside the box: clip(t * delta), with t in [0, 1]."""
    peak = np.abs(delta).max(axis=1, initial=0)
    reach, short = _stretch(delta, low, high, epsilon, end=_square(peak))
    reach[short] = delta[short]
    return _clip(reach, low, high)


def furthest_l2(gradient: Array, low: Array, high: Array, epsilon: Array) -> Array:
    """The points with the largest inner product with `gradient`: clip(t * gradient), whose norm is epsilon.

    Where even the corner of the box is inside the ball, the corner. Coordinates without gradient stay 0.
    """
    end = np.full(len(gradient), np.finfo(gradient.dtype).max, gradient.dtype)
    return _clip(_stretch(gradient, low, high, epsilon, end)[0], low, high)


def project_l1(delta: Array, low: Array, high: Array, epsilon: Array) -> Array:
    """The nearest points with |z|_1 <= epsilon inside the box: |z_i| = clip(|delta_i| - shift, 0, room_i).

    The norm is decreasing and piecewise linear in the shift. Croce and Hein sort its 2 d corners to find the
    piece on which it is epsilon; bracketed Newton steps find the same piece in fewer passes over the data.
    """
    size, room = np.abs(delta), _room(delta, low, high)

    def norm(negative_shift: Array, rows: Any) -> tuple[Array, Array]:
        rest, limit = size[rows] + negative_shift[:, None], room[rows]
        moving = (rest > 0) & (rest < limit)
        np.maximum(rest, 0, out=rest)
        np.minimum(rest, limit, out=rest)
        return rest.sum(axis=1), moving.view(np.int8).sum(axis=1, dtype=np.int32).astype(rest.dtype)

    zeros = np.zeros(len(delta), delta.dtype)
    shift = _root(norm, epsilon.astype(delta.dtype), -size.max(axis=1, initial=0), zeros)
    size += shift[:, None]
    np.maximum(size, 0, out=size)
    np.minimum(size, room, out=size)
    return np.copysign(size, delta)


def furthest_l1(gradient: Array, low: Array, high: Array, epsilon: Array) -> Array:
    """The points with the largest inner product with `gradient`.

    The steepest coordinates go to their bounds until epsilon is spent, the last as far as the rest allows.
    """
    room = _room(gradient, low, high)
    order = np.argsort(-np.abs(gradient), axis=1, kind="stable")
    sorted_room = np.take_along_axis(room, order, axis=1).astype(np.float64)
    spent = np.cumsum(sorted_room, axis=1) - sorted_room
    moves = np.empty_like(room)
    np.put_along_axis(
        moves, order, np.clip(epsilon[:, None] - spent, 0, sorted_room).astype(room.dtype), axis=1
    )
    return np.copysign(moves, gradient)


def project_l0(delta: Array, low: Array, high: Array, epsilon: Array) -> Array:
    """The nearest points inside the box with at most floor(epsilon) coordinates that are not 0."""
    inside = _clip(delta.copy(), low, high)
    gain = delta**2 - (delta - inside) ** 2
    order = np.argsort(-gain, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(delta.shape[1]), order.shape), axis=1)
    return np.where(rank < np.floor(epsilon)[:, None], inside, 0)


def _clip(delta: Array, low: Array, high: Array) -> Array:
    """numpy.clip in place, twice as fast."""
    np.maximum(delta, low, out=delta)
    return np.minimum(delta, high, out=delta)


def _room(direction: Array, low: Array, high: Array) -> Array:
    """(n, d) how far each coordinate may go the way `direction` points; 0 where that is nowhere."""
    up = (direction > 0) * high
    up -= (direction < 0) * low
    return up


def _square(values: Array) -> Array:
    """Squares, with the largest number of the dtype where they would overflow."""
    limit = np.finfo(values.dtype).max
    return np.minimum(values.astype(np.float64) ** 2, limit).astype(values.dtype)


def _stretch(
    direction: Array, low: Array, high: Array, epsilon: Array, end: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """`direction` stretched so that its l2 norm inside the box is epsilon, and (n,) where it cannot be.

    The direction is scaled to a largest entry of 1 (squares of small float32 gradients would vanish), then by
    the square root of s in [0, end]. The squared norm, sum(min(room^2, s * unit^2)), is concave and piecewise
    linear in s, so Newton's method from the left never overshoots.
    """
    peak = np.abs(direction).max(axis=1, initial=0)
    unit = direction / np.where(peak > 0, peak, 1)[:, None]
    limits = _room(direction, low, high)
    squares = unit * (limits > 0)  # a coordinate without room plays no part
    squares *= squares
    limits *= limits

    def norm(s: Array, rows: Any) -> tuple[Array, Array]:
        part, limit = squares[rows], limits[rows]
        grown = s[:, None] * part
        free = grown < limit
        np.minimum(grown, limit, out=grown)
        return grown.sum(axis=1), np.multiply(part, free).sum(axis=1)

    target = _square(epsilon).astype(direction.dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        start = target / squares.sum(axis=1)
    s = _root(norm, target, np.zeros_like(end), end, start)
    unit *= np.sqrt(s)[:, None]
    return unit, s >= end


def _root(evaluate: Evaluate, target: Array, low: Array, high: Array, start: Array | None = None) -> Array:
    """(n,) where an increasing piecewise linear function is `target` in [low, high]; `high` if less there.

    Newton steps from `start` (or from high), bisection where such a step leaves the bracket: exact on the
    piece where it ends.
    """
    x, low, high = high.copy(), low.copy(), high.copy()
    value, slope = evaluate(x, slice(None))
    rows = np.flatnonzero(value > target)
    tiny = 4 * np.finfo(x.dtype).eps
    value, slope = value[rows], slope[rows]
    if start is not None and rows.size:
        x[rows] = np.clip(start[rows], low[rows], high[rows])
        value, slope = evaluate(x[rows], rows)
    while rows.size:
        now, rest = x[rows], target[rows] - value
        low[rows] = np.where(rest >= 0, now, low[rows])
        high[rows] = np.where(rest <= 0, now, high[rows])
        with np.errstate(divide="ignore", invalid="ignore"):
            guess = now + rest / slope
        bottom, top = low[rows], high[rows]
        inside = (guess > bottom) & (guess < top)
        guess = np.where(inside, guess, bottom / 2 + top / 2)
        going = (np.abs(rest) > tiny * target[rows]) & (guess != now) & (guess > bottom) & (guess < top)
        rows, guess = rows[going], guess[going]
        x[rows] = guess
        if rows.size:
            value, slope = evaluate(guess, rows)
    return x
