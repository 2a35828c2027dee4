"""The least-likely class is asked for, never given, and the step towards it is FGSM's."""

from __future__ import annotations

import linear
import numpy as np
import pytest

from armour import attacks
from armour.attacks.least_likely import least_likely
from armour.criteria import Misclassified, Targeted
from armour.rng import per_item


def test_the_class_is_the_last_of_the_others() -> None:
    logits = np.array(
        [
            [3, 1, -2, 0],
            [-5, 1, 2, 0],
            [1, 1, 1, 1],
            [2, np.nan, 1, 0],
            [-np.inf, 3, 0, -1],
            [np.inf, 5, 1, 9],
        ],
        np.float32,
    )
    assert least_likely(logits, np.array([0, 0, 0, 0, 1, 2])).tolist() == [2, 3, 1, 3, 0, 1]
    assert least_likely(np.array([[-1, 2], [-1, 2]], np.float32), np.array([0, 1])).tolist() == [1, 0]


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_it_is_targeted_fgsm_on_that_class(norm) -> None:
    model = linear.small_network()
    x = linear.inputs(model, 20)
    y = model.predict(x)
    last = model.logits(x).argmin(axis=1)
    assert len(np.unique(last)) > 2
    result = attacks.LeastLikely(norm=norm).attack(model, x, y, 0.4)
    expected = attacks.FGSM(norm=norm).attack(model, x, Targeted(last), 0.4)
    np.testing.assert_array_equal(result.adv, expected.adv)
    # One forward and backward pass for each input, one look before, and one to verify.
    assert (result.queries, result.gradients) == (3 * len(x), len(x))


def test_a_target_is_obeyed() -> None:
    model = linear.small_network()
    x = linear.inputs(model, 12)
    goal = Targeted((model.predict(x) + 1) % 4)
    ours = attacks.LeastLikely().attack(model, x, goal, 0.1)
    np.testing.assert_array_equal(ours.adv, attacks.FGSM().attack(model, x, goal, 0.1).adv)


def test_the_random_step_comes_first_and_leaves_the_rest_of_the_budget() -> None:
    model = linear.small_network()
    x = np.random.default_rng(0).uniform(0.3, 0.7, (16, 1, 5, 5)).astype(np.float32)
    y = model.predict(x)
    seen: list[np.ndarray] = []
    gradient = model.gradient
    model.gradient = lambda at, loss: seen.append(at.copy()) or gradient(at, loss)  # type: ignore[method-assign]
    rng = per_item(np.random.default_rng(0), 16)
    adv = attacks.LeastLikely(start=0.25).run(model, x, Misclassified(y), 0.2, rng=rng)
    np.testing.assert_allclose(np.abs(seen[0] - x), 0.05, atol=1e-6)
    assert abs(np.mean(seen[0] > x) - 0.5) < 0.15 and not np.array_equal(seen[0][0] > x[0], seen[0][1] > x[1])
    np.testing.assert_allclose(np.abs(adv - seen[0]), 0.15, atol=1e-6)
    last = model.logits(x).argmin(axis=1)  # of x, not of where the random step led
    _, slope, _ = gradient(seen[0], Targeted(last).objective())
    np.testing.assert_array_equal(adv > seen[0], slope > 0)
