"""How much of an input a mutation may change.

DeepHunter's rule (Xie et al. 2019, doi:10.1145/3293882.3330579): at most 2 % of the pixels may change without
limit, or any number of them by at most 20 % of the span. Of what is no image the values are counted instead.
"""

from __future__ import annotations

from armour.bounds import Bounds
from armour.tensor.backend import Array, get_xp

SPARSE = 0.02
DENSE = 0.20
_ROUNDING = 1e-5  # relative slack of the 20 %, for differences taken in float32


def changed_share(x: Array, ref: Array, *, pixels: bool = True) -> Array:
    """(n,) float32: the share of pixels at which any channel of x differs from ref, both (n, c, h, w).

    pixels: without, the share of all values of (n, ...).
    """
    xp = get_xp(x)
    differs = x != ref
    if pixels:
        differs = differs[:, 0] if x.shape[1] == 1 else differs.any(axis=1)
    differs = differs.reshape(len(x), -1)
    return (xp.count_nonzero(differs, axis=1) / differs.shape[1]).astype(xp.float32)


def within_rule(share: Array, largest: Array) -> Array:
    """(n,) bool, from the share of changed pixels and the largest change as a fraction of the span."""
    return (share <= SPARSE) | (largest <= DENSE * (1 + _ROUNDING))


def few_changed(share: Array, most: float, size: int) -> Array:
    """(n,) bool: at most the share `most` of an input's `size` values changed, or one value."""
    return share <= max(most, 1 / size) * (1 + _ROUNDING)


def hold_back(x: Array, ref: Array, bounds: Bounds, *, pixels: bool = True) -> Array:
    """x (written to), with the items that break the rule clipped to within 20 % of the span about ref."""
    xp = get_xp(x)
    reach = DENSE * bounds.span
    held = ref + reach
    xp.minimum(held, x, out=held)
    xp.maximum(held, ref - reach, out=held)
    over = xp.nonzero((held != x).reshape(len(x), -1).any(axis=1))[0]
    if len(over):
        dense = over[changed_share(x[over], ref[over], pixels=pixels) > SPARSE]
        x[dense] = held[dense]
    return x
