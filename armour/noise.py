"""Noise of cameras and channels, drawn from each item's own stream. Contract as in armour/transforms.py."""

from __future__ import annotations

from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array, get_xp

from .transforms import per_item, settle


def gaussian_noise(x: Array, sigma: Array, streams: Streams, bounds: Bounds) -> Array:
    """Add normal noise of standard deviation `sigma` (fraction of the span; 0 is identity)."""
    noise = get_xp(x).asarray(streams.normal(x.shape[1:]))
    noise *= per_item(sigma * bounds.span)
    noise += x
    return settle(x, noise, sigma != 0, bounds)
