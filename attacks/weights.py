"""The weight of a loss beside a distance, searched for each sample: raised to be enough, then halved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armour.checks import count, non_negative, positive
from armour.regions import F64

# Beyond this a search is given up: float32 could not add the distance to the loss.
_MOST = 1e10


def check_search(
    *, steps: int, search_steps: int, first_weight: float, step_size: float = 1.0, confidence: float = 0.0
) -> None:
    """InvalidArgument for settings that such a search cannot have."""
    count("steps", steps)
    positive("step_size", step_size)
    count("search_steps", search_steps)
    non_negative("confidence", confidence)
    positive("first_weight", first_weight)


class Weights:
    """Binary search of one constant c for each of n samples, as Carlini and Wagner, 2017, do it.

    value: (n,) what to try next. A weight that was not enough is multiplied by 10 while none is known that
    is; from then on the next is in the middle between the largest too small and the smallest that was enough.
    """

    def __init__(self, n: int, first: float) -> None:
        self.value: F64 = np.full(n, first)
        self._low, self._high = np.zeros(n), np.full(n, np.inf)

    def update(self, enough: NDArray[np.bool_]) -> None:
        """Go on from what came of `value`: (n,) whether the criterion was met."""
        self._high = np.where(enough, np.minimum(self._high, self.value), self._high)
        self._low = np.where(enough, self._low, np.maximum(self._low, self.value))
        middle = (self._low + np.where(np.isfinite(self._high), self._high, 0)) / 2
        self.value = np.where(np.isfinite(self._high), middle, np.minimum(10 * self.value, _MOST))
