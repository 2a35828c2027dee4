"""Carlini-Wagner comes close to the nearest boundary of affine models and asks for the margin it is told."""

from __future__ import annotations

import linear
import numpy as np
import pytest
import trained

from armour import attacks, criteria
from armour.attacks.retreat import surely
from armour.attacks.weights import Weights
from armour.distances import Norm
from armour.errors import InvalidArgument

NORMS: list[Norm] = ["linf", "l2"]


@pytest.mark.parametrize("norm", NORMS)
def test_the_nearest_point_of_a_linear_model_in_a_box(norm: Norm) -> None:
    model = linear.two_classes()
    x = linear.inputs(model, 30, seed=3)
    y = model.predict(x)
    nearest = linear.nearest_in_box(model, x, y, norm)
    result = attacks.CW(norm=norm).attack(model, x, y)
    assert result.success.all()
    assert (result.distance[0] >= nearest * (1 - 1e-6)).all()
    ratio = result.distance[0] / nearest
    limit = {"l2": (1.005, 1.3), "linf": (1.05, 1.25)}[norm]
    assert np.median(ratio) < limit[0] and np.quantile(ratio, 0.95) < limit[1], np.sort(ratio)[-6:]


def test_the_nearest_of_several_boundaries() -> None:
    model, x, y = linear.several_classes()
    nearest = linear.nearest_boundary(model, x, y, "l2")
    # In bounds forty times as wide as the inputs.
    result = attacks.CW(step_size=0.002).attack(model, x, y)
    assert result.success.all()
    assert np.median(result.distance[0] / nearest) < 1.02


@pytest.mark.parametrize("norm", NORMS)
def test_the_confidence_is_a_margin_in_logits(norm: Norm) -> None:
    model, x, y = linear.several_classes(seed=1)
    plain = attacks.CW(norm=norm, steps=60, search_steps=6, step_size=0.01)
    sure = attacks.CW(norm=norm, steps=60, search_steps=6, step_size=0.01, confidence=2.0)
    for attack, margin in ((plain, 0.0), (sure, 2.0)):
        result = attack.attack(model, x, y)
        z = model.logits(result.adv[0])
        rows = np.arange(len(x))
        own = z[rows, y].copy()
        z[rows, y] = -np.inf
        assert result.success.mean() > 0.9
        assert (z.max(axis=1) - own)[result.success[0]].min() >= margin
    assert sure.attack(model, x, y).distance.mean() > plain.attack(model, x, y).distance.mean()


@pytest.mark.parametrize("norm", NORMS)
def test_no_digit_is_left_unbroken(norm: Norm) -> None:
    model, (_, test) = trained.network("mlp"), trained.digits()
    x, y = test.x[:40], test.y[:40]
    result = attacks.CW(norm=norm, steps=50).attack(model, x, y)
    assert result.success.all()
    near = attacks.DeepFool(norm=norm).attack(model, x, y)
    assert np.median(result.distance) <= 1.02 * np.median(near.distance)


def test_one_gradient_a_step() -> None:
    model, x, y = linear.several_classes(seed=2)
    result = attacks.CW(norm="linf", steps=7, search_steps=3).attack(model, x, y)
    assert result.gradients == 7 * 3 * len(x)
    assert attacks.CW(steps=100, search_steps=3).attack(model, x, y).gradients < 300 * len(x)


def test_the_search_of_a_weight() -> None:
    """Times 10 until it is enough, then by halves, each sample on its own."""
    weights = Weights(2, 0.1)
    for enough, expected in (
        ([False, True], [1.0, 0.05]),
        ([True, False], [0.55, 0.075]),
        ([True, True], [0.325, 0.0625]),
        ([False, True], [0.4375, 0.05625]),
    ):
        weights.update(np.array(enough))
        np.testing.assert_allclose(weights.value, expected)


@pytest.mark.parametrize("goal", [criteria.Misclassified, criteria.Targeted])
def test_a_tie_is_no_success(goal: type[criteria.Misclassified] | type[criteria.Targeted]) -> None:
    """In another batch the logits are rounded otherwise, and the answer would be another."""
    label = 2 if goal is criteria.Misclassified else 0
    tie = np.array([[5.00001, 1.0, 5.0], [5.1, 1.0, 5.0]], np.float32)
    criterion = goal([label, label])
    assert criterion(tie).all()
    assert surely(criterion, tie).tolist() == [False, True]


@pytest.mark.parametrize(
    "change", [{"steps": 0}, {"step_size": 0}, {"search_steps": 0}, {"confidence": -1}, {"first_weight": 0}]
)
def test_bad_settings(change: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(change))):
        attacks.CW(**change)
