"""Randomness: seeds, and streams whose draws do not depend on batch mates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from armour.errors import InvalidArgument
from armour.rng import Streams, generator, per_item


def test_zero_is_a_seed_and_a_generator_passes_through():
    assert generator(0).integers(1 << 30) == np.random.default_rng(0).integers(1 << 30)
    rng = np.random.default_rng(3)
    assert generator(rng) is rng
    assert generator(np.int64(4)).random() == np.random.default_rng(4).random()


@pytest.mark.parametrize("bad", [None, -1, 1.5, "0", True, np.random.RandomState(0)])
def test_other_things_are_refused(bad):
    with pytest.raises(InvalidArgument, match="expected an int at or above 0 or a numpy"):
        generator(bad)


@given(n=st.integers(1, 40), seed=st.integers(0, 2**32), data=st.data())
def test_a_draw_depends_on_the_item_alone(n, seed, data):
    streams = per_item(generator(seed), n)
    chosen = data.draw(st.lists(st.integers(0, n - 1), max_size=8))
    for draw in ("uniform", "normal", "bits"):
        alone = getattr(streams[np.array(chosen, int)].child(2), draw)((3, 5))
        together = getattr(streams.child(2), draw)((3, 5))[chosen]
        np.testing.assert_array_equal(alone, together)


def test_a_longer_batch_keeps_the_shorter_ones_streams():
    np.testing.assert_array_equal(per_item(generator(1), 9).keys[:4], per_item(generator(1), 4).keys)


def test_consecutive_draws_differ_and_continue():
    whole = Streams(np.array([5, 6])).bits((8,))
    parts = Streams(np.array([5, 6]))
    np.testing.assert_array_equal(np.concatenate([parts.bits((3,)), parts.bits((5,))], axis=1), whole)


def test_distributions():
    streams = per_item(generator(7), 200)
    uniform = streams.child(0).uniform((500,), low=-1, high=3)
    assert uniform.dtype == np.float32
    assert uniform.min() >= -1
    assert uniform.max() < 3
    assert stats.kstest(uniform.ravel(), stats.uniform(-1, 4).cdf).pvalue > 1e-3
    normal = streams.child(1).normal((501,), dtype=np.float64)
    assert stats.kstest(normal.ravel(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(normal[:, 0], normal[:, 1])[0, 1]) < 0.25
    counts = np.bincount(streams.child(2).integers(7, (700,)).ravel(), minlength=7)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_labels_and_keys_give_unrelated_streams():
    draws = [per_item(generator(0), 2).child(label).uniform((4000,), dtype=np.float64) for label in range(3)]
    flat = np.concatenate(draws)
    correlations = np.corrcoef(flat) - np.eye(6)
    assert np.abs(correlations).max() < 0.08


def test_normals_are_finite_even_for_extreme_words():
    class Extreme(Streams):
        def bits(self, shape=()):
            return np.array([[0, 2**64 - 1]], dtype=np.uint64)

    assert np.isfinite(Extreme(np.array([1])).normal((4,))).all()
