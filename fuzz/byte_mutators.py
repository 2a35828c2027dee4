"""Mutators of byte strings: the changes that AFL's havoc stage stacks, within the fixed length of an input.

Values of 256 and above (padding) are left as they are, and so is what a mask leaves out. The interesting
numbers are those of AFL (https://github.com/google/AFL, config.h). Random bytes, inserted and deleted blocks,
blocks copied over others and pieces of other seeds are in fuzz/whole_mutators.py and fuzz/array_mutators.py.
"""

from __future__ import annotations

import math

import numpy as np

from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array, Namespace, get_xp

from .array_mutators import MOST, block, gathered, settled, some
from .mutators import Param, mutator
from .words import Words

BYTES = ("bytes",)
_PLACES = 8  # numbers or words written by one step, at most
_WIDTHS = (1, 2, 4)
_INTERESTING = (
    (-128, -1, 0, 1, 16, 32, 64, 100, 127),
    (-32768, -129, 128, 255, 256, 512, 1000, 1024, 4096, 32767),
    (-2147483648, -100663046, -32769, 32768, 65535, 65536, 100663045, 2147483647),
)


@mutator("bit-flip", "bits", Param("share", 0.0, MOST), inputs=BYTES)
def _flip(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    """One bit of some bytes."""
    xp = get_xp(x)
    bit = xp.floor(xp.asarray(streams.child(1).uniform(x.shape[1:])) * 8).astype(xp.int64)
    values = x.astype(xp.int64)
    flipped = (values ^ xp.left_shift(1, bit)).astype(x.dtype)
    chosen = some(x, p[0], streams) & (values < 256) & (values >= 0)
    return settled(x, xp.where(chosen, _inside(flipped, x, bounds), x), p[0] != 0, bounds)


@mutator("arithmetic", "arithmetic", Param("delta", -35.0, 35.0), inputs=BYTES)
def _arithmetic(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    """A number of one, two or four bytes, little or big end first, becomes larger or smaller."""
    xp = get_xp(x)
    flat, size = _flat(x)
    unit = xp.asarray(streams.uniform((3,)))
    for_width = _width(unit[:, 0], size)
    place = xp.floor(unit[:, 1] * (size - for_width + 1)).astype(xp.int64)
    little = unit[:, 2] < 0.5
    delta = (xp.sign(p[0]) * xp.ceil(xp.abs(p[0]))).astype(xp.int64)
    at, used, significance = _window(place, for_width, little, size, xp)
    old = xp.take_along_axis(flat, at, axis=1).astype(xp.int64)
    plain = (~used | ((old >= 0) & (old < 256))).all(axis=1)
    number = xp.left_shift(xp.where(used, old, 0), significance).sum(axis=1)
    # Carried around at the end of the number, as a register does.
    number = (number + delta) & (xp.left_shift(1, 8 * for_width) - 1)
    new = (xp.right_shift(number[:, None], significance) & 255).astype(x.dtype)
    out = _written(x, at, new, used, bounds)
    return settled(x, out, (p[0] != 0) & plain, bounds)


@mutator("interesting", "arithmetic", Param("share", 0.0, MOST), inputs=BYTES)
def _interesting(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    """Numbers at which programs go wrong, of one, two or four bytes, little or big end first."""
    xp = get_xp(x)
    _, size = _flat(x)
    table = np.zeros((3, 10), np.int64)
    counts = np.array([len(row) for row in _INTERESTING])
    for row, values in zip(table, _INTERESTING, strict=True):
        row[: len(values)] = values
    many, wide = xp.asarray(table), xp.asarray(counts)
    out = x
    places = _places(size)
    draws = xp.asarray(streams.uniform((places, 4)))
    for k in range(places):
        unit = draws[:, k]
        width = _width(unit[:, 0], size)
        which = (width > 1).astype(xp.int64) + (width > 2)
        choice = xp.floor(unit[:, 1] * wide[which]).astype(xp.int64)
        number = many[which, choice]
        place = xp.floor(unit[:, 2] * (size - width + 1)).astype(xp.int64)
        at, used, significance = _window(place, width, unit[:, 3] < 0.5, size, xp)
        new = (xp.right_shift(number[:, None], significance) & 255).astype(x.dtype)
        # The first for any share at all, the others as it grows.
        due = k < xp.ceil(p[0] * (places / MOST) - 1e-4)
        out = _written(out, at, new, used & due[:, None], bounds)
    return settled(x, out, p[0] != 0, bounds)


@mutator("block-duplicate", "edit", Param("length", 0.0, MOST), inputs=BYTES, geometric=True)
def _duplicate(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    """A block comes twice; what follows moves back, and the last values are lost."""
    xp = get_xp(x)
    count, start = block(x, p[0], streams)
    at = xp.arange(x.shape[-1])[None]
    after = at >= (start + count)[:, None]
    return settled(x, gathered(x, xp.where(after, at - count[:, None], at)), count > 0, bounds)


@mutator("block-fill", "block", Param("length", 0.0, 0.1), inputs=BYTES)
def _fill(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    """A block becomes one byte over and over: one drawn, or one of the input's own."""
    xp = get_xp(x)
    flat, size = _flat(x)
    count, start = block(x, p[0], streams)
    unit = xp.asarray(streams.child(1).uniform((3,)))
    own = xp.take_along_axis(flat, xp.floor(unit[:, :1] * size).astype(xp.int64), axis=1)[:, 0]
    value = xp.where(unit[:, 1] < 0.5, own, xp.floor(unit[:, 2] * 256).astype(x.dtype))
    at = xp.arange(x.shape[-1])[None]
    inside = ((at >= start[:, None]) & (at < (start + count)[:, None])).reshape(
        (len(x), *(1,) * (x.ndim - 2), x.shape[-1])
    )
    filled = xp.broadcast_to(value.reshape((len(x), *(1,) * (x.ndim - 1))), x.shape)
    return settled(x, xp.where(inside, _inside(filled, x, bounds), x), count > 0, bounds)


@mutator("dictionary", "dictionary", Param("share", 0.0, MOST), inputs=BYTES, needs="words")
def _dictionary(x: Array, p: Array, streams: Streams, bounds: Bounds, words: Words) -> Array:
    """Words of a dictionary are written over what is there."""
    xp = get_xp(x)
    _, size = _flat(x)
    table, lengths = xp.asarray(words.table), xp.asarray(words.lengths)
    out = x
    places = _places(size)
    draws = xp.asarray(streams.uniform((places, 2)))
    longest = min(table.shape[1], size)
    step = xp.arange(longest)[None]
    for k in range(places):
        which = xp.minimum(xp.floor(draws[:, k, 0] * len(table)).astype(xp.int64), len(table) - 1)
        length = xp.minimum(lengths[which], longest)
        place = xp.floor(draws[:, k, 1] * (size - length + 1)).astype(xp.int64)
        used = step < length[:, None]
        at = xp.minimum(place[:, None] + step, size - 1)
        due = k < xp.ceil(p[0] * (places / MOST) - 1e-4)
        new = table[which][:, :longest].astype(x.dtype)
        out = _written(out, at, new, used & due[:, None], bounds)
    return settled(x, out, p[0] != 0, bounds)


# -- what they are made of -----------------------------------------------------------------------------------


def _flat(x: Array) -> tuple[Array, int]:
    size = math.prod(x.shape[1:])
    return x.reshape(len(x), size), size


def _places(size: int) -> int:
    """How many numbers or words a step writes at most, in inputs of `size` values."""
    return max(1, min(_PLACES, int(MOST * size / 2)))


def _width(unit: Array, size: int) -> Array:
    """(m,) int64: 1, 2 or 4 bytes, not more than an input has."""
    xp = get_xp(unit)
    fitting = sum(width <= size for width in _WIDTHS)
    return xp.left_shift(1, xp.minimum(xp.floor(unit * fitting), fitting - 1).astype(xp.int64))


def _window(
    place: Array, width: Array, little: Array, size: int, xp: Namespace
) -> tuple[Array, Array, Array]:
    """Positions (m, 4) of a number's bytes, which of them are used, and how many bits each stands for."""
    step = xp.arange(4)[None]
    used = step < width[:, None]
    at = xp.minimum(place[:, None] + step, size - 1)
    order = xp.where(little[:, None], step, width[:, None] - 1 - step)
    return at, used, 8 * xp.maximum(order, 0)


def _written(x: Array, at: Array, new: Array, used: Array, bounds: Bounds) -> Array:
    """A copy of x with `new` (m, k) at flat positions `at`, where `used` and a byte was before."""
    xp = get_xp(x)
    flat, _ = _flat(x)
    old = xp.take_along_axis(flat, at, axis=1)
    value = xp.where(used & (old >= 0) & (old < 256), _inside(new, old, bounds), old)
    out = flat.copy()
    rows = xp.arange(len(x))
    for k in range(at.shape[1]):
        # One after the other: places past a number's end are repeats of the last one.
        out[rows, at[:, k]] = xp.where(used[:, k], value[:, k], out[rows, at[:, k]])
    return out.reshape(x.shape)


def _inside(new: Array, old: Array, bounds: Bounds) -> Array:
    """`new` where that is inside the bounds, else `old`."""
    return get_xp(new).where((new >= bounds.low) & (new <= bounds.high), new, old)
