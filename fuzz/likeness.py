"""How near an array that is no image is to another."""

from __future__ import annotations

from armour.bounds import Bounds
from armour.tensor.backend import Array, get_xp
from armour.transforms import flat

FLOOR = 0.01  # of the span: what an array varies by at least, where it is nearly constant


def deviation(x: Array, bounds: Bounds) -> Array:
    """(n,) float32: standard deviation of each item's own values, at least 1 % of the span."""
    xp = get_xp(x)
    values = flat(x)
    centred = values - values.mean(axis=1, keepdims=True)
    spread = xp.sqrt((centred * centred).mean(axis=1))
    return xp.maximum(spread, xp.float32(FLOOR * bounds.span)).astype(xp.float32)


def relative_closeness(x: Array, ref: Array, bounds: Bounds) -> Array:
    """(n,) float32: 1 less the relative distance of x to ref (n, ...): 1 where they are equal, or less.

    The relative distance is the root mean square of the difference in standard deviations of the reference's
    own values (at least 1 % of the span), so it depends neither on the size nor on the units of an array.
    """
    xp = get_xp(x)
    change = flat(x - ref)
    distance = xp.sqrt((change * change).mean(axis=1))
    return (1 - distance / deviation(ref, bounds)).astype(xp.float32)
