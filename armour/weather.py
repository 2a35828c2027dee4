"""Fog, snow and splashes, drawn from each item's own stream. Contract as in armour/transforms.py."""

from __future__ import annotations

from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array, get_xp

from .fields import plasma, smooth_fields
from .transforms import settle


def fog(x: Array, thickness: Array, streams: Streams, bounds: Bounds) -> Array:
    """Blend a bright cloud over the image; its opacity runs from 0 to `thickness` (0 is identity)."""
    xp = get_xp(x)
    h, w = x.shape[2:]
    cloud = plasma(streams, h, w, xp) * thickness[:, None, None]
    return settle(x, _blend(x, cloud, x.dtype.type(bounds.high)), thickness != 0, bounds)


def snow(x: Array, amount: Array, streams: Streams, bounds: Bounds) -> Array:
    """Bright flakes, each a short slanted streak, begin on a share `amount` of the pixels (0 is identity)."""
    xp = get_xp(x)
    h, w = x.shape[2:]
    draw = xp.asarray(streams.uniform((h + 2, w + 2)))
    share = xp.maximum(amount, xp.float32(1e-6))[:, None, None]
    flake = xp.clip((share - draw) / share * 2, 0, 1)
    streak = xp.maximum(flake[:, 2:, 2:], flake[:, 1:-1, 1:-1] * xp.float32(0.6))
    xp.maximum(streak, flake[:, :-2, :-2] * xp.float32(0.3), out=streak)
    return settle(x, _blend(x, streak, x.dtype.type(bounds.high)), amount != 0, bounds)


def spatter(x: Array, amount: Array, streams: Streams, bounds: Bounds) -> Array:
    """Soft blots of a level drawn for each item (mud to foam) that grow with `amount` (0 is identity)."""
    xp = get_xp(x)
    h, w = x.shape[2:]
    field = smooth_fields(streams.child(0), 1, max(2, min(8, min(h, w) // 3)), h, w, xp)[:, 0]
    level = xp.asarray(streams.child(1).uniform((), bounds.low, bounds.high)).astype(x.dtype)
    # The field's standard deviation is near 0.27: at amount 0 only its rarest peaks stand out, and those are
    # clear.
    blot = xp.clip((field - (0.65 - 0.65 * amount)[:, None, None]) * 8, 0, 1)
    blot *= xp.minimum(2 * amount, 1)[:, None, None]
    return settle(x, _blend(x, blot, level[:, None, None, None]), amount != 0, bounds)


def _blend(x: Array, opacity: Array, level: Array) -> Array:
    out = level - x
    out *= opacity[:, None]
    out += x
    return out
