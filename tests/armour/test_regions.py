"""Regions: float32 points inside ball and box as they stand, using the whole budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armour.bounds import Bounds
from armour.distances import Distance, l1, l2, linf
from armour.rng import per_item

balls = pytest.mark.parametrize("ball", [l1, l2, linf], ids=repr)
UNIT = Bounds(0, 1)


def images(rng: np.random.Generator, n: int, bounds: Bounds = UNIT) -> np.ndarray:
    x = rng.uniform(bounds.low, bounds.high, (n, 2, 4, 3))
    x[rng.random(x.shape) < 0.3] = bounds.low
    x[rng.random(x.shape) < 0.2] = bounds.high
    return x.astype(np.float32)


@balls
@pytest.mark.parametrize("bounds", [Bounds(0, 1), Bounds(0, 255), Bounds(-2.1, 2.64)], ids=str)
@given(seed=st.integers(0, 2**32), share=st.sampled_from([1e-6, 1e-3, 0.03, 0.5]))
def test_region_in_float32(ball: Distance, bounds: Bounds, seed: int, share: float) -> None:
    """Whatever a region hands out is a float32 point inside ball and box as it stands, without tolerance."""
    rng = np.random.default_rng(seed)
    x = images(rng, 5, bounds)
    epsilon = share * ball.longest(24, bounds.span)
    region = ball.region(x, epsilon, bounds)
    gradient = rng.normal(size=x.shape).astype(np.float32)
    start = region.start(per_item(rng, 5))
    wild = (x + rng.normal(size=x.shape) * bounds.span).astype(np.float32)
    for point in (
        start,
        region.step(start, gradient, 0.3),
        region.furthest(gradient),
        region.project(wild.copy()),
    ):
        assert point.dtype == np.float32 and point.shape == x.shape
        assert point.min() >= np.float32(bounds.low) and point.max() <= np.float32(bounds.high)
        assert (ball.measure(x, point) <= epsilon).all()
        kept = point.copy()
        assert region.project(kept).tobytes() == point.tobytes(), "a point inside is not touched"
        np.testing.assert_array_equal(region[1:3].project(kept[1:3]), point[1:3])
    np.testing.assert_array_equal(ball.project(x, wild, epsilon, bounds), region.project(wild.copy()))
    assert region.project(x.copy()).tobytes() == x.tobytes()
    assert len(region) == 5 and len(region[np.array([True, False, True, False, False])]) == 2


@balls
def test_region_uses_the_whole_budget(ball: Distance, rng: np.random.Generator) -> None:
    """Rounding towards x costs next to nothing: projected points are at distance epsilon, not below."""
    x = rng.uniform(0.3, 0.7, (20, 1, 28, 28)).astype(np.float32)
    epsilon = {"l1": 10.0, "l2": 1.0, "linf": 8 / 255}[ball.name]
    region = ball.region(x, epsilon, Bounds(0, 1))
    wild = (x + rng.normal(size=x.shape)).astype(np.float32)
    for point in (region.project(wild), region.furthest(wild - 0.5)):
        np.testing.assert_allclose(ball.measure(x, point), epsilon, rtol=2e-6)


@balls
def test_radius_per_row(ball: Distance, rng: np.random.Generator) -> None:
    x, wild = images(rng, 4), images(rng, 4)
    radii = np.array([0.01, 0.0, 0.5, 100.0])
    got = ball.project(x, wild, radii, Bounds(0, 1))
    for i, radius in enumerate(radii):
        row = slice(i, i + 1)
        np.testing.assert_array_equal(got[row], ball.project(x[row], wild[row], radius, Bounds(0, 1)))
    assert got[1].tobytes() == x[1].tobytes() and got[3].tobytes() == wild[3].tobytes()


@balls
def test_inputs_just_outside_the_bounds_stay_where_they_are(ball: Distance) -> None:
    """Models accept float32 rounding beyond their bounds; such an input is still its own neighbour."""
    x = np.full((1, 1, 2, 2), np.nextafter(np.float32(1), np.float32(2)))
    region = ball.region(x, 0.1, Bounds(0, 1))
    assert region.project(x.copy()).tobytes() == x.tobytes()


@balls
def test_empty_batches(ball: Distance) -> None:
    x = np.zeros((0, 1, 3, 3), np.float32)
    region = ball.region(x, 0.1, Bounds(0, 1))
    streams = per_item(np.random.default_rng(0), 0)
    for point in (region.project(x), region.step(x, x, 1.0), region.furthest(x), region.start(streams)):
        assert point.shape == x.shape
