"""Statistics that a report may print: intervals of proportions, comparisons, effect sizes.

Every function takes plain counts or one-dimensional samples and returns plain Python numbers, all finite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armour import checks
from armour.errors import InvalidArgument
from armour.rng import generator

Side = Literal["two-sided", "upper", "lower"]


class Interval(NamedTuple):
    """Lower and upper end of an interval."""

    low: float
    high: float


class Effect(NamedTuple):
    """An effect size with the ends of its bootstrap interval."""

    value: float
    low: float
    high: float


class Comparison(NamedTuple):
    """A statistic and its p-value."""

    statistic: float
    p: float


def wilson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion, for display: k of n, n = 0 gives (0, 1).

    Wilson, 1927, https://doi.org/10.1080/01621459.1927.10502953. Raises InvalidArgument unless 0 <= k <= n.
    """
    k, n = _counts(k, n)
    if n == 0:
        return Interval(0.0, 1.0)
    z = _normal_quantile(0.5 + _confidence(confidence) / 2)
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    # At k = 0 and k = n the end is exactly 0 or 1; rounding must not put it beside.
    return Interval(0.0 if k == 0 else max(0.0, centre - half), 1.0 if k == n else min(1.0, centre + half))


def clopper_pearson(k: int, n: int, confidence: float = 0.95, side: Side = "two-sided") -> Interval:
    """The exact interval of a proportion, for claims and for counts of zero; n = 0 gives (0, 1).

    side: "upper" puts the whole error above and gives (0, high), "lower" gives (low, 1). With k = 0 the
    upper bound is 1 - (1 - confidence) ** (1 / n): nothing found in 1,000 means at most 0.30 %.
    Clopper and Pearson, 1934, https://doi.org/10.1093/biomet/26.4.404. Raises InvalidArgument unless 0 <= k
    <= n.
    """
    from scipy.special import betaincinv

    k, n = _counts(k, n)
    checks.one_of("side", side, ("two-sided", "upper", "lower"))
    error = 1 - _confidence(confidence)
    if side == "two-sided":
        error /= 2
    low, high = 0.0, 1.0
    if side != "upper" and k > 0:
        low = error ** (1 / n) if k == n else float(betaincinv(k, n - k + 1, error))
    if side != "lower" and k < n:
        high = -math.expm1(math.log(error) / n) if k == 0 else float(betaincinv(k + 1, n - k, 1 - error))
    return Interval(low, high)


def a12(a: ArrayLike, b: ArrayLike) -> float:
    """Vargha and Delaney's A: the chance that a value of `a` is above one of `b`, ties counting half.

    0.5 is no difference; 0.56, 0.64 and 0.71 are called small, medium and large.
    Vargha and Delaney, 2000, https://doi.org/10.3102/10769986025002101. Raises InvalidArgument on an empty
    sample.
    """
    first, second = _sample("a", a), _sample("b", b)
    ordered = np.sort(second)
    below = np.searchsorted(ordered, first, side="left")
    not_above = np.searchsorted(ordered, first, side="right")
    return float((below + not_above).sum() / (2 * len(first) * len(second)))


def a12_interval(
    a: ArrayLike,
    b: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    rng: int | np.random.Generator = 0,
) -> Effect:
    """A12 with its percentile bootstrap interval: both samples are drawn again with replacement."""
    first, second = _sample("a", a), _sample("b", b)
    draw = generator(rng)
    resamples = checks.count("resamples", resamples)
    # wins[i, j] is 1, 1/2 or 0; a resampled A12 is the mean over resampled rows and columns, so two small
    # products of multiplicities with this matrix give all of them.
    wins = (np.sign(first[:, None] - second[None, :]) + 1) / 2
    rows = draw.multinomial(len(first), np.full(len(first), 1 / len(first)), size=resamples)
    columns = draw.multinomial(len(second), np.full(len(second), 1 / len(second)), size=resamples)
    values = np.einsum("ri,ij,rj->r", rows, wins, columns, optimize=True) / (len(first) * len(second))
    tail = (1 - _confidence(confidence)) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Effect(a12(first, second), float(low), float(high))


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float],
    n: int,
    confidence: float = 0.95,
    *,
    rng: int | np.random.Generator = 0,
    resamples: int = 1000,
) -> Effect:
    """A statistic of n samples with its percentile bootstrap interval: samples are drawn with replacement.

    statistic: a function of rows (n,), which may repeat. For what is no share of samples, such as a mean
    average precision. Resamples for which it is nan are left out.
    """
    n, resamples = checks.count("n", n), checks.count("resamples", resamples)
    tail = (1 - _confidence(confidence)) / 2
    draws = generator(rng)
    found = np.array([statistic(draws.integers(0, n, n)) for _ in range(resamples)])
    value = float(statistic(np.arange(n)))
    found = found[np.isfinite(found)]
    if not found.size or not math.isfinite(value):
        raise InvalidArgument("expected a statistic with a value for these samples, got nan")
    low, high = np.quantile(found, [tail, 1 - tail])
    return Effect(value, float(low), float(high))


