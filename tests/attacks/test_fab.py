"""FAB and targeted FAB: the exact minima of linear and affine models, and what the budgets save."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import linear
import numpy as np
import pytest

from armour import attacks, criteria
from armour.contract import LossFn, Model, input_gradient
from armour.distances import distance
from armour.errors import InvalidArgument
from armour.tensor import Tensor

NORMS = ("linf", "l2", "l1")
BOTH = pytest.mark.parametrize("name", ["fab", "fab-t"])


def minima(model: linear.LinearModel, x: np.ndarray, y: np.ndarray, norm: Any) -> np.ndarray:
    """(n,) distances to the nearest other class inside the bounds, in float64, class by class.

    test_hyperplanes.py holds the steps to SciPy's solvers.
    """
    flat = x.reshape(len(x), -1).astype(np.float64)
    z = flat @ model.weights + model.bias
    best = np.full(len(x), np.inf)
    for c in range(model.weights.shape[1]):
        normal = model.weights[:, c] - model.weights[:, y].T
        drop = z[np.arange(len(x)), y] - z[:, c]
        step = distance(norm).shortest(normal, model.bounds.low - flat, model.bounds.high - flat, drop)
        there = np.abs((step * normal).sum(axis=1) - drop) < 1e-9
        length = {"linf": np.abs(step).max(1), "l2": np.linalg.norm(step, axis=1), "l1": np.abs(step).sum(1)}
        best = np.where((y != c) & there, np.minimum(best, length[norm]), best)
    return best


@BOTH
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("classes", [2, 6])
def test_the_minimum_of_an_affine_model(name: str, norm: Any, classes: int) -> None:
    """FAB takes the class whose boundary is nearest without bounds, which seldom is another one within."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(30, classes))
    model = linear.LinearModel(weights, -weights.sum(axis=0) / 2)
    x = linear.inputs(model, 40)
    y = model.predict(x)
    result = attacks.get(name)(norm=norm, steps=20).attack(model, x, y)
    best = minima(model, x, y, norm)
    assert result.success.all() and np.isfinite(best).all()
    assert (result.distance[0] >= best * (1 - 1e-4)).all()
    # Steps end a little beyond the boundary; the search at the end comes back.
    exact = result.distance[0] <= best * 1.01
    assert exact.all() if name == "fab-t" or classes == 2 else exact.mean() > 0.9, result.distance[0] / best


@BOTH
@pytest.mark.parametrize("norm", NORMS)
def test_towards_a_class(name: str, norm: Any) -> None:
    """The class that was asked for is reached; with one rival, by the shortest way."""
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(30, 5))
    model = linear.LinearModel(weights, -weights.sum(axis=0) / 2)
    x = linear.inputs(model, 30)
    target = np.argsort(-model.logits(x), axis=1)[:, 2]
    result = attacks.get(name)(norm=norm, steps=20).attack(model, x, criteria.Targeted(target))
    assert result.success.mean() > 0.9
    assert (model.predict(result.adv[0][result.success[0]]) == target[result.success[0]]).all()
    pair = linear.LinearModel(weights[:, :2], model.bias[:2])
    y = pair.predict(x)
    result = attacks.get(name)(norm=norm, steps=20).attack(pair, x, criteria.Targeted(1 - y))
    np.testing.assert_allclose(result.distance[0], minima(pair, x, y, norm), rtol=0.01)


@BOTH
def test_a_sample_leaves_within_its_smallest_budget(name: str) -> None:
    model = linear.small_network()
    x = linear.inputs(model, 30)
    y = model.predict(x)
    attack = attacks.get(name)(steps=12)
    free = attack.attack(model, x, y, rng=3)
    budgets = [0.05, 0.2]
    result = attack.attack(model, x, y, budgets, rng=3)
    for k, budget in enumerate(budgets):
        np.testing.assert_array_equal(result.success[k], free.success[0] & (free.distance[0] <= budget))
    assert 0 < result.success[0].sum() < result.success[1].sum()
    assert result.gradients < free.gradients
    # The same input for both budgets, unless the smaller one is out of reach.
    np.testing.assert_array_equal(result.adv[0][result.success[0]], result.adv[1][result.success[0]])


