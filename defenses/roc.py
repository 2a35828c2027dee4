"""How well scores tell two groups apart: area under the ROC curve, and rates at a threshold."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armour.checks import describe, fraction
from armour.errors import InvalidArgument
from armour.stats import Effect


def auc(clean: ArrayLike, suspect: ArrayLike, confidence: float = 0.95) -> Effect:
    """The chance that a suspect score is above a clean one (ties count half), with DeLong's interval.

    Both samples one-dimensional and finite, clean (m,) and suspect (n,). With every score of one group above
    those of the other the variance is 0; the interval then ends where such a separation would still be seen
    with the probability left outside it, by the rule for counts of zero among the smaller group. DeLong et
    al., 1988, https://doi.org/10.2307/2531595. Raises InvalidArgument for an empty group.
    """
    low, high = _scores("clean", clean), _scores("suspect", suspect)
    tail = (1 - fraction("confidence", confidence)) / 2
    # The share of the other group that each score beats.
    beats, beaten = _shares(high, low), 1 - _shares(low, high)
    value = float(beats.mean())
    spread = sum(float(part.var(ddof=1)) / len(part) for part in (beats, beaten) if len(part) > 1)
    if spread == 0:
        room = -math.expm1(math.log(2 * tail) / min(len(low), len(high))) if tail > 0 else 1.0
        return Effect(
            value, max(0.0, value - room) if value > 0 else 0.0, min(1.0, value + room) if value < 1 else 1.0
        )
    half = NormalDist().inv_cdf(1 - tail) * math.sqrt(spread)
    return Effect(value, max(0.0, value - half), min(1.0, value + half))


def threshold(clean: ArrayLike, rate: float) -> float:
    """The least clean score that at most a share `rate` of the clean scores is above."""
    ordered = np.sort(_scores("clean", clean))
    above = math.floor(fraction("rate", rate) * len(ordered) + 1e-9)
    return float(ordered[max(len(ordered) - above - 1, 0)])


def _shares(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) of each of a (n,), the share of b that is below it, ties counting half."""
    ordered = np.sort(b)
    both = np.searchsorted(ordered, a, "left") + np.searchsorted(ordered, a, "right")
    return np.asarray(both / (2 * len(b)))


def _scores(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise InvalidArgument(f"expected finite scores (n,), at least one, got {describe(name, array)}")
    return array
