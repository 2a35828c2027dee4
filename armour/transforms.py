"""Natural changes of light and colour, as functions of a batch.

Every function here and in geometry, noise, blur, compression, occlusion and weather keeps one contract, so
that natural corruptions and fuzzing mutators share them:

- x: (n, c, h, w) float32 inside `bounds`, any size from 8 by 8, any number of channels. Strengths are (n,)
  float32, one for each item: levels as fractions of the span of the bounds, lengths in pixels, angles in
  degrees.
- The result is a new array of the same shape and dtype inside `bounds`; an item at identity strength comes
  back exactly.
- An item's result depends on that item alone, to the last bit, whatever else is in the batch. The random ones
  take `streams`, one stream for each item.
"""

from __future__ import annotations

import math

from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array, asnumpy, get_xp


def per_item(values: Array) -> Array:
    """(n,) as (n, 1, 1, 1), to broadcast over images."""
    return values[:, None, None, None]


def settle(x: Array, out: Array, changed: Array, bounds: Bounds) -> Array:
    """`out` clipped into the bounds (in place), with the rows not `changed` (n,) bool taken from `x`."""
    xp = get_xp(x)
    # Two calls cost less than clip, which looks up the limits of the dtype each time.
    xp.minimum(out, bounds.high, out=out)
    xp.maximum(out, bounds.low, out=out)
    if not bool(asnumpy(changed.all())):
        out[~changed] = x[~changed]
    return out


def largest(values: Array) -> float:
    """The largest of (n,) as a Python number, 0 if there is none."""
    return float(asnumpy(values.max())) if len(values) else 0.0


def flat(x: Array) -> Array:
    """(n, c * h * w), also for no items."""
    return x.reshape(len(x), math.prod(x.shape[1:]))


def ramp(size: int, xp: Array) -> Array:
    """(size,) float32: pixel centres from the middle of the side, from -1 to 1 at the outermost ones."""
    half = xp.float32(max(size - 1, 1) / 2)
    return (xp.arange(size, dtype=xp.float32) - half) / half


def brightness(x: Array, delta: Array, bounds: Bounds) -> Array:
    """Add `delta` (fraction of the span; 0 is identity) to every value."""
    return settle(x, x + per_item(delta * bounds.span), delta != 0, bounds)


def contrast(x: Array, factor: Array, bounds: Bounds) -> Array:
    """Stretch each item about its own mean by `factor` (1 is identity, 0 is flat)."""
    mean = per_item(flat(x).mean(axis=1))
    out = x - mean
    out *= per_item(factor)
    out += mean
    return settle(x, out, factor != 1, bounds)


def gamma(x: Array, exponent: Array, bounds: Bounds) -> Array:
    """Raise values, as fractions of the span, to the power 2**`exponent` (0 is identity, above 0 darkens)."""
    xp = get_xp(x)
    out = x - bounds.low
    out *= 1 / bounds.span
    # exp(log) costs a fifth of power; what lies under the smallest level of a 16-bit image becomes black or
    # stays so.
    xp.log(xp.maximum(out, xp.float32(1e-30), out=out), out=out)
    out *= per_item(xp.exp2(exponent))
    xp.exp(out, out=out)
    out *= bounds.span
    out += bounds.low
    return settle(x, out, exponent != 0, bounds)


def luminance_gradient(x: Array, delta: Array, degrees: Array, bounds: Bounds) -> Array:
    """Add a linear ramp from -`delta` to `delta` (fractions of the span), rising in the direction `degrees`.

    0 degrees is to the right, 90 up; the ends are reached where the direction meets a side; delta 0 is
    identity.
    """
    xp = get_xp(x)
    h, w = x.shape[2:]
    angle = degrees * xp.float32(xp.pi / 180)
    right, up = xp.cos(angle), xp.sin(angle)
    # |cos| + |sin| is the ramp's height in a corner; divided by it, no corner goes beyond delta.
    strength = delta * bounds.span / (abs(right) + abs(up))
    across = (strength * right)[:, None, None, None] * ramp(w, xp)
    along = (strength * up)[:, None, None, None] * -ramp(h, xp)[:, None]
    return settle(x, x + (across + along), delta != 0, bounds)


def spot(x: Array, delta: Array, streams: Streams, bounds: Bounds) -> Array:
    """Add a round spot of light (or shade) of height `delta` (fraction of the span; 0 is identity).

    Its centre is drawn inside the image; its standard deviation is a quarter of each side.
    """
    xp = get_xp(x)
    h, w = x.shape[2:]
    centre = xp.asarray(streams.uniform((2,), -0.7, 0.7))
    high = xp.exp(-2 * (ramp(h, xp) - centre[:, :1]) ** 2)
    wide = xp.exp(-2 * (ramp(w, xp) - centre[:, 1:]) ** 2)
    bump = (per_item(delta * bounds.span) * high[:, None, :, None]) * wide[:, None, None, :]
    return settle(x, x + bump, delta != 0, bounds)


def saturate(x: Array, factor: Array, bounds: Bounds) -> Array:
    """Stretch each pixel's channels about their mean by `factor` (1 is identity, 0 is grey)."""
    grey = x.mean(axis=1, keepdims=True)
    out = x - grey
    out *= per_item(factor)
    out += grey
    return settle(x, out, factor != 1, bounds)


def tint(x: Array, amount: Array, streams: Streams, bounds: Bounds) -> Array:
    """Scale each channel, from the low bound, by a factor drawn within `amount` of 1 (0 is identity)."""
    gain = 1 + amount[:, None] * get_xp(x).asarray(streams.uniform((x.shape[1],), -1, 1))
    out = (x - bounds.low) * gain[:, :, None, None]
    out += bounds.low
    return settle(x, out, amount != 0, bounds)


def channel_drop(x: Array, amount: Array, streams: Streams, bounds: Bounds) -> Array:
    """Fade one channel, drawn for each item, toward the low bound: `amount` 0 is identity, 1 is gone."""
    xp = get_xp(x)
    chosen = xp.asarray(streams.integers(x.shape[1]))
    keep = 1 - amount[:, None] * (xp.arange(x.shape[1]) == chosen[:, None])
    out = (x - bounds.low) * keep.astype(x.dtype)[:, :, None, None]
    out += bounds.low
    return settle(x, out, amount != 0, bounds)
