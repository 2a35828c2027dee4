"""Changes of time series and sounds, as functions of a batch: level, pieces, pace and parts of the spectrum.

As in armour/transforms.py, but x is (n, ..., t) float32 with time last, and lengths are fractions of it.
Several lines (channels, sensors) of an item are changed alike, except where a single one is drawn.
"""

from __future__ import annotations

import math

from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array, asnumpy, get_xp

from .transforms import flat


def over(values: Array, x: Array) -> Array:
    """(n,) in the shape that broadcasts over x (n, ...)."""
    return values.reshape((len(x), *(1,) * (x.ndim - 1)))


def settle_series(x: Array, out: Array, changed: Array, bounds: Bounds) -> Array:
    """`out` clipped into the bounds (in place), with the items not `changed` (n,) bool taken from x."""
    xp = get_xp(x)
    xp.minimum(out, bounds.high, out=out)
    xp.maximum(out, bounds.low, out=out)
    if not bool(asnumpy(changed.all())):
        out[~changed] = x[~changed]
    return out


def centre(x: Array) -> Array:
    """Each item's mean, in the shape that broadcasts over x."""
    return over(flat(x).mean(axis=1), x)


def gain(x: Array, decibels: Array, bounds: Bounds) -> Array:
    """Louder or softer about each item's mean by `decibels` (0 is identity)."""
    xp = get_xp(x)
    mean = centre(x)
    out = x - mean
    out *= over(xp.exp2(decibels * xp.float32(math.log2(10) / 20)), x)
    out += mean
    return settle_series(x, out, decibels != 0, bounds)


def limit(x: Array, depth: Array, bounds: Bounds) -> Array:
    """Cut off what is further from the mean than 1 - `depth` of the furthest value (0 is identity)."""
    xp = get_xp(x)
    mean = centre(x)
    reach = xp.abs(flat(x - mean)).max(axis=1) * (1 - depth)
    out = xp.minimum(x, mean + over(reach, x))
    xp.maximum(out, mean - over(reach, x), out=out)
    return settle_series(x, out, depth != 0, bounds)


def drift(x: Array, amount: Array, scale: Array, bounds: Bounds) -> Array:
    """Add what grows evenly from nothing to `amount` times `scale` at the end (0 is identity); both (n,)."""
    xp = get_xp(x)
    t = x.shape[-1]
    ramp = xp.arange(t, dtype=xp.float32) * xp.float32(1 / max(t - 1, 1))
    return settle_series(x, x + over(amount * scale, x) * ramp, amount != 0, bounds)


def stretch(x: Array, rate: Array, bounds: Bounds) -> Array:
    """Slower about the middle by `rate` (1 is identity, below 1 faster); ends are repeated."""
    xp = get_xp(x)
    t = x.shape[-1]
    middle = xp.float32((t - 1) / 2)
    at = (xp.arange(t, dtype=xp.float32) - middle)[None] / rate[:, None] + middle
    return settle_series(x, sampled(x, at), rate != 1, bounds)


def resample(x: Array, factor: Array, bounds: Bounds) -> Array:
    """As if recorded with `factor` times fewer samples a second, and drawn out again (1 is identity).

    The few samples are joined by straight lines.
    """
    xp = get_xp(x)
    t = x.shape[-1]
    step = xp.maximum(factor, 1)[:, None]
    position = xp.arange(t, dtype=xp.float32)[None] / step
    before = xp.floor(position)
    weight = (position - before)[:, None]
    lines = lines_of(x)
    low, high = _between(lines, before * step), _between(lines, (before + 1) * step)
    out = (low + (high - low) * weight).reshape(x.shape).astype(x.dtype)
    return settle_series(x, out, factor != 1, bounds)


def drop_out(x: Array, length: Array, streams: Streams, bounds: Bounds) -> Array:
    """A stretch of `length` (fraction; 0 is identity) falls silent: to the mean. Its place is drawn."""
    xp = get_xp(x)
    gone, _ = stretch_of(x, length, streams)
    out = xp.where(gone, centre(x), x).astype(x.dtype)
    return settle_series(x, out, length != 0, bounds)


def freeze(x: Array, length: Array, streams: Streams, bounds: Bounds) -> Array:
    """One line, drawn, keeps the value it had before a stretch of `length` (fraction; 0 is identity)."""
    xp = get_xp(x)
    held, start = stretch_of(x, length, streams)
    lines = lines_of(x)
    stuck = xp.asarray(streams.child(1).integers(lines.shape[1]))
    mine = (xp.arange(lines.shape[1])[None] == stuck[:, None])[:, :, None]
    index = xp.broadcast_to(xp.maximum(start - 1, 0)[:, None, None], (len(x), lines.shape[1], 1))
    value = xp.take_along_axis(lines, index, axis=2)
    out = xp.where(held.reshape(len(x), 1, x.shape[-1]) & mine, value, lines).reshape(x.shape)
    return settle_series(x, out, length != 0, bounds)


def band_stop(x: Array, width: Array, streams: Streams, bounds: Bounds) -> Array:
    """Take out a band of frequencies, `width` of all of them (0 is identity); its place is drawn.

    The mean of each line stays.
    """
    xp = get_xp(x)
    t = x.shape[-1]
    bins = t // 2
    spectrum = xp.fft.rfft(lines_of(x), axis=2)
    count = xp.ceil(width * bins)[:, None]
    first = 1 + xp.floor(xp.asarray(streams.uniform())[:, None] * (bins - count + 1))
    number = xp.arange(bins + 1, dtype=xp.float32)[None]
    keep = ((number < first) | (number >= first + count)).astype(xp.float32)
    spectrum *= keep[:, None]
    out = xp.fft.irfft(spectrum, n=t, axis=2).astype(x.dtype).reshape(x.shape)
    return settle_series(x, out, width != 0, bounds)


def stretch_of(x: Array, length: Array, streams: Streams) -> tuple[Array, Array]:
    """Bool (n, 1, ..., t), inside a stretch of `length`, at least one sample if any; and its start, (n,)."""
    xp = get_xp(x)
    t = x.shape[-1]
    count = xp.minimum(xp.ceil(length * t), t)
    start = xp.minimum(xp.floor(xp.asarray(streams.uniform()) * (t - count + 1)), t - count)
    start = xp.minimum(start, t - 1)
    at = xp.arange(t, dtype=xp.float32)[None]
    inside = (at >= start[:, None]) & (at < (start + count)[:, None])
    return inside.reshape((len(x), *(1,) * (x.ndim - 2), t)), start.astype(xp.int64)


def lines_of(x: Array) -> Array:
    """x (n, ..., t) as (n, lines, t)."""
    return x.reshape(len(x), math.prod(x.shape[1:-1]), x.shape[-1])


def sampled(x: Array, at: Array) -> Array:
    """Each line of x (n, ..., t) at positions (n, t), between samples along straight lines."""
    return _between(lines_of(x), at).reshape(x.shape).astype(x.dtype)


def _between(lines: Array, at: Array) -> Array:
    """(n, lines, k): lines (n, lines, t) at positions (n, k)."""
    xp = get_xp(lines)
    n, count, t = lines.shape
    at = xp.minimum(xp.maximum(at, 0), t - 1)
    left = xp.minimum(at.astype(xp.int32), max(t - 2, 0))
    weight = (at - left.astype(xp.float32))[:, None]
    flat, corner = lines.reshape(-1), left[:, None] + (xp.arange(n * count) * t).reshape(n, count, 1)
    low = flat.take(corner)
    corner += min(t - 1, 1)
    out = flat.take(corner)
    out -= low
    out *= weight
    out += low
    return out
