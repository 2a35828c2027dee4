"""Rank correlations of growth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from armour.fuzz.correlation import growth_correlations, rank_correlation


def test_without_anything_to_hold_constant_it_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.integers(0, 6, (2, 15)).astype(float)
        found = rank_correlation(x, y, np.zeros(15))
        assert found is not None and found[0] == pytest.approx(spearmanr(x, y).statistic)


def test_partial_as_the_textbook_formula() -> None:
    rng = np.random.default_rng(1)
    x, y, z = rng.normal(size=(3, 30)) + np.linspace(0, 2, 30)
    found = rank_correlation(x, y, z)
    xy, xz, yz = (np.corrcoef(rankdata(a), rankdata(b))[0, 1] for a, b in ((x, y), (x, z), (y, z)))
    assert found is not None
    assert found[0] == pytest.approx((xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)))
    half = 1.959964 * np.sqrt(1.06 / 26)
    assert np.arctanh(found[2]) - np.arctanh(found[0]) == pytest.approx(half)


def test_the_interval_holds_what_it_says() -> None:
    """Of 600 pairs that only share a trend, about 95 % of the intervals hold zero; of the sums none would."""
    rng = np.random.default_rng(2)
    done = np.arange(1.0, 26.0)
    inside = []
    for _ in range(600):
        x, y = rng.exponential(size=(2, 25)) / np.sqrt(done)  # both slow down
        found = rank_correlation(x, y, done)
        assert found is not None
        inside.append(found[1] <= 0 <= found[2])
    assert 0.92 < np.mean(inside) < 0.985


def test_growth_and_not_sums_is_compared() -> None:
    rng = np.random.default_rng(4)
    size = np.array([128, 256, 512] + [1024] * 30)
    failures, own, other = rng.poisson(20, (3, 33)) * size / 1024
    executions = np.cumsum(size).tolist()
    coverage = {
        "same": np.cumsum(own + 2 * failures).tolist(),
        "other": np.cumsum(other).tolist(),
        "full": [1.0] * 33,
    }
    found = growth_correlations(executions, np.cumsum(failures).tolist(), coverage)
    same, unlike = found["same"], found["other"]
    assert same is not None and unlike is not None and found["full"] is None
    assert same[1] > 0.4 and unlike[1] < 0 < unlike[2] and same[3] == 32


def test_nothing_is_said_of_too_little() -> None:
    assert rank_correlation(np.arange(7.0), np.arange(7.0), np.zeros(7)) is None
    assert rank_correlation(np.ones(9), np.arange(9.0), np.zeros(9)) is None
    assert (
        rank_correlation(np.arange(9.0), np.arange(9.0) ** 2, np.arange(9.0)) is None
    )  # nothing but the trend
    assert growth_correlations([], [], {"kmnc": []}) == {"kmnc": None}
    perfect = rank_correlation(np.arange(9.0), np.arange(9.0), np.zeros(9))
    assert perfect is not None and perfect[0] == pytest.approx(1) and perfect[1] < perfect[2] <= 1
