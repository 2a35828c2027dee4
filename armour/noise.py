"""Noise of cameras and channels, drawn from each item's own stream. Contract as in armour/transforms.py."""

from __future__ import annotations

from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array, get_xp

from .transforms import per_item, settle


def gaussian_noise(x: Array, sigma: Array, streams: Streams, bounds: Bounds) -> Array:
    """Add normal noise of standard deviation `sigma` (fraction of the span; 0 is identity)."""
    out = get_xp(x).asarray(streams.normal(x.shape[1:]))
    out *= per_item(sigma * bounds.span)
    out += x
    return settle(x, out, sigma != 0, bounds)


def uniform_noise(x: Array, amplitude: Array, streams: Streams, bounds: Bounds) -> Array:
    """Add noise uniform in -`amplitude` .. `amplitude` (fraction of the span; 0 is identity)."""
    out = get_xp(x).asarray(streams.uniform(x.shape[1:], -1, 1))
    out *= per_item(amplitude * bounds.span)
    out += x
    return settle(x, out, amplitude != 0, bounds)


def speckle_noise(x: Array, sigma: Array, streams: Streams, bounds: Bounds) -> Array:
    """Multiply by 1 + normal noise of deviation `sigma`, measured from the low bound (0 is identity)."""
    out = get_xp(x).asarray(streams.normal(x.shape[1:]))
    out *= per_item(sigma)
    out *= x - bounds.low
    out += x
    return settle(x, out, sigma != 0, bounds)


def shot_noise(x: Array, sigma: Array, streams: Streams, bounds: Bounds) -> Array:
    """Photon noise: values are counts, with a mean of 1 / `sigma`**2 at the high bound (0 is identity).

    So `sigma` is the standard deviation at the high bound, as a fraction of the span. The counts are rounded
    normal deviates with the Poisson distribution's mean, variance and skewness (Cornish and Fisher), not
    exact Poisson ones.
    """
    xp = get_xp(x)
    photon = xp.maximum(sigma, xp.float32(1e-6)) ** 2
    mean = (x - bounds.low) * per_item(1 / (photon * bounds.span))
    z = xp.asarray(streams.normal(x.shape[1:]))
    # The skewness term would make counts out of nothing where fewer than one photon is expected.
    out = (z * z - 1) * xp.minimum(mean, 1) * xp.float32(1 / 6)
    z *= xp.sqrt(mean)
    out += z
    out += mean
    xp.rint(out, out=out)
    xp.maximum(out, 0, out=out)
    out *= per_item(photon * bounds.span)
    out += bounds.low
    return settle(x, out, sigma != 0, bounds)


def impulse_noise(x: Array, amount: Array, streams: Streams, bounds: Bounds) -> Array:
    """Salt and pepper: a share `amount` of the values goes to the bounds, half to each (0 is identity)."""
    xp = get_xp(x)
    draw = xp.asarray(streams.uniform(x.shape[1:]))
    half = per_item(amount * 0.5)
    out = xp.where(draw < half, x.dtype.type(bounds.low), x)
    return settle(x, xp.where(draw >= 1 - half, x.dtype.type(bounds.high), out), amount != 0, bounds)
