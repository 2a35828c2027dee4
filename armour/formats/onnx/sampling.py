"""Values of an array between its elements: what GridSample, RoiAlign and DeformConv are made of."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

import armour.tensor as T
from armour.tensor.core import Tensor


def sampled(
    x: Tensor, places: list[Any], mode: str = "linear", padding: str = "zeros", align: bool = True
) -> Tensor:
    """x (n, c, *lengths) at places, one (n, p) for each axis, in elements; -> (n, c, p).

    mode: "nearest", "linear" or "cubic" (Keys, a = -0.75). padding: what lies outside is 0 ("zeros"), the
    nearest element ("border") or mirrored ("reflection", about the outermost elements if `align`, about
    their edges if not). Gradients flow to x and, but for the nearest, to places.
    """
    lengths = x.shape[2:]
    taps = [_taps(place, mode) for place in places]
    flat = T.reshape(x, (*x.shape[:2], -1))
    total: Any = None
    for combination in itertools.product(*taps):
        index: Any = None
        weight: Any = None
        for (at, w), length in zip(combination, lengths, strict=True):
            at, inside = _inside(at, length, padding, align)
            index = at if index is None else T.add(T.multiply(index, float(length)), at)
            w = w if inside is None else T.multiply(inside, 1.0 if w is None else w)
            weight = w if weight is None else (weight if w is None else T.multiply(weight, w))
        columns = T.expand_dims(T.cast(index, "int64"), 1)
        shape = (x.shape[0], x.shape[1], columns.shape[-1])
        values = T.take_along_axis(flat, T.broadcast_to(columns, shape), 2)
        if weight is not None:
            values = T.multiply(values, T.expand_dims(T.cast(weight, x.dtype.name), 1))
        total = values if total is None else T.add(total, values)
    return total  # type: ignore[no-any-return]


def _taps(place: Any, mode: str) -> list[tuple[Any, Any]]:
    """(whole positions, weights) along one axis."""
    if mode == "nearest":
        return [(T.round(place), None)]
    low = T.floor(place)
    part = T.subtract(place, low)
    if mode == "linear":
        return [(low, T.subtract(1.0, part)), (T.add(low, 1.0), part)]
    return [(T.add(low, float(k)), _keys(T.abs(T.subtract(part, float(k))), k)) for k in (-1, 0, 1, 2)]


def _keys(d: Tensor, k: int) -> Tensor:
    a = -0.75
    if k in (0, 1):
        return ((a + 2) * d - (a + 3)) * d * d + 1.0
    return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a


def _inside(at: Tensor, length: int, padding: str, align: bool) -> tuple[Tensor, Tensor | None]:
    """Positions of elements that exist, and for "zeros" a factor of 0 for those that did not."""
    inside = None
    if padding == "zeros":
        found = T.logical_and(T.greater_equal(at, 0.0), T.less_equal(at, length - 1.0))
        inside = T.cast(found, at.dtype.name)
    elif padding == "reflection":
        at = reflected(at, length, align)
    return T.stop_gradient(T.clip(at, 0.0, length - 1.0)), inside


def reflected(at: Tensor, length: int, align: bool) -> Tensor:
    """Positions mirrored at both ends until they lie inside: a triangle wave."""
    low, span = (0.0, length - 1.0) if align else (-0.5, float(length))
    if span <= 0:
        return T.multiply(at, 0.0)
    away = T.abs(T.subtract(at, low))
    turns = T.multiply(T.floor(T.multiply(away, 1.0 / (2.0 * span))), 2.0 * span)
    return T.add(T.subtract(span, T.abs(T.subtract(T.subtract(away, turns), span))), low)


def in_elements(at: Any, length: int, align: bool) -> Any:
    """Places from -1 to 1 along an axis, in elements: the ends are the outermost elements, or their edges."""
    if align:
        return T.multiply(T.add(at, 1.0), (length - 1) / 2.0)
    return T.subtract(T.multiply(T.add(at, 1.0), length / 2.0), 0.5)


def centres(length: int, align: bool) -> np.ndarray:
    """Places of the elements of an axis, from -1 to 1."""
    if align:
        return np.linspace(-1.0, 1.0, length) if length > 1 else np.zeros(length)
    found: np.ndarray = (2.0 * np.arange(length) + 1.0) / length - 1.0
    return found
