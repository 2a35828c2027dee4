"""The least corruption that fools, against closed forms and a fine grid; random noise at the budget."""

from __future__ import annotations

from typing import Any

import linear
import numpy as np
import pytest
from attack_contract import length

from armour import attacks
from armour.noise import impulse_noise, uniform_noise
from armour.rng import by_content


def test_the_least_loss_of_contrast_of_a_linear_model() -> None:
    """Along the straight way to grey the margin falls in proportion: where it is 0 is known."""
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(12, 2))
    model = linear.LinearModel(weights, -weights.sum(axis=0) / 2 + [0.0, 0.3])  # grey is of class 1
    x = linear.inputs(model, 60, seed=1)
    y = model.predict(x)
    grey = np.full_like(x, 0.5)
    before, after = linear.margin(model, x, y), linear.margin(model, grey, y)
    result = attacks.Contrast(queries=40).attack(model, x, y)
    possible = after < 0
    np.testing.assert_array_equal(result.success[0], possible)
    assert 10 < possible.sum() < 60
    share = (before / (before - after))[possible]
    least = share * length("l2", x, grey)[possible]
    ratio = result.distance[0][possible] / least
    assert ratio.min() > 1 - 1e-5 and ratio.max() < 1.041


@pytest.mark.parametrize(
    ("name", "function"), [("salt-and-pepper", impulse_noise), ("uniform-noise", uniform_noise)]
)
def test_the_least_strength_of_a_draw_is_on_a_fine_grid(name: str, function: Any) -> None:
    """The first draw's own least strength, by brute force; further draws only lower what is found."""
    model = linear.two_classes(d=64)
    x = linear.inputs(model, 40, seed=4)
    y = model.predict(x)
    one = attacks.get(name)(draws=1).attack(model, x, y, rng=9)
    many = attacks.get(name)(draws=100).attack(model, x, y, rng=9)
    hit = one.success[0]
    assert many.success[0][hit].all() and (many.distance[0][hit] <= one.distance[0][hit] + 1e-9).all()
    assert many.distance[0][hit].mean() < 0.8 * one.distance[0][hit].mean() and hit.sum() > 5
    grid = np.linspace(0, 1, 513, dtype=np.float32)[1:]
    for i in np.flatnonzero(hit):
        streams = by_content(np.random.default_rng(9), x).child(0)[[i] * 512]
        points = function(x.reshape(40, 1, 64, 1)[[i] * 512], grid, streams, model.bounds).reshape(512, 64)
        hits = model.predict(points) != y[i]
        # A strength may fool, and a larger one not: the search ends at the start of some such range.
        starts = np.flatnonzero(hits & ~np.r_[False, hits[:-1]])
        reached = [length(one.norm, x[i : i + 1], points[k : k + 1])[0] for k in starts]
        assert min(abs(one.distance[0, i] / r - 1) for r in reached) < 0.08


@pytest.mark.parametrize(("norm", "budget"), [("linf", 0.02), ("l2", 0.1), ("l1", 0.3), ("l0", 3)])
def test_noise_spends_the_whole_budget(norm: Any, budget: float) -> None:
    """Every point asked about is at the budget's edge, and no two are the same."""

    class Seen(linear.LinearModel):
        def _forward(self, x: np.ndarray) -> np.ndarray:
            asked.append(x)
            return super()._forward(x)

    asked: list[np.ndarray] = []
    model = Seen(np.zeros((30, 2)), np.array([1.0, 0.0]))
    x = np.random.default_rng(0).uniform(0.3, 0.7, (5, 30)).astype(np.float32)
    result = attacks.Noise(norm=norm, queries=20).attack(model, x, np.zeros(5, int), budget)
    assert not result.success.any() and (result.spent == 20).all()
    points = np.stack(asked[1:-1])
    assert points.shape == (20, 5, 30)
    for point in points:
        np.testing.assert_allclose(length(norm, x, point), budget, rtol=1e-4)
    # In l1 this budget is one value taken part of the way to a bound: of 30, up or down.
    assert len(np.unique(points.reshape(100, 30), axis=0)) > (40 if norm == "l1" else 99)


def test_noise_finds_what_chance_finds() -> None:
    """On one steep value in linf, half of the corners break a sample: hardly one survives 12 points."""
    weights = np.zeros((20, 2))
    weights[0, 1] = 1.0
    model = linear.LinearModel(weights, np.array([0.55, 0.0]))
    x = np.random.default_rng(0).uniform(0.4, 0.6, (200, 20)).astype(np.float32)
    x[:, 0] = 0.5
    y = model.predict(x)
    once = attacks.Noise(queries=1).attack(model, x, y, 0.1)
    assert abs(once.success.mean() - 0.5) < 0.12
    assert attacks.Noise(queries=12).attack(model, x, y, 0.1).success.mean() > 0.98
    assert not attacks.Noise(queries=50).attack(model, x, y, 0.04).success.any()
