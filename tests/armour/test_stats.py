"""Statistics against closed forms, published tables and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from armour import stats
from armour.errors import InvalidArgument

counts = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize("n, points", [(100, 9.6), (500, 4.4), (1_000, 3.1), (5_000, 1.4), (10_000, 1.0)])
def test_wilson_half_width_at_one_half_is_the_published_table(n: int, points: float) -> None:
    low, high = stats.wilson(n // 2, n)
    assert round(50 * (high - low), 1) == points
    assert low + high == pytest.approx(1)


# Brown, Cai and DasGupta, 2001, and Newcombe, 1998, table I: 81/263, 15/148, 0/20, 1/29.
@pytest.mark.parametrize(
    "k, n, wilson, exact",
    [
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
        (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
    ],
)
def test_intervals_are_those_of_newcombe(
    k: int, n: int, wilson: tuple[float, float], exact: tuple[float, float]
) -> None:
    assert stats.wilson(k, n) == pytest.approx(wilson, abs=5e-5)
    assert stats.clopper_pearson(k, n) == pytest.approx(exact, abs=5e-5)


@given(counts, st.sampled_from([0.9, 0.95, 0.99]))
def test_intervals_agree_with_scipy(kn: tuple[int, int], confidence: float) -> None:
    k, n = kn
    reference = scipy.stats.binomtest(k, n)
    for name, ours in (("wilson", stats.wilson), ("exact", stats.clopper_pearson)):
        theirs = reference.proportion_ci(confidence, method=name)
        assert ours(k, n, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(counts)
def test_intervals_hold_the_estimate_and_mirror(kn: tuple[int, int]) -> None:
    k, n = kn
    for interval in (stats.wilson, stats.clopper_pearson):
        low, high = interval(k, n)
        assert 0 <= low <= k / n <= high <= 1
        assert interval(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_a_zero_count_has_the_exact_one_sided_bound() -> None:
    low, high = stats.clopper_pearson(0, 1_000, side="upper")
    assert low == 0
    assert high == pytest.approx(1 - 0.05 ** (1 / 1_000), rel=1e-12)
    assert f"{high:.2%}" == "0.30%"
    assert stats.clopper_pearson(1_000, 1_000, side="lower") == pytest.approx((0.05 ** (1 / 1_000), 1))
    assert stats.clopper_pearson(3, 10, side="upper").high == pytest.approx(
        scipy.stats.binomtest(3, 10, alternative="less").proportion_ci(0.95).high
    )


def test_no_samples_leave_everything_open() -> None:
    assert stats.wilson(0, 0) == stats.clopper_pearson(0, 0) == (0, 1)


@pytest.mark.parametrize("k, n", [(-1, 5), (6, 5), (1.5, 5), (0, -1), (True, 5), (math.nan, 5)])
def test_counts_that_are_none_are_refused(k: int, n: int) -> None:
    for interval in (stats.wilson, stats.clopper_pearson):
        with pytest.raises(InvalidArgument, match="expected"):
            interval(k, n)
    with pytest.raises(InvalidArgument, match="confidence"):
        stats.wilson(1, 2, confidence=1.0)


def test_a12_of_hand_made_samples() -> None:
    assert stats.a12([2, 3, 4], [1, 1, 1]) == 1
    assert stats.a12([1], [2]) == 0
    assert stats.a12([5, 5], [5, 5]) == 0.5
    assert stats.a12([1, 3], [2, 2]) == 0.5
    assert stats.a12([1, 2, 3], [2]) == pytest.approx((0 + 0.5 + 1) / 3)


@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=30),
    st.lists(st.integers(-5, 5), min_size=1, max_size=30),
)
def test_a12_is_the_share_of_pairs_and_mann_whitneys_u(a: list[int], b: list[int]) -> None:
    pairs = [(x > y) + (x == y) / 2 for x in a for y in b]
    value = stats.a12(a, b)
    assert value == pytest.approx(sum(pairs) / len(pairs))
    assert stats.a12(b, a) == pytest.approx(1 - value)
    assert stats.mann_whitney(a, b).statistic == pytest.approx(value * len(pairs))


def test_the_bootstrap_of_a12_repeats_and_covers() -> None:
    rng = np.random.default_rng(3)
    truth, covered = 0.7602, 0  # of N(1, 1) against N(0, 1): Phi(1 / sqrt(2))
    for _ in range(120):
        effect = stats.a12_interval(rng.normal(1, 1, 25), rng.normal(0, 1, 25), resamples=800, rng=1)
        assert effect.low <= effect.value <= effect.high
        covered += effect.low <= truth <= effect.high
    # 95 % nominal; the percentile bootstrap of 25 values is a little short. P(< 100 of 120 | 0.92) is below
    # 0.1 %.
    assert covered >= 100
    again = [stats.a12_interval([1, 2, 3, 9], [2, 3, 4, 5], rng=7) for _ in range(2)]
    assert again[0] == again[1]


# Critical values of U, two-sided 5 %, from the table of Mann and Whitney: U at most this is significant.
@pytest.mark.parametrize("n, m, critical", [(5, 5, 2), (6, 8, 8), (8, 8, 13)])
def test_mann_whitney_meets_the_table_of_critical_values(n: int, m: int, critical: int) -> None:
    def sample_with_u(u: int) -> tuple[list[float], list[float]]:
        b = [float(2 * j) for j in range(m)]
        a = []
        for _ in range(n):
            step = min(u, m)
            a.append(2 * step - 1 + len(a) * 1e-3)
            u -= step
        return a, b

    for u, significant in ((critical, True), (critical + 1, False)):
        result = stats.mann_whitney(*sample_with_u(u))
        assert result.statistic == u
        assert (result.p <= 0.05) is significant


def test_mann_whitney_of_identical_samples_is_one_and_finite() -> None:
    assert stats.mann_whitney([3, 3, 3], [3, 3]) == (3, 1)


def test_mcnemar_is_the_binomial_test_on_the_discordant_samples() -> None:
    assert stats.mcnemar(0, 0) == 1
    assert stats.mcnemar(5, 0) == pytest.approx(2 * 0.5**5)
    assert stats.mcnemar(5, 0, "greater") == pytest.approx(0.5**5)
    assert stats.mcnemar(59, 6) == pytest.approx(scipy.stats.binomtest(59, 65, 0.5).pvalue)
    assert stats.mcnemar(6, 59, "greater") == pytest.approx(1, abs=1e-9)


def test_holm_on_a_worked_example() -> None:
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([]) == []


@pytest.mark.parametrize("bad", [[], [math.nan], [[1.0]]])
def test_samples_must_be_lists_of_finite_numbers(bad: list[float]) -> None:
    for compare in (stats.a12, stats.mann_whitney, stats.a12_interval):
        with pytest.raises(InvalidArgument, match="non-empty list of finite numbers"):
            compare(bad, [1.0])
