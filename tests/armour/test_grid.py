"""Grids: points, rounding within a budget, and attacks on whole numbers against the best of them."""

from __future__ import annotations

from typing import Any

import linear
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armour import attacks
from armour.bounds import Bounds
from armour.distances import distance
from armour.errors import InvalidArgument
from armour.grid import Grid, OnGrid
from armour.model import CallableModel


def test_points_near_and_far() -> None:
    grid = Grid(0.25, Bounds(-1, 1))
    x = np.array([[-1.0, -0.9, -0.6, 0.13, 0.99, 0.75]], np.float32)
    np.testing.assert_array_equal(grid.nearest(x), [[-1, -1, -0.5, 0.25, 1, 0.75]])
    with pytest.raises(InvalidArgument, match=r"grid -1 \+ k \* 0.25, got -0.9"):
        grid.check(x)
    # 255ths are no exact floats: they stay bit by bit.
    bytes_ = (np.arange(256) / 255).astype(np.float32)[None]
    fine = Grid(1 / 255, Bounds(0, 1))
    fine.check(bytes_)
    np.testing.assert_array_equal(fine.nearest(bytes_), bytes_)
    # A step that does not divide the range: no point beyond its end.
    assert Grid(0.3, Bounds(0, 1)).nearest(np.ones((1, 1), np.float32)) == np.float32(0.9)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    norm=st.sampled_from(["linf", "l2", "l1"]),
    step=st.sampled_from([1.0, 5.0, 0.5]),
    reach=st.floats(0.2, 40),
)
def test_fitted_points_are_on_the_grid_within_the_budget_and_near(
    seed: int, norm: Any, step: float, reach: float
) -> None:
    rng, bounds, size = np.random.default_rng(seed), Bounds(0, 255), 9
    grid, kind = Grid(step, bounds), distance(norm)
    x = grid.nearest(rng.uniform(0, 255, (6, size)).astype(np.float32))
    adv = kind.project(x, (x + rng.normal(0, reach, x.shape)).astype(np.float32), reach, bounds)
    made = grid.fitted(x, adv, kind, reach)
    grid.check(made)
    assert (kind.measure(x, made) <= reach).all() and made.min() >= 0 and made.max() <= 255
    assert (np.abs(made - adv) < step * 1.01).all()
    near = grid.nearest(adv)
    fits = kind.measure(x, near) <= reach
    np.testing.assert_allclose(made[fits], near[fits], rtol=0, atol=2e-4)


@pytest.mark.parametrize("epsilon", [3.0, 3.9])
def test_whole_numbers_on_a_linear_model_are_solved_exactly(epsilon: float) -> None:
    """In linf the best whole point is three steps along every sign; a budget of 3.9 buys no more."""
    model = linear.two_classes(20)
    model.weights /= 255
    model.bounds = type(model.bounds)(0, 255)
    x = np.random.default_rng(0).integers(0, 256, (30, 20)).astype(np.float32)
    x[:, :3] = [0, 255, 2]
    y = model.predict(x)
    slope = linear.slope(model, y)
    best = np.clip(x + 3 * np.sign(slope), 0, 255).astype(np.float32)
    for attack in (attacks.PGD(grid=1), attacks.FGSM(grid=1), attacks.Square(grid=1, queries=300)):
        result = attack.attack(model, x, y, epsilon)
        assert (result.adv == np.rint(result.adv)).all() and (result.distance <= 3).all()
        np.testing.assert_array_equal(result.success[0], model.predict(best) != y)
    left = ~result.success[0]
    assert 0 < left.sum() < 30


def test_255ths_are_used_up_to_the_last_step() -> None:
    """Neither they nor a budget of eight of them are exact in float32: no step may be lost to rounding."""
    model = linear.two_classes(40)
    model.bias[:] = [50, -50]
    x = (np.random.default_rng(0).integers(20, 235, (20, 40)) / 255).astype(np.float32)
    for attack in (attacks.PGD(grid=1 / 255, loss="margin"), attacks.Square(grid=1 / 255, queries=60)):
        result = attack.attack(model, x, np.zeros(20, int), "8/255")
        steps = np.abs(result.adv[0] - x) * 255
        np.testing.assert_allclose(steps, 8, atol=1e-4)


def test_a_model_on_a_grid_is_only_asked_there() -> None:
    seen = []

    def scores(x: np.ndarray) -> np.ndarray:
        seen.append(x.copy())
        return x[:, :2] - 100

    box = CallableModel(scores, bounds=(0, 255), input_shape=(6,), num_classes=2, outputs="logits")
    x = np.full((5, 6), 100, np.float32)
    x[:, 0] = 104
    result = attacks.Square(grid=2, queries=50).attack(box, x, np.zeros(5, int), 5)
    assert all((batch % 2 == 0).all() for batch in seen) and result.success.all()
    assert result.queries == box.counter.queries == sum(len(batch) for batch in seen)
    grid = OnGrid(box, Grid(2, box.bounds))
    assert not grid.can_grad and grid.fingerprint == box.fingerprint and "black box" in grid.obstacle


def test_a_budget_below_a_step_moves_nothing() -> None:
    model = linear.two_classes(5)
    model.bounds = type(model.bounds)(0, 255)
    x = np.full((3, 5), 7, np.float32)
    result = attacks.PGD(grid=1).attack(model, x, model.predict(x), 0.9)
    np.testing.assert_array_equal(result.adv[0], x)
    with pytest.raises(InvalidArgument, match="grid=0"):
        attacks.PGD(grid=0)
