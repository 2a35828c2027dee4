"""Parts of the picture covered, broken or from another picture. Contract as in armour/transforms.py."""

from __future__ import annotations

from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array, get_xp

from .transforms import largest, settle


def occlude(x: Array, size: Array, streams: Streams, bounds: Bounds) -> Array:
    """Cover a square of `size` pixels a side (0 is identity); its place and its level are drawn."""
    xp = get_xp(x)
    n, _, h, w = x.shape
    place = xp.asarray(streams.uniform((3,)))
    high = _cover(h, size, place[:, 0])
    wide = _cover(w, size, place[:, 1])
    level = (bounds.low + place[:, 2] * bounds.span).astype(x.dtype)
    out = level[:, None, None, None] - x
    out *= high.reshape(n, 1, h, 1)
    out *= wide.reshape(n, 1, 1, w)
    out += x
    return settle(x, out, size != 0, bounds)


def paste(x: Array, other: Array, size: Array, streams: Streams, bounds: Bounds) -> Array:
    """A square of `size` pixels a side (0 is identity) comes from the same place of `other`, like x.

    Its place is drawn; pixels that it covers in part are mixed.
    """
    xp = get_xp(x)
    n, _, h, w = x.shape
    place = xp.asarray(streams.uniform((2,)))
    out = other - x
    out *= _cover(h, size, place[:, 0]).reshape(n, 1, h, 1)
    out *= _cover(w, size, place[:, 1]).reshape(n, 1, 1, w)
    out += x
    return settle(x, out, size != 0, bounds)


def blend(x: Array, other: Array, amount: Array, bounds: Bounds) -> Array:
    """Mix with `other`, like x: `amount` 0 is identity, 1 is the other picture."""
    out = other - x
    out *= amount[:, None, None, None]
    out += x
    return settle(x, out, amount != 0, bounds)


def pixel_change(x: Array, share: Array, streams: Streams, bounds: Bounds) -> Array:
    """Set a `share` of the pixels, at least one, to random values in all channels (0 is identity)."""
    xp = get_xp(x)
    n, c, h, w = x.shape
    out = x.copy()
    count = xp.where(share > 0, xp.maximum(xp.floor(share * (h * w)), 1), 0).astype(xp.int64)
    most = int(largest(count))
    # Children, because what the second draw of one stream is would depend on the largest count of the batch.
    places = xp.asarray(streams.child(0).integers(h * w, (most,)))
    values = xp.asarray(streams.child(1).uniform((most, c), bounds.low, bounds.high))
    item, number = xp.nonzero(xp.arange(most) < count[:, None])
    out.reshape(n, c, h * w)[item, :, places[item, number]] = values[item, number]
    return settle(x, out, share != 0, bounds)


def _cover(side: int, size: Array, place: Array) -> Array:
    """(n, side) float32 in [0, 1]: how much of each pixel an interval of `size` pixels covers."""
    xp = get_xp(size)
    start = (place * xp.maximum(side - size, 0))[:, None]
    pixel = xp.arange(side, dtype=xp.float32)
    return xp.clip(xp.minimum(start + size[:, None], pixel + 1) - xp.maximum(start, pixel), 0, 1)
