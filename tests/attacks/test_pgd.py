"""PGD and BIM against closed forms on linear models, and their settings."""

from __future__ import annotations

import linear
import numpy as np
import pytest

from armour import attacks, criteria
from armour.attacks import FixedBudgetAttack

DUAL = {"linf": 1, "l2": 2, "l1": np.inf}
# Attacks that must reach the optimum on a linear model, and how nearly.
SOLVERS: list[tuple[FixedBudgetAttack, float]] = [
    *[(attacks.FGSM(norm=n), 1e-5) for n in ("linf", "l2", "l1")],
    *[
        (attacks.PGD(norm=n, steps=200), tolerance)
        for n, tolerance in (("linf", 1e-5), ("l2", 1e-5), ("l1", 1e-3))
    ],
    *[
        (attacks.BIM(norm=n, steps=200), tolerance)
        for n, tolerance in (("linf", 1e-5), ("l2", 1e-5), ("l1", 1e-3))
    ],
]
solvers = pytest.mark.parametrize(
    ("attack", "tolerance"), SOLVERS, ids=[f"{type(a).__name__}-{a.norm}" for a, _ in SOLVERS]
)


def sure(model: linear.LinearModel, x: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The x whose margin is above `share` of the largest, and their labels: no small budget breaks them."""
    y = model.predict(x)
    m = linear.margin(model, x, y)
    keep = m > share * m.max()
    return x[keep], y[keep]


@solvers
def test_closed_form_minimum_without_bounds(attack: FixedBudgetAttack, tolerance: float) -> None:
    """The margin falls by epsilon times the dual norm of its slope, and no further."""
    model = linear.two_classes(d=40)
    model.bounds = type(model.bounds)(-10, 10)
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (30, 40)).astype(np.float32)
    x, y = sure(model, x, 0.4)
    epsilon = 0.02
    result = attack.attack(model, x, y, epsilon)
    drop = linear.margin(model, x, y) - linear.margin(model, result.adv[0], y)
    optimum = epsilon * np.linalg.norm(linear.slope(model, y), DUAL[attack.norm], axis=1)
    assert len(x) > 4 and (drop <= optimum * (1 + 1e-5)).all()
    assert (drop >= optimum * (1 - tolerance)).all()
    assert not result.success.any()


@solvers
@pytest.mark.parametrize("size", ["small", "large"])
def test_closed_form_minimum_at_the_bounds(attack: FixedBudgetAttack, tolerance: float, size: str) -> None:
    """With a third of the inputs on a bound, the optimum is that of SciPy's solvers over ball and box."""
    model = linear.two_classes()
    x, y = sure(model, linear.inputs(model, 40), 0.3)
    # Far from the boundary, so that no sample leaves early: the bias moves every margin up.
    model.bias[:] = 0
    model.bias[y[0]] = 30
    x, y = x[y == y[0]], y[y == y[0]]
    epsilon = {"small": {"linf": 0.1, "l2": 0.6, "l1": 1.5}, "large": {"linf": 0.4, "l2": 1.2, "l1": 4.0}}[
        size
    ][attack.norm]
    result = attack.attack(model, x, y, epsilon, rng=1)
    drop = linear.margin(model, x, y) - linear.margin(model, result.adv[0], y)
    optimum = linear.largest_drop(linear.slope(model, y), x, epsilon, attack.norm, (0, 1))
    free = epsilon * np.linalg.norm(linear.slope(model, y), DUAL[attack.norm], axis=1)
    assert len(x) > 4 and np.mean(optimum < free * 0.99) > 0.5, "the bounds must matter here"
    assert (drop <= optimum * (1 + 1e-5)).all()
    assert (drop >= optimum * (1 - tolerance)).all(), (drop / optimum).min()


@solvers
def test_smallest_budget_that_breaks_is_margin_over_dual_norm(
    attack: FixedBudgetAttack, tolerance: float
) -> None:
    model = linear.two_classes(d=40)
    x = np.random.default_rng(0).uniform(0.4, 0.6, (8, 40)).astype(np.float32)
    y = model.predict(x)
    radius = linear.margin(model, x, y) / np.linalg.norm(linear.slope(model, y), DUAL[attack.norm], axis=1)
    near = radius < 0.3  # so that the bounds are out of reach
    assert near.sum() >= 3
    for point, label, smallest in zip(x[near][:2], y[near][:2], radius[near][:2], strict=True):
        result = attack.attack(model, point[None], [label], [smallest * 0.999, smallest * 1.001 + 1e-6])
        np.testing.assert_array_equal(result.success[:, 0], [False, True])
        assert result.distance[1, 0] >= smallest * 0.9999


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_targeted_closed_form(norm: str) -> None:
    model = linear.two_classes(d=20)
    x = np.random.default_rng(1).uniform(0.3, 0.7, (6, 20)).astype(np.float32)
    y = model.predict(x)
    epsilon = 1e-3
    result = attacks.PGD(norm=norm, steps=100).attack(model, x, criteria.Targeted(1 - y), epsilon)
    drop = linear.margin(model, x, y) - linear.margin(model, result.adv[0], y)
    optimum = epsilon * np.linalg.norm(linear.slope(model, y), DUAL[norm], axis=1)
    np.testing.assert_allclose(drop, optimum, rtol=2e-3)


def test_a_confident_mistake_takes_more_than_a_mistake() -> None:
    model = linear.two_classes()
    x = linear.inputs(model, 20)
    y = model.predict(x)
    criterion = criteria.Misclassified(y) & criteria.Confident(0.9)
    plain = attacks.PGD().attack(model, x, y, 0.4)
    sure_of_it = attacks.PGD().attack(model, x, criterion, 0.4)
    assert 0 < sure_of_it.success.sum() <= plain.success.sum()
    z = model.logits(sure_of_it.adv[0])
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p = (p / p.sum(axis=1, keepdims=True)).max(axis=1)
    assert (p[sure_of_it.success[0]] >= 0.9).all()


def test_broken_samples_leave() -> None:
    """One step breaks everything here: a sample costs one gradient, however many steps remain."""
    model = linear.two_classes()
    x = linear.inputs(model, 16)
    y = model.predict(x)
    result = attacks.PGD(steps=30, step_size=2.0, restarts=5, random_start=True).attack(model, x, y, 1.0)
    assert result.success.all() and result.gradients <= 2 * len(x)
    half = attacks.BIM(steps=30, step_size=0.05).attack(model, x, y, 0.5)
    assert len(x) < half.gradients < 30 * len(x)


def test_first_iterate_that_breaks_is_the_one_returned() -> None:
    """BIM in tenths: a broken sample is some whole steps away, and one step less does not break it."""
    model = linear.two_classes()
    x = np.random.default_rng(2).uniform(0.4, 0.6, (30, 12)).astype(np.float32)
    y = model.predict(x)
    epsilon = 0.3
    result = attacks.BIM(steps=10, step_size=0.1).attack(model, x, y, epsilon)
    broken = result.success[0] & (result.distance[0] > 0)
    assert broken.sum() > 5
    steps = result.distance[0][broken] / (0.1 * epsilon)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
    back = x[broken] + (result.adv[0][broken] - x[broken]) * ((steps - 1) / steps)[:, None]
    assert (model.predict(back.astype(np.float32)) == y[broken]).all()


def test_restarts_go_on_where_the_first_failed() -> None:
    model = linear.small_network()
    x = linear.inputs(model, 40, seed=3)
    y = model.predict(x)
    once, often = (attacks.PGD(steps=4, restarts=r).attack(model, x, y, 0.05, rng=5) for r in (1, 6))
    assert (often.success >= once.success).all() and often.success.sum() > once.success.sum()
    broken = once.success[0]
    np.testing.assert_array_equal(often.adv[0][broken], once.adv[0][broken])
    assert often.gradients <= once.gradients + 5 * 4 * (~broken).sum()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_random_start_matters_and_can_be_switched_off(norm: str) -> None:
    model = linear.small_network()
    x = linear.inputs(model, 10)
    y = model.predict(x)
    plain = attacks.PGD(norm=norm, steps=10, random_start=False).attack(model, x, y, 0.2, rng=1)
    bim = attacks.BIM(norm=norm, steps=10).attack(model, x, y, 0.2, rng=2)
    np.testing.assert_array_equal(plain.adv, bim.adv)


def test_pixels_on_the_bounds_move() -> None:
    """A model that clips its input has a gradient at 0 and 1, where image values sit."""
    model = linear.two_classes()
    for value in (0.0, 1.0):
        x = np.full((1, 12), value, np.float32)
        y = model.predict(x)
        adv = attacks.PGD(steps=20).attack(model, x, y, 0.3).adv[0]
        up = linear.slope(model, y) > 0
        np.testing.assert_allclose(adv[up], min(value + 0.3, 1.0), atol=1e-6)
        np.testing.assert_allclose(adv[~up], max(value - 0.3, 0.0), atol=1e-6)


@pytest.mark.parametrize("loss", ["cross-entropy", "margin", "dlr"])
def test_every_loss_breaks_a_network(loss: str) -> None:
    model = linear.small_network()
    x = linear.inputs(model, 20)
    y = model.predict(x)
    assert attacks.PGD(loss=loss, steps=20).attack(model, x, y, 0.3).success.mean() > 0.5


def test_loss_can_be_a_function() -> None:
    from armour.tensor import losses

    model = linear.small_network()
    x = linear.inputs(model, 10)
    y = model.predict(x)
    named = attacks.PGD(loss="margin", steps=5).attack(model, x, y, 0.1)
    given = attacks.PGD(loss=losses.margin, steps=5).attack(model, x, y, 0.1)
    np.testing.assert_array_equal(named.adv, given.adv)
