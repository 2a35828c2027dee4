"""Distances: measures, uniform balls, steepest directions, and text for budgets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kstest

from armour.bounds import Bounds
from armour.distances import Distance, distance, l0, l1, l2, linf, parse_epsilon
from armour.errors import InvalidArgument, UnsupportedError
from armour.rng import per_item

BALLS = [l1, l2, linf]
balls = pytest.mark.parametrize("ball", BALLS, ids=repr)
UNIT = Bounds(0, 1)
ORDER = {"l1": 1, "l2": 2, "linf": np.inf}


def norm(ball: Distance, delta: np.ndarray) -> np.ndarray:
    return np.linalg.norm(delta.reshape(len(delta), -1).astype(np.float64), ORDER[ball.name], axis=1)


def images(rng: np.random.Generator, n: int, bounds: Bounds = UNIT) -> np.ndarray:
    x = rng.uniform(bounds.low, bounds.high, (n, 2, 4, 3))
    x[rng.random(x.shape) < 0.3] = bounds.low
    x[rng.random(x.shape) < 0.2] = bounds.high
    return x.astype(np.float32)


@balls
def test_measure_against_numpy(ball: Distance, rng: np.random.Generator) -> None:
    x, adv = images(rng, 7), images(rng, 7)
    got = ball.measure(x, adv)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, norm(ball, adv.astype(np.float64) - x), rtol=1e-12)
    assert ball.measure(x[:0], adv[:0]).shape == (0,)
    with pytest.raises(InvalidArgument, match="one shape"):
        ball.measure(x, adv[:3])


def test_l0_counts_changed_values() -> None:
    x = np.zeros((2, 1, 2, 2), np.float32)
    adv = x.copy()
    adv[0, 0, 0, 0], adv[0, 0, 1, 1] = 1e-30, -1
    np.testing.assert_array_equal(l0.measure(x, adv), [2, 0])
    clipped = l0.project(x, adv, 1, Bounds(-1, 1))
    assert clipped[0, 0, 1, 1] == -1 and clipped[0, 0, 0, 0] == 0
    with pytest.raises(UnsupportedError, match="uniform"):
        l0.region(x, 1, Bounds(-1, 1)).start(per_item(np.random.default_rng(0), 2))
    with pytest.raises(UnsupportedError, match="steepest"):
        l0.region(x, 1, Bounds(-1, 1)).step(x, adv, 0.1)


def test_distance_by_name() -> None:
    assert distance("l2") is l2 and repr(linf) == "linf"
    with pytest.raises(InvalidArgument, match="unknown norm 'l3'"):
        distance("l3")  # type: ignore[arg-type]


@balls
@pytest.mark.parametrize("d", [1, 2, 5])
def test_samples_are_uniform_in_the_ball(ball: Distance, d: int) -> None:
    """The share of the ball within radius r is r^d, and a cube inside has its share of the volume."""
    n, radius = 20_000, 2.5
    z = ball.sample_ball(per_item(np.random.default_rng(4), n), d, np.full(n, radius))
    length = norm(ball, z) / radius
    assert length.max() <= 1
    assert kstest(length**d, "uniform").pvalue > 0.01
    # Every coordinate's sign is fair, and coordinates are exchangeable.
    assert np.abs(np.sign(z).mean(axis=0)).max() < 0.03
    np.testing.assert_allclose((z**2).mean(axis=0), (z**2).mean(), rtol=0.06)
    # A cube that fits in each ball: uniform density in it, so uniform marginals.
    side = radius / d
    inner = z[(np.abs(z) <= side).all(axis=1)]
    volume = {"l1": (2 * radius) ** d / math.factorial(d), "linf": (2 * radius) ** d}.get(
        ball.name, math.pi ** (d / 2) * radius**d / math.gamma(d / 2 + 1)
    )
    expected = (2 * side) ** d / volume
    assert len(inner) / n == pytest.approx(expected, abs=5 * math.sqrt(expected / n) + 1e-3)


@balls
def test_samples_belong_to_the_item(ball: Distance) -> None:
    """A stream gives the same point in any batch, and different points in turn."""
    streams = per_item(np.random.default_rng(0), 6)
    all_of_them = ball.sample_ball(streams[:], 9, np.ones(6))
    np.testing.assert_array_equal(ball.sample_ball(streams[2:4], 9, np.ones(2)), all_of_them[2:4])
    assert len(np.unique(all_of_them)) == all_of_them.size


@balls
def test_steepest_has_length_one_and_goes_up(ball: Distance, rng: np.random.Generator) -> None:
    gradient = rng.normal(size=(5, 200)).astype(np.float32) * np.float32(1e-25)
    low, high = np.full((5, 200), -1, np.float32), np.full((5, 200), 1, np.float32)
    direction = ball.steepest(gradient, low, high)
    assert direction.dtype == np.float32
    np.testing.assert_allclose(norm(ball, direction), 1, rtol=1e-5)
    assert (direction * gradient >= 0).all()
    if ball is not l1:  # the l1 direction is spread over the steepest few
        dual = {"l2": 2, "linf": 1}[ball.name]
        best = np.linalg.norm(gradient.astype(np.float64), dual, axis=1)
        np.testing.assert_allclose((direction.astype(np.float64) * gradient).sum(axis=1), best, rtol=1e-5)
    gradient[2] = 0
    assert (ball.steepest(gradient, low, high)[2] == 0).all()
    assert (ball.steepest(gradient * 0, low, high) == 0).all()


def test_zero_gradients_stay_zero_in_linf(rng: np.random.Generator) -> None:
    gradient = rng.normal(size=(2, 30)).astype(np.float32)
    gradient[:, ::3] = 0
    assert (linf.steepest(gradient, gradient, gradient)[:, ::3] == 0).all()


def test_l1_steps_are_sparse_and_waste_nothing_at_the_bounds() -> None:
    """Of 200 coordinates the steepest 4 that can move take the whole step."""
    gradient = np.arange(1, 201, dtype=np.float32)[None]
    low, high = np.full((1, 200), -1, np.float32), np.full((1, 200), 1, np.float32)
    high[0, 197:] = 0  # the three steepest are at their bound
    direction = l1.steepest(gradient, low, high)[0]
    free = np.r_[193:197]
    assert (np.delete(direction[:197], free) == 0).all()
    np.testing.assert_allclose(direction[free].sum(), 1, rtol=1e-6)
    assert (direction[197:] > 0).all(), "they push on against their bound"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8/255", 8 / 255),
        (" 8 / 255 ", 8 / 255),
        ("0.1", 0.1),
        ("1e-3", 1e-3),
        (0, 0.0),
        (np.float32(0.5), 0.5),
        (1, 1.0),
    ],
)
def test_parse_epsilon(text: str | float, value: float) -> None:
    assert parse_epsilon(text) == value and type(parse_epsilon(text)) is float


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "/",
        "8/",
        "/255",
        "8/255/2",
        "8/0",
        "1/-2",
        "nan",
        "inf",
        "-1",
        "eight",
        None,
        True,
        [0.1],
        np.inf,
        "0x10",
        "9" * 400,
    ],
)
def test_parse_epsilon_refuses(bad: object) -> None:
    with pytest.raises(InvalidArgument, match="at or above 0"):
        parse_epsilon(bad)  # type: ignore[arg-type]
