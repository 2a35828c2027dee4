"""Surprise adequacy against SciPy's density, naive loops and tables by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import gaussian_kde

from armour.errors import InvalidArgument
from armour.fuzz.coverage import DSA, LSA

ONE_CLASS = np.array([1.0, 0.0])


def with_logits(points: np.ndarray, classes: np.ndarray) -> dict[str, np.ndarray]:
    """A hidden layer, and logits that predict these classes."""
    return {"hidden": points, "logits": np.eye(3)[classes]}


def test_lsa_is_scipys_density_for_one_class() -> None:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(4, 4)) + 2 * np.eye(4)
    clean, asked = rng.normal(size=(80, 4)) @ mix, rng.normal(size=(25, 4)) @ mix * 1.5
    zeros = np.zeros(80, np.int64)
    found = LSA(clean=with_logits(clean, zeros)).surprise(with_logits(asked, zeros[:25]))
    np.testing.assert_allclose(found, -gaussian_kde(clean.T).logpdf(asked.T), rtol=1e-9)


def test_lsa_by_class_as_naive_loops_do() -> None:
    rng = np.random.default_rng(1)
    classes = rng.integers(0, 3, 60)
    clean = rng.normal(size=(60, 3)) + 5 * classes[:, None]
    asked, own = rng.normal(size=(20, 3)) * 2 + 5, rng.integers(0, 3, 20)
    within = np.zeros((3, 3))
    for label in range(3):
        part = clean[classes == label]
        within += (len(part) - 1) * np.cov(part.T)
    within /= 60 - 3
    expected = []
    for row, label in zip(asked, own, strict=True):
        part = clean[classes == label]
        width = len(part) ** (-1 / 7)
        inverse, volume = np.linalg.inv(within * width**2), np.linalg.det(2 * np.pi * within * width**2)
        density = np.mean([np.exp(-0.5 * (row - p) @ inverse @ (row - p)) for p in part]) / np.sqrt(volume)
        expected.append(-np.log(density))
    found = LSA(clean=with_logits(clean, classes)).surprise(with_logits(asked, own))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("width", [200, 1000])
def test_lsa_is_finite_and_orders_well_with_more_neurons_than_samples(width: int) -> None:
    rng = np.random.default_rng(2)
    clean, more = rng.normal(size=(2, 100, width))
    clean[:, : width // 2] = more[:, : width // 2] = 1.0  # dead
    more[:, 0] += 1e-12
    classes = rng.integers(0, 3, 100)
    criterion = LSA(clean=with_logits(clean, classes))
    near, far = (criterion.surprise(with_logits(more * f, classes)) for f in (1.0, 3.0))
    assert np.isfinite(near).all() and np.isfinite(far).all() and (far > near).all()
    assert np.isfinite(criterion.limits).all()
    with pytest.raises((np.linalg.LinAlgError, ValueError)):
        gaussian_kde(clean.T)  # the published implementation's estimate


def test_dsa_by_hand() -> None:
    # On a line: class 0 at 0 and 1, class 1 at 4 and 10.
    clean = with_logits(np.array([[0.0], [1.0], [4.0], [10.0]]), np.array([0, 0, 1, 1]))
    asked = with_logits(np.array([[2.0], [-1.0], [5.0], [1.0], [8.0]]), np.array([0, 0, 1, 0, 1]))
    # 2 -> 1 (1), which is 3 from 4; -1 -> 0 (1), 4 from 4; 5 -> 4 (1), 3 from 1; 1 -> 1;
    # 8 -> 10 (2), 9 from 1.
    expected = [1 / 3, 1 / 4, 1 / 3, 0.0, 2 / 9]
    criterion = DSA(clean=clean, limits=(0.0, 1.0), buckets=4)
    np.testing.assert_allclose(criterion.surprise(asked), expected, rtol=1e-12)
    # Buckets of a quarter: 1, 1, 1, 0, 0.
    assert criterion.update(asked).tolist() == [1, 0, 0, 1, 0]
    assert criterion.value == 2 / 4


def test_dsa_as_naive_loops_do() -> None:
    rng = np.random.default_rng(3)
    classes, own = rng.integers(0, 3, 70), rng.integers(0, 3, 40)
    clean, asked = rng.normal(size=(70, 6)), rng.normal(size=(40, 6)) * 2
    expected = []
    for row, label in zip(asked, own, strict=True):
        same, others = clean[classes == label], clean[classes != label]
        apart = [float(np.linalg.norm(row - p)) for p in same]
        nearest = same[int(np.argmin(apart))]
        expected.append(min(apart) / min(float(np.linalg.norm(nearest - p)) for p in others))
    found = DSA(clean=with_logits(clean, classes)).surprise(with_logits(asked, own))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("kind", [LSA, DSA])
def test_surprise_is_larger_off_the_data_and_infinite_where_nothing_is_known(
    kind: type[LSA] | type[DSA],
) -> None:
    rng = np.random.default_rng(4)
    classes = rng.integers(0, 2, 90)  # nobody is of class 2
    clean = rng.normal(size=(90, 5)) + 4 * classes[:, None]
    criterion = kind(clean=with_logits(clean, classes))
    usual = criterion.surprise(with_logits(clean + 0.1, classes))
    odd = criterion.surprise(with_logits(clean + 9, classes))
    assert np.median(odd) > np.quantile(usual, 0.99)
    unknown = with_logits(clean[:2], np.array([2, 2]))
    assert criterion.surprise(unknown).tolist() == [np.inf, np.inf]
    assert criterion.update(unknown).tolist() == [0, 0]
    broken = with_logits(np.full((1, 5), np.nan), np.array([0]))
    assert criterion.surprise(broken).tolist() == [np.inf]


@pytest.mark.parametrize("kind", [LSA, DSA])
def test_limits_hold_the_clean_data_and_as_much_again(kind: type[LSA] | type[DSA]) -> None:
    rng = np.random.default_rng(5)
    classes = rng.integers(0, 3, 120)
    clean, more = rng.normal(size=(2, 120, 4)) + 3 * classes[:, None]
    criterion = kind(clean=with_logits(clean, classes), buckets=10)
    low, high = criterion.limits
    fresh = criterion.surprise(with_logits(more, classes))
    assert ((fresh >= low) & (fresh <= high)).mean() > 0.95
    assert 0.2 < criterion.update(with_logits(more, classes)).sum() / 10 < 0.9


def test_bad_settings_are_refused() -> None:
    rng = np.random.default_rng(6)
    given = with_logits(rng.normal(size=(9, 2)), np.arange(9) % 3)
    with pytest.raises(InvalidArgument, match="the layer 'other', got hidden, logits"):
        LSA(clean=given, layer="other")
    with pytest.raises(InvalidArgument, match="limits"):
        LSA(clean=given, limits=(1.0, 1.0))
    with pytest.raises(InvalidArgument, match="two classes"):
        DSA(clean=with_logits(given["hidden"], np.zeros(9, np.int64)))
    with pytest.raises(InvalidArgument, match="neurons vary"):
        LSA(clean=with_logits(np.ones((9, 2)), np.zeros(9, np.int64)))
    with pytest.raises(InvalidArgument, match="got 1"):
        LSA(clean=with_logits(np.ones((1, 2)), np.zeros(1, np.int64)))
