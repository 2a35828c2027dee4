"""Mutators of whole numbers that are no quantities, such as bytes and tokens; they stay whole and in bounds.

Shares are of all values, lengths of the last axis. Inserting and deleting move what follows, so the reference
moves with it, and a recipe holds one of them at most.
"""

from __future__ import annotations

import math

from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array, get_xp

from .array_mutators import MOST, block, gathered, settled, some
from .mutators import Param, mutator

WHOLE = ("whole", "bytes", "tokens")
PLAIN = ("whole",)
ORDERED = ("whole", "tokens")


@mutator("element-replace", "element", Param("share", 0.0, MOST), inputs=WHOLE)
def _replace(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    drawn = _drawn(x, streams.child(1), bounds)
    return settled(x, get_xp(x).where(some(x, p[0], streams), drawn, x), p[0] != 0, bounds)


@mutator("element-step", "element", Param("share", 0.0, MOST), inputs=PLAIN)
def _step(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    """Single values go to the number beside them, up or down, back from the bounds."""
    xp = get_xp(x)
    up = xp.asarray(streams.child(1).uniform(x.shape[1:])) < 0.5
    lowest, highest = _ends(bounds)
    up = (up | (x - 1 < lowest)) & (x + 1 <= highest)
    return settled(
        x, xp.where(some(x, p[0], streams), x + xp.where(up, 1, -1).astype(x.dtype), x), p[0] != 0, bounds
    )


@mutator("element-swap", "order", Param("share", 0.0, MOST), inputs=ORDERED)
def _swap(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    """Neighbours change places."""
    xp = get_xp(x)
    size = math.prod(x.shape[1:])
    flat = x.reshape(len(x), size)
    at = xp.arange(size)[None]
    # Pairs start at all even places of an item or at all odd ones, so that no two of them overlap.
    odd = xp.asarray(streams.child(1).integers(2))[:, None]
    second = (at - odd) % 2 == 1
    partner = xp.where(second, at - 1, at + 1)
    partner = xp.where((partner < 0) | (partner >= size), at, partner)
    first = xp.minimum(at, partner)
    chosen = some(x, p[0], streams).reshape(len(x), size)
    chosen = xp.take_along_axis(chosen, first, axis=1) | xp.take_along_axis(
        chosen, partner + at - first, axis=1
    )
    out = xp.take_along_axis(flat, xp.where(chosen, partner, at), axis=1)
    return settled(x, out.reshape(x.shape), p[0] != 0, bounds)


@mutator("element-insert", "edit", Param("length", 0.0, MOST), inputs=WHOLE, geometric=True)
def _insert(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    """Drawn values come in; what follows moves back, and the last ones are lost."""
    xp = get_xp(x)
    count, start = block(x, p[0], streams)
    at = xp.arange(x.shape[-1])[None]
    after = at >= (start + count)[:, None]
    moved = gathered(x, xp.where(after, at - count[:, None], at))
    new = _along_last((at >= start[:, None]) & ~after, x)
    return settled(x, xp.where(new, _drawn(x, streams.child(1), bounds), moved), count > 0, bounds)


@mutator("element-delete", "edit", Param("length", 0.0, MOST), inputs=WHOLE, geometric=True)
def _delete(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    """A block is cut out; what follows moves up, and the last value is repeated."""
    xp = get_xp(x)
    count, start = block(x, p[0], streams)
    at = xp.arange(x.shape[-1])[None]
    index = xp.where(at >= start[:, None], at + count[:, None], at)
    return settled(x, gathered(x, xp.minimum(index, x.shape[-1] - 1)), count > 0, bounds)


def _along_last(mask: Array, x: Array) -> Array:
    """(m, length) in the shape that broadcasts over x (m, ..., length)."""
    return mask.reshape((len(x), *(1,) * (x.ndim - 2), x.shape[-1]))


def _ends(bounds: Bounds) -> tuple[int, int]:
    """The least and the greatest whole number inside the bounds."""
    return math.ceil(bounds.low), math.floor(bounds.high)


def _drawn(x: Array, streams: Streams, bounds: Bounds) -> Array:
    """Whole numbers like x, uniform in the bounds."""
    xp = get_xp(x)
    lowest, highest = _ends(bounds)
    unit = xp.asarray(streams.uniform(x.shape[1:]))
    return xp.minimum(lowest + xp.floor(unit * (highest - lowest + 1)), highest).astype(x.dtype)
