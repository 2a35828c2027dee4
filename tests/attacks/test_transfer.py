"""What is made for one model is tried on another: units, attempts, ledgers, the matrix by hand."""

from __future__ import annotations

from typing import Any

import linear
import numpy as np
import pytest

from armour import attacks
from armour.attacks.transfer import Unmet, craft
from armour.criteria import Confident, Misclassified, Targeted
from armour.errors import InvalidArgument, UnsupportedError
from armour.model import CallableModel
from armour.rng import by_content


def pair() -> tuple[linear.LinearModel, linear.LinearModel, np.ndarray]:
    """Two linear models of two classes with similar weights, and inputs both agree on."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(12, 2))
    other = weights + 0.3 * rng.normal(size=(12, 2))
    models = [linear.LinearModel(w, -w.sum(axis=0) / 2) for w in (weights, other)]
    x = rng.uniform(0.25, 0.75, (40, 12)).astype(np.float32)
    return models[0], models[1], x[models[0].predict(x) == models[1].predict(x)]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_success_on_linear_models_is_known_beforehand(norm: Any) -> None:
    """The surrogate's steepest point of the budget fools the target just where its own margin says so."""
    surrogate, target, x = pair()
    y = target.predict(x)
    attack = attacks.Transfer(norm=norm, surrogate=surrogate, using=attacks.MIFGSM(loss="margin"))
    epsilon = 0.03 if norm == "linf" else 0.12
    result = attack.attack(target, x, y, epsilon)
    direction = np.sign(linear.slope(surrogate, y)) if norm == "linf" else linear.slope(surrogate, y)
    if norm == "l2":
        direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    reached = linear.margin(target, x + epsilon * direction, y)
    clear = np.abs(reached) > 1e-3
    np.testing.assert_array_equal(result.success[0][clear], reached[clear] < 0)
    assert 0.2 < result.success.mean() < 1
    np.testing.assert_allclose(result.adv[0], x + epsilon * direction, atol=1e-5)
    assert (result.spent == 1).all() and result.gradients == 0 and result.queries == 3 * len(x)


def test_the_search_goes_on_after_the_surrogate_is_fooled() -> None:
    """PGD itself stops at the boundary; what it makes for others lies as deep as the budget allows."""
    surrogate, target, x = pair()
    y = target.predict(x)
    pgd = attacks.PGD(loss="margin", random_start=False, steps=10)
    alone = pgd.attack(surrogate, x, y, 0.3)
    result = attacks.Transfer(surrogate=surrogate, using=pgd).attack(target, x, y, 0.3)
    deep = linear.margin(surrogate, result.adv[0], y)
    fooled = alone.success[0]
    assert fooled.any() and (deep[fooled] < linear.margin(surrogate, alone.adv[0], y)[fooled] - 0.1).all()
    assert result.success.mean() > 1 - target.accuracy(alone.adv[0], y)


def test_a_minimum_norm_attack_is_used_as_it_is() -> None:
    class Nearest(attacks.MinimizationAttack):
        """The foot of the perpendicular on the boundary of a linear model of two classes, and a little on."""

        def run(self, model: Any, x: Any, criterion: Any, *, rng: Any) -> Any:
            assert (model.predict(x) == criterion.labels).all(), "inputs that are open"
            slope = linear.slope(model, criterion.labels)
            reach = 1.001 * linear.margin(model, x, criterion.labels) / (slope**2).sum(axis=1)
            return np.clip(x + slope * reach[:, None], 0, 1).astype(np.float32)

    surrogate, _, x = pair()
    y = surrogate.predict(x)
    y[:4] ^= 1
    attack = attacks.Transfer(norm="l2", surrogate=surrogate, using=Nearest(norm="l2"))
    result = attack.attack(surrogate, x, y, 0.3)
    near = np.abs(linear.margin(surrogate, x, y)) / np.linalg.norm(linear.slope(surrogate, y), axis=1) < 0.299
    np.testing.assert_array_equal(result.success[0], near | (np.arange(len(x)) < 4))
    assert (result.distance <= 0.3).all()


def test_a_surrogate_in_other_units_is_asked_in_them() -> None:
    net, byte = linear.small_network(), linear.small_network(bounds=(0.0, 255.0))
    x = linear.inputs(net, 20)
    y = net.predict(x)
    same = attacks.Transfer(surrogate=net).attack(net, x, y, 0.05)
    other = attacks.Transfer(surrogate=byte).attack(net, x, y, 0.05)
    np.testing.assert_allclose(other.adv, same.adv, atol=1e-5)
    assert (other.distance <= 0.05).all() and 0 < same.success.mean() < 1


