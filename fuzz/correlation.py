"""Does coverage grow where failures are found? Rank correlations over the rounds of a campaign.

Both grow as long as anything is executed, so sums always correlate. What is compared is how much each grew in
a round, per execution, with the executions so far held constant: both also slow down as a campaign goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

LEAST = 8  # rounds below which nothing is said
_UNIT = 1e-6  # of a criterion's value
_WIDTH = 1.959964  # of a 95 % interval, in standard errors


def rank_correlation(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> tuple[float, float, float] | None:
    """Spearman's correlation of x and y (n,) with `given` (n,) held constant, and its 95 % interval.

    The partial correlation of the ranks, ties at their mean; the interval by Fisher's transformation, with
    the variance 1.06 / (n - 4) (Fieller, Hartley and Pearson, 1957, https://doi.org/10.1093/biomet/44.3-4.470,
    less one degree for what is held constant). None for fewer than 8 rounds or if x or y does not vary, nor
    once `given` is held constant.
    """
    if len(x) < LEAST:
        return None
    ranks = np.stack([_ranks(values) for values in (x, y, given)])
    if (ranks[:2] == ranks[:2, :1]).all(axis=1).any():
        return None
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    if (centred[2] != 0).any():
        slope = centred[:2] @ centred[2] / (centred[2] @ centred[2])
        centred[:2] -= slope[:, None] * centred[2]
    length = np.sqrt(np.square(centred[:2]).sum(axis=1))
    if (length <= 1e-9 * len(x)).any():
        return None
    rho = float(np.clip(centred[0] @ centred[1] / length[0] / length[1], -1, 1))
    middle = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    half = _WIDTH * np.sqrt(1.06 / (len(x) - 4))
    return rho, float(np.tanh(middle - half)), float(np.tanh(middle + half))


def growth_correlations(
    executions: Sequence[float],
    failures: Sequence[float],
    coverage: Mapping[str, Sequence[float]],
) -> dict[str, list[float] | None]:
    """For each criterion: correlation of its growth with the failures found, low, high, and rounds.

    executions, failures and coverage (r,) are sums after each round. None where nothing can be said.
    """
    done = np.asarray(executions, np.float64)
    size = np.diff(done)
    found: dict[str, list[float] | None] = {}
    for name, values in coverage.items():
        # Whole numbers, so that what grew alike is a tie and not told apart by rounding.
        grown = np.rint(np.diff(np.asarray(values, np.float64)) / _UNIT) / size
        result = rank_correlation(grown, np.diff(np.asarray(failures, np.float64)) / size, done[1:])
        found[name] = None if result is None else [*(round(v, 4) for v in result), len(size)]
    return found


def _ranks(values: np.ndarray) -> np.ndarray:
    """(n,): 1 for the least, ties at their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2)[place])
