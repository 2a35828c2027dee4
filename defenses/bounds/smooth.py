"""Lines around smooth curves: chords where the curve bends towards them, tangents where it bends away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from armour.defenses.bounds.curves import Curve, Lines
from armour.tensor.core import Tensor, wrap

Array = np.ndarray
HALVINGS = 60


@dataclass(frozen=True, slots=True)
class SCurve(Curve):
    """A rising curve that is convex below 0 and concave above it, and symmetric: f(-z) = 2 f(0) - f(z).

    function: on tensors. plain, slope: the same and its derivative on arrays.
    """

    function: Callable[[Tensor], Tensor]
    plain: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    library = True
    operations = 0

    def value(self, z: Tensor) -> Tensor:
        return self.function(z)

    def loose(self, low: Array, high: Array) -> Array:
        return low < high

    def lines(self, low: Tensor, high: Tensor, slopes: Tensor | None = None) -> Lines:
        twice = 2.0 * self.plain(np.zeros(()))
        steep, above = self._above(low.data, high.data)
        # The line below is the line above the curve turned around (0, f(0)).
        turned, shift = self._above(-high.data, -low.data)
        dtype = low.dtype
        parts = (turned, twice - shift, steep, above)
        one, two, three, four = (wrap(np.asarray(p, dtype)) for p in parts)
        return Lines(one, two, three, four)

    def _above(self, low: Array, high: Array) -> tuple[Array, Array]:
        """(slope, shift) of a line above the curve on [low, high]."""
        f, df = self.plain, self.slope
        width = high - low
        narrow = width < 1e-6
        chord = np.where(narrow, 0.0, (f(high) - f(low)) / np.where(narrow, 1.0, width))
        touching = np.where(low >= 0, (low + high) / 2, self._touching(low, high))
        bends = (high <= 0) | ((low < 0) & (df(high) >= chord))  # under its chord all the way
        steep = np.where(bends, chord, df(touching))
        shift = np.where(bends, f(low) - chord * low, f(touching) - steep * touching)
        # Hardly any width: a flat line through the highest value.
        return np.where(narrow, 0.0, steep), np.where(narrow, f(high), shift)

    def _touching(self, low: Array, high: Array) -> Array:
        """Where, above 0, a tangent passes over (low, f(low)); from the side on which it does."""
        below: Array = np.zeros_like(low)
        above: Array = np.maximum(high, 0.0)
        base = self.plain(low)
        for _ in range(HALVINGS):
            middle = (below + above) / 2
            over = self.plain(middle) - self.slope(middle) * (middle - low) >= base
            above, below = np.where(over, middle, above), np.where(over, below, middle)
        return above


def _sigmoid(z: Array) -> Array:
    found: Array = 0.5 * (1 + np.tanh(z / 2))
    return found


def _sigmoid_slope(z: Array) -> Array:
    found: Array = 0.25 * (1 - np.tanh(z / 2) ** 2)
    return found


def _tanh_slope(z: Array) -> Array:
    found: Array = 1 - np.tanh(z) ** 2
    return found


def sigmoid_curve() -> SCurve:
    """1 / (1 + exp(-z))."""
    return SCurve(lambda z: z.sigmoid(), _sigmoid, _sigmoid_slope)


def tanh_curve() -> SCurve:
    """The hyperbolic tangent."""
    return SCurve(lambda z: z.tanh(), np.tanh, _tanh_slope)
