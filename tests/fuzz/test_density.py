"""The density of clean data: what it lets through, what it refuses, and how it is kept."""

import numpy as np
import pytest

from armour.bounds import Bounds
from armour.errors import InvalidArgument
from armour.fuzz.density import Density

UNIT = Bounds(0, 1)


def clean(n, seed=0, size=16):
    """Mixtures of eight fixed patterns and a little noise."""
    patterns = np.random.default_rng(99).uniform(0, 1, (8, 1, size, size))
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(8), n)
    x = np.tensordot(weights, patterns, 1) + 0.01 * rng.standard_normal((n, 1, size, size))
    return np.clip(x, 0, 1).astype(np.float32)


def test_fresh_clean_data_are_within_and_other_data_are_not():
    density = Density.fit(clean(1000), UNIT)
    assert density.axes.shape[1] <= 8
    outside = (density.distance(clean(4000, seed=1)) > 1).mean()
    assert outside < 0.015
    noise = np.random.default_rng(2).uniform(0, 1, (50, 1, 16, 16)).astype(np.float32)
    assert (density.distance(noise) > 1).all()
    assert (density.distance(1 - clean(50)) > 1).all()
    assert (density.distance(clean(50) * np.float32(0.3)) > 1).all()


def test_it_is_mahalanobis_in_the_components_and_the_residual():
    x = clean(400)
    density = Density.fit(x, UNIT)
    y = clean(5, seed=3).reshape(5, -1).astype(np.float64) - density.mean
    axes = density.axes.astype(np.float64)
    scores = y @ axes
    assert axes.T @ axes == pytest.approx(np.eye(axes.shape[1]), abs=1e-5)
    inside = (scores**2 * density.scale).sum(axis=1)
    outside = ((y - scores @ axes.T) ** 2).sum(axis=1)
    expected = np.sqrt(np.maximum(inside / density.limits[0], outside / density.limits[1]))
    assert density.distance(clean(5, seed=3)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("n", [1, 2, 19])
def test_too_few_inputs_refuse_nothing(n):
    density = Density.fit(clean(n), UNIT)
    assert not density.distance(np.ones((3, 1, 16, 16), dtype=np.float32)).any()


@pytest.mark.parametrize("n", [20, 33, 200])
def test_few_inputs_and_constant_inputs_are_fine(n):
    density = Density.fit(clean(n), UNIT)
    assert (density.distance(clean(n)) <= 1).mean() > 0.5
    flat = np.full((n, 3, 8, 8), 0.5, dtype=np.float32)
    density = Density.fit(flat, UNIT)
    assert (density.distance(flat) <= 1).all() and (density.distance(flat + np.float32(0.1)) > 1).all()


def test_bits_do_not_depend_on_the_batch():
    density = Density.fit(clean(300), UNIT)
    x = clean(200, seed=5)
    whole = density.distance(x)
    for group in ([0], [199, 64], list(range(63, 130))):
        assert np.array_equal(density.distance(x[group]), whole[group])
    assert density.distance(x[:0]).shape == (0,)


def test_the_same_data_give_the_same_model_and_it_can_be_kept():
    density, again = Density.fit(clean(300), UNIT), Density.fit(clean(300), UNIT)
    back = Density.from_arrays(density.arrays(), size=256)
    for name, array in density.arrays().items():
        assert np.array_equal(array, again.arrays()[name]) and np.array_equal(array, back.arrays()[name])
    small = Density.fit(clean(3), UNIT)
    assert np.isinf(Density.from_arrays(small.arrays(), size=256).limits).all()


@pytest.mark.parametrize(
    "change",
    [
        {"mean": None},
        {"axes": np.zeros((255, 3), np.float32)},
        {"scale": np.zeros((3, 3), np.float32)},
        {"limits": np.zeros(3, np.float32)},
        {"mean": np.zeros(256, np.float64)},
        {"mean": np.full(256, np.nan, np.float32)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(change):
    arrays = {**Density.fit(clean(300), UNIT).arrays(), **change}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(InvalidArgument, match="expected a float32 array"):
        Density.from_arrays(arrays, size=256)