def test_attempts_are_asked_about_once_and_only_if_they_differ() -> None:
    surrogate, target, x = pair()
    y = target.predict(x)
    fixed = attacks.Transfer(surrogate=surrogate, queries=5).attack(target, x, y, 0.05)
    assert (fixed.spent == 1).all(), "MI-FGSM makes the same each time"
    drawn = attacks.Transfer(surrogate=surrogate, using=attacks.PGD(steps=1, step_size=0.1), queries=5)
    result = drawn.attack(target, x, y, 0.05)
    assert set(np.unique(result.spent)) >= {1, 5} and (result.spent[~result.success] == 5).all()
    one = attacks.Transfer(surrogate=surrogate, using=drawn.using).attack(target, x, y, 0.05)
    assert (result.success >= one.success).all() and result.success.sum() > one.success.sum()
    # Of failed attempts the best by the target's own margin.
    failed = ~result.success[0]
    margins = [linear.margin(target, r.adv[0], y)[failed] for r in (result, one)]
    assert (margins[0] <= margins[1] + 1e-6).all() and (margins[0] < margins[1]).any()


def test_the_target_may_be_a_black_box_and_the_surrogate_may_not() -> None:
    surrogate, target, x = pair()
    box = CallableModel(target.logits, input_shape=(12,), num_classes=2)
    y = target.predict(x)
    attack = attacks.Transfer(surrogate=surrogate)
    np.testing.assert_array_equal(attack.attack(box, x, y, 0.1).adv, attack.attack(target, x, y, 0.1).adv)
    with pytest.raises(UnsupportedError, match="MIFGSM needs gradients"):
        attacks.Transfer(surrogate=box).attack(target, x, y, 0.1)
    square = attacks.Transfer(surrogate=box, using=attacks.Square(queries=20))
    assert square.attack(target, x, y, 0.1).success.any()


def test_the_norm_and_the_mask_are_its_own() -> None:
    surrogate, target, x = pair()
    allowed = np.arange(12) < 6
    attack = attacks.Transfer(norm="l2", surrogate=surrogate, mask=allowed)
    result = attack.attack(target, x, target.predict(x), 0.3)
    assert (result.distance <= 0.3).all() and ((result.adv[0] != x) <= allowed).all()
    assert result.distance.min() > 0.299, "the whole budget is spent where the mask allows"


def test_matrix_by_hand() -> None:
    first, second, _ = pair()
    third = linear.LinearModel(-first.weights, -first.bias, name="opposite")
    x = np.random.default_rng(3).uniform(0.2, 0.8, (60, 12)).astype(np.float32)
    y = first.predict(x)
    pgd = attacks.PGD(loss="margin", random_start=False, steps=10)
    models = [first, second]
    found = attacks.transfer_matrix(models, x, y, pgd, "0.12")
    right = second.predict(x) == y
    assert found.n == right.sum() and found.epsilon == 0.12 and found.names == ("model", "model")
    part, labels = x[right], y[right]
    for i, maker in enumerate(models):
        adv = craft(
            maker,
            pgd,
            part,
            Misclassified(labels),
            0.12,
            maker.bounds,
            by_content(np.random.default_rng(0), part),
        )
        for j, other in enumerate(models):
            assert found.rates[i, j] == pytest.approx(1 - other.accuracy(adv, labels), abs=1e-12)
    assert (np.diag(found.rates) >= found.rates.max(axis=0) - 1e-12).all(), (
        "nobody fools a model as it does itself"
    )
    nobody = attacks.transfer_matrix([first, third], x, y, pgd, 0.1)
    assert nobody.n == 0 and np.isnan(nobody.rates).all()


def test_unmet_keeps_labels_and_direction() -> None:
    goal = Unmet(Targeted([1, 0, 2]) & Confident(0.5))
    assert goal.direction == -1 and goal[1:].labels.tolist() == [0, 2]  # type: ignore[union-attr]
    assert not goal(np.eye(3)).any()


def test_what_is_refused() -> None:
    surrogate, target, x = pair()
    y = target.predict(x)
    with pytest.raises(InvalidArgument, match="expected a surrogate to craft on"):
        attacks.Transfer().attack(target, x, y, 0.1)
    with pytest.raises(InvalidArgument, match=r"armour\.wrap"):
        attacks.Transfer(surrogate=surrogate.weights)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="fixed-budget or minimum-norm"):
        attacks.Transfer(surrogate=surrogate, using=attacks.Spatial())
    with pytest.raises(InvalidArgument, match=r"input_shape=\(12,\)"):
        attacks.Transfer(surrogate=linear.two_classes(5)).attack(target, x, y, 0.1)
    with pytest.raises(InvalidArgument, match="unknown norm"):
        attacks.Transfer(norm="l1", surrogate=surrogate, using=attacks.Jitter())
    with pytest.raises(InvalidArgument, match=r"same bounds, got \(0.0, 1.0\), \(0.0, 2.0\)"):
        other = linear.LinearModel(target.weights, target.bias, bounds=(0, 2))
        attacks.transfer_matrix([target, other], x, y, attacks.PGD(), 0.1)


def test_the_surrogate_is_part_of_what_the_attack_is() -> None:
    surrogate, target, _ = pair()
    one, two = (attacks.Transfer(surrogate=linear.small_network(seed=s)) for s in (0, 1))
    assert str(one) != str(two) and one != two and hash(one) == hash(one)
    assert attacks.Transfer(surrogate=surrogate) == attacks.Transfer(surrogate=surrogate)
    assert attacks.Transfer(surrogate=surrogate) != attacks.Transfer(surrogate=target)
