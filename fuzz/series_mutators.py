"""Mutators of time series and sounds: one row for each function of armour/series.py, with its range.

Noise at a signal-to-noise ratio of r decibels is `value-gaussian` (fuzz/array_mutators.py) with a sigma of
10**(-r / 20), and a shift in time is `shift`.
"""

from __future__ import annotations

from armour import series
from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array

from .likeness import deviation
from .mutators import Param, mutator

SERIES = ("series",)


@mutator("gain", "level", Param("db", -6.0, 6.0), inputs=SERIES)
def _gain(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return series.gain(x, p[0], bounds)


@mutator("clip", "level", Param("depth", 0.0, 0.7), inputs=SERIES)
def _clip(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return series.limit(x, p[0], bounds)


@mutator("drift", "level", Param("amount", -1.0, 1.0), inputs=SERIES)
def _drift(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return series.drift(x, p[0], deviation(x, bounds), bounds)


@mutator("stretch", "pace", Param("rate", 0.92, 1.08, 1.0), inputs=SERIES, geometric=True)
def _stretch(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return series.stretch(x, p[0], bounds)


@mutator("resample", "smoothing", Param("factor", 1.0, 4.0, 1.0), inputs=SERIES)
def _resample(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return series.resample(x, p[0], bounds)


@mutator("band-stop", "spectrum", Param("width", 0.0, 0.2), inputs=SERIES)
def _band_stop(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return series.band_stop(x, p[0], streams, bounds)


@mutator("dropout", "dropout", Param("length", 0.0, 0.1), inputs=SERIES)
def _dropout(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return series.drop_out(x, p[0], streams, bounds)


@mutator("sensor-freeze", "dropout", Param("length", 0.0, 0.2), inputs=SERIES)
def _freeze(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return series.freeze(x, p[0], streams, bounds)