def median_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """The interval of a median that order statistics give, without any assumption on the distribution.

    The narrowest pair of equal ranks from both ends that covers at least `confidence`; the whole range where
    none does, as for 95 % of fewer than six values.
    """
    from scipy.special import bdtr

    ordered = np.sort(_sample("values", values))
    n, error = len(ordered), (1 - _confidence(confidence)) / 2
    # The k-th from each end leaves out the median with probability 2 P(Bin(n, 1/2) < k).
    k = max((k for k in range(1, n // 2 + 1) if bdtr(k - 1, n, 0.5) <= error), default=1)
    return Interval(float(ordered[k - 1]), float(ordered[n - k]))


def mann_whitney(
    a: ArrayLike, b: ArrayLike, alternative: Literal["two-sided", "less", "greater"] = "two-sided"
) -> Comparison:
    """The rank-sum test that two samples come from one distribution; the statistic is U of `a`.

    Exact for at most 8 values without ties, else the normal approximation with tie and continuity
    correction. Samples that are all one value give p = 1. Mann and Whitney, 1947,
    https://doi.org/10.1214/aoms/1177730491.
    """
    from scipy.stats import mannwhitneyu

    first, second = _sample("a", a), _sample("b", b)
    checks.one_of("alternative", alternative, ("two-sided", "less", "greater"))
    if np.ptp(np.concatenate([first, second])) == 0:
        return Comparison(len(first) * len(second) / 2, 1.0)
    result = mannwhitneyu(first, second, alternative=alternative, method="auto")
    return Comparison(float(result.statistic), float(result.pvalue))


def mcnemar(lost: int, won: int, alternative: Literal["two-sided", "greater"] = "two-sided") -> float:
    """p of the exact paired test on the discordant samples: `lost` went from right to wrong, `won` the other
    way.

    alternative: "greater" asks whether more were lost than won. No discordant sample gives p = 1.
    McNemar, 1947, https://doi.org/10.1007/BF02295996.
    """
    from scipy.special import bdtr

    lost, won = checks.count("lost", lost, 0), checks.count("won", won, 0)
    checks.one_of("alternative", alternative, ("two-sided", "greater"))
    n = lost + won
    if n == 0:
        return 1.0
    if alternative == "greater":
        return float(bdtr(won, n, 0.5))
    return min(1.0, 2 * float(bdtr(min(lost, won), n, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given; compare each with the level of the whole family.

    Holm, 1979, https://www.jstor.org/stable/4615733.
    """
    values = [checks.fraction("p", p) for p in p_values]
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, i in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[i]))
        adjusted[i] = largest
    return adjusted


def _counts(k: int, n: int) -> tuple[int, int]:
    k, n = checks.count("k", k, 0), checks.count("n", n, 0)
    if k > n:
        raise InvalidArgument(f"expected k of n with k <= n, got k={k} and n={n}")
    return k, n


def _confidence(confidence: float) -> float:
    if not 0 < checks.fraction("confidence", confidence) < 1:
        raise InvalidArgument(f"expected a confidence between 0 and 1, such as 0.95, got {confidence!r}")
    return confidence


def _normal_quantile(p: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)


def _sample(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise InvalidArgument(
            f"expected a non-empty list of finite numbers, got {checks.describe(name, array)}"
        )
    return array
