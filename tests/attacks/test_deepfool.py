"""DeepFool finds the nearest boundary of affine models, leaves nobody unbroken, and asks for what it says."""

from __future__ import annotations

import linear
import numpy as np
import pytest
import trained

from armour import attacks, criteria
from armour.distances import Norm
from armour.errors import InvalidArgument

NORMS: list[Norm] = ["linf", "l2", "l1"]


@pytest.mark.parametrize("norm", NORMS)
def test_the_nearest_of_several_affine_boundaries(norm: Norm) -> None:
    model, x, y = linear.several_classes()
    result = attacks.DeepFool(norm=norm).attack(model, x, y)
    nearest = linear.nearest_boundary(model, x, y, norm)
    assert result.success.all()
    assert (result.distance[0] >= nearest * (1 - 1e-6)).all()
    np.testing.assert_allclose(result.distance[0], nearest, rtol=1.2e-3, atol=5e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_without_the_way_back_the_overshoot_is_what_it_costs(norm: Norm) -> None:
    model, x, y = linear.several_classes(seed=1)
    attack = attacks.DeepFool(norm=norm, overshoot=0.1, search_steps=0)
    nearest = linear.nearest_boundary(model, x, y, norm)
    np.testing.assert_allclose(attack.attack(model, x, y).distance[0], 1.1 * nearest, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_the_bounds_are_part_of_the_step(norm: Norm) -> None:
    """A third of the inputs' values are on the bounds: the nearest point inside, not a clipped one."""
    model = linear.two_classes()
    x = linear.inputs(model, 30, seed=3)
    y = model.predict(x)
    result = attacks.DeepFool(norm=norm, steps=8).attack(model, x, y)
    assert result.success.all()
    # In l1 the overshoot spills over to another coordinate, which the way back does not undo.
    near = 0.01 if norm == "l1" else 2e-3
    np.testing.assert_allclose(
        result.distance[0], linear.nearest_in_box(model, x, y, norm), rtol=near, atol=1e-5
    )


@pytest.mark.parametrize("norm", NORMS)
def test_a_targeted_search_crosses_into_the_target(norm: Norm) -> None:
    model, x, y = linear.several_classes(seed=2)
    target = (y + 1) % 5
    result = attacks.DeepFool(norm=norm).attack(model, x, criteria.Targeted(target))
    assert result.success.all() and (model.predict(result.adv[0]) == target).all()
    assert (result.distance[0] >= linear.nearest_boundary(model, x, y, norm) * (1 - 1e-6)).all()


@pytest.mark.parametrize("norm", NORMS)
def test_no_digit_is_left_unbroken(norm: Norm) -> None:
    model, (_, test) = trained.network("mlp"), trained.digits()
    result = attacks.DeepFool(norm=norm).attack(model, test.x[:200], test.y[:200])
    assert result.success.all()
    near = attacks.DeepFool(norm=norm, search_steps=0).attack(model, test.x[:200], test.y[:200])
    assert (result.distance <= near.distance).all() and result.distance.sum() < near.distance.sum()


def test_more_than_a_crossing_can_be_asked_for() -> None:
    model, x, y = linear.several_classes(seed=4)
    sure = criteria.Misclassified(y) & criteria.Confident(0.9)
    result = attacks.DeepFool().attack(model, x, sure)
    assert result.success.mean() > 0.9
    assert sure(model.logits(result.adv[0])).mean() > 0.9


def test_only_the_candidates_are_looked_at() -> None:
    model, x, y = linear.several_classes(seed=5)
    second = np.argsort(model.logits(x), axis=1)[:, -2]
    result = attacks.DeepFool(candidates=2, steps=1).attack(model, x, y)
    assert result.gradients == len(x), "one gradient a step for one rival"
    all_of_them = attacks.DeepFool(steps=1).attack(model, x, y)
    assert (result.distance >= all_of_them.distance * (1 - 1e-6)).all()
    gap = linear.LinearModel(model.weights, model.bias, bounds=(-20.0, 20.0)).logits(x)
    rows = np.arange(len(x))
    slope = np.linalg.norm(model.weights[:, second] - model.weights[:, y], axis=0)
    np.testing.assert_allclose(
        result.distance[0], (gap[rows, y] - gap[rows, second]) / slope, rtol=1e-3, atol=1e-5
    )


def test_a_model_that_never_changes_is_left_in_peace() -> None:
    constant = linear.LinearModel(np.zeros((6, 3)), np.array([0.0, 1.0, 0.5]))
    x = np.full((4, 6), 0.5, np.float32)
    result = attacks.DeepFool(steps=5).attack(constant, x, np.ones(4, int))
    assert not result.success.any() and (result.adv[0] == x).all()


@pytest.mark.parametrize("change", [{"candidates": 1}, {"overshoot": 0}, {"steps": 0}, {"search_steps": -1}])
def test_bad_settings(change: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(change))):
        attacks.DeepFool(**change)
