"""The image mutators: one row for each array function of armour/, with the range it is drawn from.

Ranges of geometric mutators are the limits of validity level V1: 15 degrees, 10 % shift, scale 0.85 to 1.15,
shear 0.15.
"""

from __future__ import annotations

from armour import geometry, noise, transforms
from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array

from .mutators import Param, mutator


@mutator("brightness", "light", Param("delta", -0.2, 0.2))
def _brightness(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return transforms.brightness(x, p[:, 0], bounds)


@mutator("contrast", "light", Param("factor", 0.5, 1.6, 1.0))
def _contrast(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return transforms.contrast(x, p[:, 0], bounds)


@mutator("gaussian-noise", "noise", Param("sigma", 0.0, 0.1))
def _gaussian_noise(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return noise.gaussian_noise(x, p[:, 0], streams, bounds)


@mutator("rotate", "geometry", Param("deg", -15.0, 15.0), geometric=True)
def _rotate(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return geometry.rotate(x, p[:, 0])


@mutator("translate", "geometry", Param("right", -0.1, 0.1), Param("down", -0.1, 0.1), geometric=True)
def _translate(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return geometry.translate(x, p[:, 0], p[:, 1])
