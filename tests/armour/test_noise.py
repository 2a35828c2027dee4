"""Noise: its statistics, which are its definition."""

import numpy as np
import pytest
from scipy import stats

from armour import noise
from armour.bounds import Bounds
from armour.rng import generator, per_item

WIDE = Bounds(-10, 10)  # so wide that nothing is clipped
GREY = np.full((40, 2, 50, 50), 0.5, dtype=np.float32)


def streams(n=40, seed=0):
    return per_item(generator(seed), n)


def full(value, n=40):
    return np.full(n, value, dtype=np.float32)


def test_gaussian_noise_is_normal_and_independent():
    change = (noise.gaussian_noise(GREY, full(0.01), streams(), WIDE) - GREY) / (0.01 * 20)
    assert abs(change.mean()) < 0.01 and change.std() == pytest.approx(1, abs=0.01)
    assert stats.kstest(change.ravel()[::7], "norm").pvalue > 1e-3
    assert abs(np.corrcoef(change.reshape(40, -1)) - np.eye(40)).max() < 0.08
    flat = change.reshape(40, -1)
    assert abs((flat[:, 1:] * flat[:, :-1]).mean()) < 0.01


def test_uniform_noise_fills_its_range():
    change = (noise.uniform_noise(GREY, full(0.02), streams(), WIDE) - GREY) / 0.4
    assert -1 <= change.min() < -0.999 and 0.999 < change.max() <= 1
    assert stats.kstest(change.ravel()[::7], "uniform", args=(-1, 2)).pvalue > 1e-3


def test_speckle_noise_grows_with_the_value():
    x = GREY.copy()
    x[:, 1] = 0.25
    ratio = noise.speckle_noise(x, full(0.1), streams(), Bounds(0, 1)) / x
    for channel in range(2):
        assert ratio[:, channel].mean() == pytest.approx(1, abs=0.01)
        assert ratio[:, channel].std() == pytest.approx(0.1, abs=0.002)
    black = np.zeros_like(x)
    assert np.array_equal(noise.speckle_noise(black, full(0.1), streams(), Bounds(0, 1)), black)


@pytest.mark.parametrize("mean", [0.25, 1, 4, 30, 200])
def test_shot_noise_has_the_moments_of_poisson_counts(mean):
    photons = 400.0
    x = np.full((40, 1, 60, 60), mean / photons, dtype=np.float32)
    counts = noise.shot_noise(x, full(photons**-0.5), streams(seed=int(mean * 4)), Bounds(0, 1)) * photons
    assert abs(counts - np.rint(counts)).max() < 1e-3 and counts.min() >= 0
    assert counts.mean() == pytest.approx(mean, rel=0.02, abs=0.06)
    assert counts.var() == pytest.approx(mean, rel=0.1 if mean < 1 else 0.05, abs=0.06)
    if mean >= 4:
        assert stats.skew(counts.ravel()) == pytest.approx(mean**-0.5, abs=0.05)


def test_shot_noise_leaves_black_black():
    black = np.zeros((40, 1, 20, 20), dtype=np.float32)
    assert not noise.shot_noise(black, full(0.2), streams(), Bounds(0, 1)).any()


def test_impulse_noise_is_salt_and_pepper_in_equal_shares():
    out = noise.impulse_noise(GREY, full(0.1), streams(), Bounds(-2, 3))
    assert set(np.unique(out)) == {-2.0, 0.5, 3.0}
    assert (out == -2).mean() == pytest.approx(0.05, abs=0.002)
    assert (out == 3).mean() == pytest.approx(0.05, abs=0.002)
    more = noise.impulse_noise(GREY, full(0.2), streams(), Bounds(-2, 3))
    assert ((out == GREY) | (more == out)).all(), "a stronger noise keeps the pixels of a weaker one"
