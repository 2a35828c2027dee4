"""SparseFool crosses affine boundaries by the steepest values and undoes what it does not need."""

from __future__ import annotations

import linear
import numpy as np
import pytest
import trained

from armour import attacks, criteria
from armour.attacks.sparsefool import thinned
from armour.errors import InvalidArgument


def test_a_linear_model_needs_the_fewest_values() -> None:
    model = linear.two_classes(d=20)
    x = linear.inputs(model, 40, seed=3)
    y = model.predict(x)
    result = attacks.SparseFool().attack(model, x, y)
    nearest = linear.nearest_in_box(model, x, y, "l1")
    assert result.success.all()
    l1 = np.abs(result.adv[0] - x).sum(axis=1)
    assert (l1 >= nearest * (1 - 1e-6)).all()
    np.testing.assert_allclose(l1, nearest, rtol=0.05, atol=0.01)
    slope = linear.slope(model, y)
    most = np.where(slope > 0, slope * (1 - x), slope * -x)
    order = np.argsort(-np.abs(slope), axis=1)
    risen = np.cumsum(np.take_along_axis(most, order, axis=1), axis=1)
    needed = (risen > linear.margin(model, x, y)[:, None]).argmax(axis=1) + 1
    assert (result.distance[0] <= needed + 1).all()


def test_no_digit_is_left_unbroken_and_few_values_change() -> None:
    model, (_, test) = trained.network("mlp"), trained.digits()
    x, y = test.x[:60], test.y[:60]
    result = attacks.SparseFool().attack(model, x, y)
    assert result.success.all()
    assert np.median(result.distance) <= np.median(attacks.JSMA().attack(model, x, y).distance)
    np.testing.assert_array_equal(result.distance[0], (result.adv[0] != x).reshape(60, -1).sum(axis=1))


def test_changes_that_are_not_needed_are_undone() -> None:
    """Of all values at their ends only the steepest ones stay: one fewer would not do."""
    model = linear.two_classes(d=20)
    x = linear.inputs(model, 40, seed=5)
    y = model.predict(x)
    slope = linear.slope(model, y)
    adv = np.where(slope > 0, 1, 0).astype(np.float32)
    goal = criteria.Misclassified(y)
    assert goal(model.logits(adv)).all()
    thin = thinned(model, goal, x, adv, slope.astype(np.float32))
    assert goal(model.logits(thin)).all() and ((thin == x) | (thin == adv)).all()
    gains = -np.sort(-slope * (adv - x), axis=1)
    needed = (np.cumsum(gains, axis=1) > linear.margin(model, x, y)[:, None]).argmax(axis=1) + 1
    np.testing.assert_array_equal((thin != x).sum(axis=1), needed)


@pytest.mark.parametrize("change", [{"steps": 0}, {"sparsity": 0}, {"candidates": 1}])
def test_bad_settings(change: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(change))):
        attacks.SparseFool(**change)