def test_targets_are_the_most_likely_classes() -> None:
    """One target is the second largest logit at x; with all of them the result is at least as near."""
    model = linear.small_network()
    x = linear.inputs(model, 40)
    y = model.predict(x)
    one, all_of_them = (attacks.FABT(norm="l2", steps=15, targets=t).attack(model, x, y) for t in (1, 9))
    assert (found(all_of_them) <= found(one)).all() and (found(all_of_them) < found(one)).any()
    assert all_of_them.gradients == 3 * one.gradients == 3 * 15 * len(x)
    second = np.argsort(-model.logits(x), axis=1)[:, 1]
    assert np.mean(model.predict(one.adv[0]) == second) > 0.9


@BOTH
def test_restarts_never_lose_and_find_nearer_ones(name: str) -> None:
    model = linear.small_network(seed=4)
    x = linear.inputs(model, 40)
    y = model.predict(x)
    attack = attacks.get(name)(norm="l1", steps=10, search_steps=0)
    once, often = attack.attack(model, x, y), replace(attack, restarts=4).attack(model, x, y)
    assert (found(often) <= found(once)).all() and (found(often) < found(once)).mean() > 0.1


@BOTH
def test_the_search_at_the_end_only_draws_nearer(name: str) -> None:
    model = linear.small_network()
    x = linear.inputs(model, 30)
    y = model.predict(x)
    attack = attacks.get(name)(norm="l2", steps=5)
    without, with_it = replace(attack, search_steps=0).attack(model, x, y), attack.attack(model, x, y)
    assert (found(with_it) <= found(without)).all() and (found(with_it) < found(without)).any()
    assert with_it.queries <= without.queries + (2 + 3) * len(x)


def found(result: attacks.AttackResult) -> np.ndarray:
    """(n,) distances, infinity where nothing was found."""
    return np.where(result.success[0], result.distance[0], np.inf)


class Odd(linear.LinearModel):
    """Logits that do not depend on x, or whose gradient is not finite."""

    value = 0.0

    def _pullback(self, x: np.ndarray, loss_fn: Any) -> Any:
        value, _, logits = super()._pullback(x, loss_fn)
        return value, np.full_like(x, self.value), logits


@BOTH
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_a_model_without_usable_gradients_ends_quietly(name: str, norm: Any, slope: float) -> None:
    model = Odd(np.zeros((4, 3)), np.array([1.0, 0, 0]))
    model.value = slope
    x = linear.inputs(model, 5)
    attack = attacks.get(name)(norm=norm, steps=3)
    result = attack.attack(model, x, np.zeros(5, np.int64))
    assert not result.success.any() and np.isfinite(result.adv).all()
    if not np.isinf(slope):
        np.testing.assert_array_equal(result.adv[0], x)
    assert not replace(attack, restarts=2).attack(model, x, np.zeros(5, np.int64)).success.any()


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 0},
        {"restarts": 0},
        {"alpha_max": 1.5},
        {"eta": 0},
        {"beta": -0.1},
        {"search_steps": -1},
        {"targets": 0},
        {"norm": "l0"},
    ],
)
def test_bad_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(settings))):
        attacks.FABT(**settings)


class Hyperbola(Model):
    """Two classes, of which the second lies where the product of two values is above a quarter."""

    can_grad = True
    fingerprint = "hyperbola"

    def _forward(self, x: np.ndarray) -> np.ndarray:
        gap = x[:, 0] * x[:, 1] - np.float32(0.25)
        return np.stack([np.full_like(gap, 50), 50 + gap], axis=1)

    def _pullback(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        top = Tensor(self._forward(x), requires_grad=True)
        loss = loss_fn(top)
        slope = input_gradient(loss, top).numpy()[:, 1:]
        return loss.numpy(), slope * x[:, ::-1], top.numpy()


@BOTH
def test_it_does_not_stay_where_it_first_meets_a_curved_boundary(name: str) -> None:
    """Steps that end on the boundary itself, within rounding, are gone back from like those beyond it."""
    model = Hyperbola(input_shape=(2,), num_classes=2, bounds=(0, 2))
    x = np.random.default_rng(0).uniform([0.02, 0.1], [0.2, 0.9], size=(30, 2)).astype(np.float32)
    first = np.linspace(0.125, 2, 200_001)
    curve = np.stack([first, 0.25 / first], axis=1)
    best = np.array([np.linalg.norm(curve - one, axis=1).min() for one in x.astype(np.float64)])
    result = attacks.get(name)(norm="l2").attack(model, x, np.zeros(30, int))
    assert result.success.all()
    assert (result.distance[0] >= best * (1 - 1e-4)).all()
    assert (result.distance[0] <= best * 1.01).all(), result.distance[0] / best
