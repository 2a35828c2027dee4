"""Mutators that go where the model's own gradient points, as it was at the seed (fuzz/slopes.py).

Strengths are fractions of the span for images (c, h, w), and of five standard deviations of an item's own
values for all else, whose span says little of them. A step goes along the sign of the gradient (FGSM,
Goodfellow et al. 2015, https://arxiv.org/abs/1412.6572); `toward` says to which class: 0 to 1 to the one with
the smallest gap, 1 to 2 to the next, 2 to 3 to the one after that. The walk is three steps of PGD (Madry et
al. 2018, https://arxiv.org/abs/1706.06083) to the nearest class.
"""

from __future__ import annotations

from typing import Any

from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array, asnumpy, get_xp

from .array_mutators import along, settled
from .likeness import deviation
from .mutators import SLOPES, Param, mutator
from .slopes import SlopesAt

# Off by default: at 20,000 executions guided search finds several times as many failing inputs with them, but
# no more classes, and fewer of those that need no gradient.
_GUIDED: dict[str, Any] = {"inputs": ("image", "array", "series"), "needs": SLOPES, "default": False}
_TOWARD = Param("toward", 0.0, 3.0)
_UNIT = 1 / 127
_DEVIATIONS = 5  # so that the strongest step is 0.4 of them, as the strongest noise is


@mutator("gradient-step", "gradient", Param("strength", 0.0, 0.08), _TOWARD, **_GUIDED)
def _step(x: Array, p: Array, streams: Streams, bounds: Bounds, slopes: SlopesAt) -> Array:
    xp = get_xp(x)
    direction = xp.asarray(slopes.steps(asnumpy(p[1]))).astype(x.dtype)
    direction *= along(p[0] * _reach(x, bounds), x)
    direction += x
    return settled(x, direction, p[0] != 0, bounds)


@mutator("gradient-walk", "gradient", Param("strength", 0.0, 0.08), **_GUIDED)
def _walk(x: Array, p: Array, streams: Streams, bounds: Bounds, slopes: SlopesAt) -> Array:
    xp = get_xp(x)
    direction = xp.asarray(slopes.walks()).astype(x.dtype)
    direction *= along(p[0] * _reach(x, bounds) * x.dtype.type(_UNIT), x)
    direction += x
    return settled(x, direction, p[0] != 0, bounds)


@mutator("feature-noise", "gradient", Param("sigma", 0.0, 0.08), **_GUIDED)
def _features(x: Array, p: Array, streams: Streams, bounds: Bounds, slopes: SlopesAt) -> Array:
    """Normal noise along the directions in which the last layer's features change the most."""
    xp = get_xp(x)
    directions = xp.asarray(slopes.features()).astype(x.dtype)
    strength = p[0] * _reach(x, bounds) * x.dtype.type(_UNIT)
    amount = xp.asarray(streams.normal((directions.shape[1],))) * strength[:, None]
    out = x.copy()
    for k in range(directions.shape[1]):
        out += directions[:, k] * along(amount[:, k], x)
    return settled(x, out, p[0] != 0, bounds)


def _reach(x: Array, bounds: Bounds) -> Array:
    """(m,) float32: what strengths are fractions of."""
    if x.ndim == 4:
        return get_xp(x).full(len(x), bounds.span, dtype=x.dtype)
    return _DEVIATIONS * deviation(x, bounds)
