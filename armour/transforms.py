"""Natural changes of light and colour, as functions of a batch.

Every function here and in geometry, noise, blur, compression, occlusion and weather keeps one contract, so
that natural corruptions and fuzzing mutators share them:

- x: (n, c, h, w) float32 inside `bounds`, any size from 8 by 8, any number of channels; strengths: (n,)
  float32, one for each item, lengths and levels as fractions of the side and of the span of the bounds, so
  that a strength means the same for every model;
- the result is a new array of the same shape and dtype inside `bounds`; an item at identity strength comes
  back exactly;
- an item's result depends on that item alone, to the last bit, whatever else is in the batch. Random ones
  take `streams`, one stream per item.
"""

from __future__ import annotations

from armour.bounds import Bounds
from armour.tensor.backend import Array, get_xp


def per_item(values: Array) -> Array:
    """(n,) as (n, 1, 1, 1), to broadcast over images."""
    return values[:, None, None, None]


def item_mean(x: Array) -> Array:
    """(n, 1, 1, 1): the mean of each item."""
    return x.reshape(len(x), -1).mean(axis=1)[:, None, None, None]


def settle(x: Array, out: Array, changed: Array, bounds: Bounds) -> Array:
    """`out` clipped into the bounds (in place), with the rows that are not `changed` (n,) bool taken from `x`."""
    xp = get_xp(x)
    xp.clip(out, bounds.low, bounds.high, out=out)
    if not changed.all():
        out[~changed] = x[~changed]
    return out


def brightness(x: Array, delta: Array, bounds: Bounds) -> Array:
    """Add `delta` (fraction of the span; 0 is identity) to every value."""
    return settle(x, x + per_item(delta * bounds.span), delta != 0, bounds)


def contrast(x: Array, factor: Array, bounds: Bounds) -> Array:
    """Stretch each item about its own mean by `factor` (1 is identity, 0 is flat)."""
    mean = item_mean(x)
    return settle(x, (x - mean) * per_item(factor) + mean, factor != 1, bounds)
