"""The image mutators that move pixels: the reference image moves with them, and a recipe holds at most one.

Their ranges are the limits of validity level V1: 15 degrees, a shift of 10 % of the side, scale 0.85 to 1.15,
shear 0.15. Perspective, waves and elastic warps move no pixel by more than about 10 % of the side.
"""

from __future__ import annotations

from armour import geometry
from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array

from .mutators import Param, mutator, side

_SHIFTS = (Param("right", -0.1, 0.1), Param("down", -0.1, 0.1))
_FACTORS = (Param("wide", 0.85, 1.15, 1.0), Param("high", 0.85, 1.15, 1.0))


@mutator("translate", "geometry", *_SHIFTS, geometric=True)
def _translate(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return geometry.translate(x, p[0] * x.shape[3], p[1] * x.shape[2], bounds)


@mutator("rotate", "geometry", Param("deg", -15.0, 15.0), geometric=True)
def _rotate(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return geometry.rotate(x, p[0], bounds)


@mutator("scale", "geometry", *_FACTORS, geometric=True)
def _scale(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return geometry.scale(x, p[0], p[1], bounds)


@mutator("shear", "geometry", Param("right", -0.15, 0.15), Param("down", -0.15, 0.15), geometric=True)
def _shear(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return geometry.shear(x, p[0], p[1], bounds)


@mutator(
    "affine",
    "geometry",
    Param("deg", -15.0, 15.0),
    *_SHIFTS,
    *_FACTORS,
    Param("slant", -0.15, 0.15),
    geometric=True,
)
def _affine(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    matrix = geometry.similarity_matrix(p[0], p[3], p[4], p[5])
    return geometry.affine_about(x, matrix, p[1] * x.shape[3], p[2] * x.shape[2], bounds)


@mutator("perspective", "geometry", Param("right", -0.15, 0.15), Param("down", -0.15, 0.15), geometric=True)
def _perspective(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return geometry.perspective(x, p[0], p[1], bounds)


@mutator("wave", "geometry", Param("amplitude", 0.0, 0.06), Param("cycles", 0.5, 1.5, 1.0), geometric=True)
def _wave(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return geometry.wave(x, p[0] * side(x), p[1], streams, bounds)


@mutator("elastic", "geometry", Param("amplitude", 0.0, 0.1), geometric=True)
def _elastic(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return geometry.elastic(x, p[0] * side(x), streams, bounds)
