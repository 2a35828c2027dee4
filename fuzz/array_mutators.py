"""Mutators of arrays of any shape: noise, level, single values, and pieces along the last axis.

Strengths are fractions of an item's own standard deviation, lengths of the last axis, shares of all values.
The pieces serve whole numbers too, since they only move values about.
"""

from __future__ import annotations

import math

from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array, get_xp
from armour.transforms import flat

from .likeness import deviation
from .mutators import Param, mutator

ARRAYS = ("array", "series")
BOTH = ("array", "series", "whole", "bytes", "tokens")
MOST = 0.02  # share of the values that a mutator of single ones changes, at most: what the V1 rule lets pass


@mutator("value-gaussian", "noise", Param("sigma", 0.0, 0.4), inputs=ARRAYS)
def _gaussian(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    noise = get_xp(x).asarray(streams.normal(x.shape[1:]))
    return settled(x, x + noise * along(p[0] * deviation(x, bounds), x), p[0] != 0, bounds)


@mutator("value-uniform", "noise", Param("amplitude", 0.0, 0.7), inputs=ARRAYS)
def _uniform(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    noise = get_xp(x).asarray(streams.uniform(x.shape[1:], -1, 1))
    return settled(x, x + noise * along(p[0] * deviation(x, bounds), x), p[0] != 0, bounds)


@mutator("value-sparse", "noise", Param("share", 0.0, MOST), inputs=ARRAYS)
def _sparse(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    xp = get_xp(x)
    noise = xp.asarray(streams.child(1).normal(x.shape[1:]))
    noisy = x + noise * along(2 * deviation(x, bounds), x)
    return settled(x, xp.where(some(x, p[0], streams), noisy, x), p[0] != 0, bounds)


@mutator("value-scale", "level", Param("factor", 0.6, 1.5, 1.0), inputs=("array",))
def _scale(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    mean = along(flat(x).mean(axis=1), x)
    return settled(x, mean + (x - mean) * along(p[0], x), p[0] != 1, bounds)


@mutator("value-shift", "level", Param("delta", -0.5, 0.5), inputs=ARRAYS)
def _shift_level(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return settled(x, x + along(p[0] * deviation(x, bounds), x), p[0] != 0, bounds)


@mutator("value-smooth", "smoothing", Param("amount", 0.0, 1.0), inputs=ARRAYS)
def _smooth(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    xp = get_xp(x)
    before = xp.concatenate([x[..., :1], x[..., :-1]], axis=-1)
    after = xp.concatenate([x[..., 1:], x[..., -1:]], axis=-1)
    mean = (before + x + after) * xp.float32(1 / 3)
    return settled(x, x + (mean - x) * along(p[0], x), p[0] != 0, bounds)


@mutator("value-extreme", "extreme", Param("share", 0.0, MOST), inputs=ARRAYS)
def _extreme(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    xp = get_xp(x)
    high = xp.asarray(streams.child(1).uniform(x.shape[1:])) < 0.5
    ends = xp.where(high, x.dtype.type(bounds.high), x.dtype.type(bounds.low))
    return settled(x, xp.where(some(x, p[0], streams), ends, x), p[0] != 0, bounds)


@mutator("value-mirror", "extreme", Param("share", 0.0, MOST), inputs=ARRAYS)
def _mirror(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    """Single values change sides about the middle of the bounds: their sign, where that is zero."""
    mirrored = x.dtype.type(bounds.low + bounds.high) - x
    return settled(x, get_xp(x).where(some(x, p[0], streams), mirrored, x), p[0] != 0, bounds)


@mutator("value-edit", "element", Param("amount", 0.0, 1.0), inputs=ARRAYS)
def _edit(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    """One value moves toward one drawn from the bounds."""
    xp = get_xp(x)
    size = math.prod(x.shape[1:])
    place = xp.asarray(streams.integers(size))
    drawn = xp.asarray(streams.uniform((), bounds.low, bounds.high))
    here = (xp.arange(size)[None] == place[:, None]).reshape(x.shape)
    return settled(x, xp.where(here, x + (along(drawn, x) - x) * along(p[0], x), x), p[0] != 0, bounds)


@mutator("block-copy", "block", Param("length", 0.0, 0.1), inputs=BOTH)
def _copy(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    """A block of the last axis is written over another of its length."""
    xp = get_xp(x)
    count, start = block(x, p[0], streams)
    source = xp.floor(xp.asarray(streams.uniform()) * (x.shape[-1] - count + 1)).astype(xp.int64)
    at = xp.arange(x.shape[-1])[None]
    inside = (at >= start[:, None]) & (at < (start + count)[:, None])
    return settled(x, gathered(x, xp.where(inside, at + (source - start)[:, None], at)), count > 0, bounds)


@mutator("shift", "shift", Param("amount", -0.1, 0.1), inputs=ARRAYS, geometric=True)
def _shift(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    """Everything moves along the last axis; what comes in at the end repeats it."""
    xp = get_xp(x)
    length = x.shape[-1]
    moved = (xp.sign(p[0]) * xp.ceil(xp.abs(p[0]) * length)).astype(xp.int64)
    index = xp.clip(xp.arange(length)[None] - moved[:, None], 0, length - 1)
    return settled(x, gathered(x, index), p[0] != 0, bounds)


@mutator("splice", "splice", Param("length", 0.0, 0.1), inputs=BOTH, paired=True)
def _splice(x: Array, p: Array, streams: Streams, bounds: Bounds, partners: Array) -> Array:
    """A block of the last axis comes from another seed of the class."""
    xp = get_xp(x)
    count, start = block(x, p[0], streams)
    at = xp.arange(x.shape[-1])[None]
    inside = (at >= start[:, None]) & (at < (start + count)[:, None])
    inside = inside.reshape((len(x), *(1,) * (x.ndim - 2), x.shape[-1]))
    return settled(x, xp.where(inside, partners, x), count > 0, bounds)


# -- what they are made of -----------------------------------------------------------------------------------


def along(values: Array, x: Array) -> Array:
    """(m,) in the shape that broadcasts over x (m, ...)."""
    return values.reshape((len(x), *(1,) * (x.ndim - 1)))


def settled(x: Array, out: Array, changed: Array, bounds: Bounds) -> Array:
    """`out` clipped into the bounds, with the items not `changed` (m,) bool as they are in x; a new array."""
    xp = get_xp(x)
    clipped = xp.minimum(xp.maximum(out, x.dtype.type(bounds.low)), x.dtype.type(bounds.high))
    return xp.where(along(changed, x), clipped, x).astype(x.dtype, copy=False)


def some(x: Array, share: Array, streams: Streams, most: float = MOST) -> Array:
    """Bool like x: about `share` (m,) of each item's values, at least one if it is above 0; advances streams.

    A larger share of the same streams chooses the same values and more.
    """
    xp = get_xp(x)
    size = math.prod(x.shape[1:])
    places = xp.asarray(streams.integers(size, (max(1, math.ceil(most * size)),)))
    chosen = xp.arange(places.shape[1])[None] < xp.ceil(share * size)[:, None]
    # The first place stands in for those that are not chosen; where none is, callers keep the item as it is.
    places = xp.where(chosen, places, places[:, :1])
    mask = xp.zeros((len(x), size), dtype=bool)
    mask[xp.arange(len(x))[:, None], places] = True
    return mask.reshape(x.shape)


def block(x: Array, length: Array, streams: Streams) -> tuple[Array, Array]:
    """(m,) int64 sizes and starts of a block of the fraction `length` of the last axis, at least 1 if any."""
    xp = get_xp(x)
    count = xp.minimum(xp.ceil(length * x.shape[-1]), x.shape[-1]).astype(xp.int64)
    start = xp.floor(xp.asarray(streams.uniform()) * (x.shape[-1] - count + 1)).astype(xp.int64)
    return count, xp.minimum(start, x.shape[-1] - count)


def gathered(x: Array, index: Array) -> Array:
    """x (m, ..., length) taken at index (m, length) along the last axis."""
    xp = get_xp(x)
    lines = x.reshape(len(x), math.prod(x.shape[1:-1]), x.shape[-1])
    return xp.take_along_axis(lines, xp.broadcast_to(index[:, None], lines.shape), axis=2).reshape(x.shape)
