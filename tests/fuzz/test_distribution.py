"""NLC and SCC against naive loops and tables by hand."""

from __future__ import annotations

import numpy as np
import pytest

from armour.errors import InvalidArgument
from armour.fuzz.coverage import NLC, SCC


def test_nlc_by_hand() -> None:
    criterion = NLC()
    # One neuron: (0) begins; (2) makes the variance 1; (1), the mean, would lower it and is left out;
    # (4) makes it that of 0, 2, 4, which is 8 / 3.
    gain = criterion.update({"a": np.array([[0.0], [2.0], [1.0], [4.0]])})
    np.testing.assert_allclose(gain, [0, 1, 0, 8 / 3 - 1])
    assert criterion.value == pytest.approx(8 / 3)


def naive(rows: np.ndarray) -> tuple[list[bool], float]:
    """Which rows enter, from whole covariances each time, and the mean absolute covariance at the end."""
    kept: list[np.ndarray] = []
    entered, size = [], 0.0
    for row in rows:
        trial = np.cov(np.array([*kept, row]).T, bias=True).reshape(-1)
        mean = float(np.abs(trial).mean())
        entered.append(not kept or mean > size)
        if entered[-1]:
            kept, size = [*kept, row], mean
    return entered, size


@pytest.mark.parametrize("width", [1, 2, 7])
def test_nlc_as_naive_loops_do(width: int) -> None:
    rng = np.random.default_rng(width)
    rows = rng.normal(size=(60, width)) @ (rng.normal(size=(width, width)) + np.eye(width))
    criterion = NLC()
    gain = criterion.update({"a": rows})
    entered, size = naive(rows)
    assert (gain[1:] > 0).tolist() == entered[1:] and criterion.value == pytest.approx(size, rel=1e-9)
    assert 3 < sum(entered) < 50


def test_nlc_depends_on_the_order_and_says_so() -> None:
    rows = np.random.default_rng(1).normal(size=(50, 3))
    one, two = NLC(), NLC()
    one.update({"a": rows}), two.update({"a": rows[::-1]})
    assert one.value != pytest.approx(two.value, rel=1e-3)
    # A larger set may have a smaller value: what entered first keeps others out.
    values = []
    for start in range(10):
        criterion = NLC()
        criterion.update({"a": rows[start:]})
        values.append(criterion.value)
    assert (np.diff(values) > 0).any()
    with pytest.raises(InvalidArgument, match="use one island"):
        one.merge(two)


def test_nlc_starts_from_clean_data() -> None:
    rng = np.random.default_rng(2)
    clean = {"a": rng.normal(size=(100, 4)), "b": rng.normal(size=(100, 2)) * 10}
    criterion = NLC.fit(clean)
    expected = sum(np.abs(np.cov(part.T, bias=True)).mean() for part in clean.values())
    assert criterion.total == pytest.approx(expected) and criterion.value == 1.0
    wide = {name: part * 3 for name, part in clean.items()}
    gain = criterion.update(wide)
    assert criterion.value == pytest.approx(1 + gain.sum()) and criterion.value > 1.5
    many = NLC.fit({"a": rng.normal(size=(9, 1000))})
    assert many.arrays()["0.cov"].shape == (256, 256)


def test_scc_by_hand() -> None:
    # Two neurons measured in steps of 1 / 1024: the first always moves by 1, the second by 0 or 2.
    criterion = SCC(least=3, tolerance=1.0)
    before = np.zeros((4, 2))
    after = np.array([[1.0, 0.0], [-1.0, 2.0], [1.0, 0.0], [1.0, 2.0]])
    # The first has converged with the third mutant. The second has mean 2 / 3 and half width 1.31 then;
    # with the fourth its mean is 1, its half width 1.96 * sqrt(4 / 3) / 2 = 1.13.
    assert criterion.update({"a": after}, {"a": before}).tolist() == [0, 0, 1, 0]
    assert criterion.value == 1 / 2
    assert criterion.update({"a": after}, {"a": before}).tolist() == [0, 1, 0, 0]
    assert criterion.value == 1.0


def test_scc_is_a_statement_about_the_mean() -> None:
    """Among neurons said to have converged, about 95 % have a mean within the tolerance."""
    rng = np.random.default_rng(3)
    criterion = SCC(scale=1.0, tolerance=0.1)
    moved = np.abs(rng.normal(1.0, 0.5, size=(100, 2000)))
    criterion.update({"a": moved}, {"a": np.zeros_like(moved)})
    true = np.abs(np.random.default_rng(4).normal(1.0, 0.5, 10**6)).mean()
    close = np.abs(moved.mean(axis=0) / true - 1) < 0.1
    assert criterion.value > 0.5 and close.mean() > 0.93


def test_scc_may_fall_and_needs_originals() -> None:
    criterion = SCC(least=2, tolerance=0.5)
    still = {"a": np.zeros((3, 1))}
    assert criterion.update(still, still).tolist() == [0, 1, 0]  # a neuron that never moved
    assert criterion.update({"a": np.array([[5.0]])}, {"a": np.zeros((1, 1))}).tolist() == [-1]
    assert criterion.value == 0.0
    with pytest.raises(InvalidArgument, match="the originals as well"):
        criterion.update(still)
    with pytest.raises(InvalidArgument, match="as many originals as samples, got 1 and 3"):
        criterion.update(still, {"a": np.zeros((1, 1))})
    with pytest.raises(InvalidArgument, match="scale of 1 neurons"):
        SCC(scale=np.ones(2)).update(still, still)
    with pytest.raises(InvalidArgument, match="scale above 0"):
        SCC(scale=0.0)


def test_scc_is_not_the_step_size_of_a_walk() -> None:
    """MindArmour's acceptance rate is a function of the mean sensitivity: small steps always "converge".

    Two neurons of one mean, one steady and one wild, must not be the same.
    """
    criterion = SCC(tolerance=0.05)
    n = 40
    moved = np.stack([np.full(n, 0.01), np.where(np.arange(n) % 20 == 0, 0.2, 0.0)], axis=1)
    assert moved.mean(axis=0) == pytest.approx([0.01, 0.01])
    criterion.update({"a": moved}, {"a": np.zeros((n, 2))})
    assert criterion.value == 1 / 2
