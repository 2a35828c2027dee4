"""The order in which samples are chosen."""

from __future__ import annotations

import numpy as np
import pytest

from armour.subset import stratified_order


@pytest.mark.parametrize("seed", range(5))
def test_every_beginning_has_the_proportions(seed: int) -> None:
    labels = np.random.default_rng(seed).choice(4, 1000, p=[0.5, 0.3, 0.19, 0.01])
    order = stratified_order(labels, np.random.default_rng(seed))
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    share = np.bincount(labels, minlength=4) / 1000
    for n in (10, 50, 137, 500, 1000):
        assert np.abs(np.bincount(labels[order[:n]], minlength=4) - n * share).max() <= 1.0001


def test_order_is_random_within_a_class_and_depends_on_the_seed_alone() -> None:
    labels = np.repeat(np.arange(3), 100)
    first, again, other = (stratified_order(labels, np.random.default_rng(s)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    members = first[labels[first] == 1]
    assert (np.diff(members) < 0).any()


def test_few_samples() -> None:
    rng = np.random.default_rng(0)
    assert stratified_order(np.zeros(0, np.int64), rng).tolist() == []
    assert stratified_order(np.array([7]), rng).tolist() == [0]
