"""Auto-PGD: closed forms on linear models, its checkpoints against a plain reference, and its losses."""

from __future__ import annotations

from typing import Any

import linear
import numpy as np
import pytest

from armour import attacks, criteria
from armour.attacks.climb import climb
from armour.criteria import LOSSES, Misclassified
from armour.distances import distance
from armour.errors import InvalidArgument, UnsupportedError
from armour.objective import Objective
from armour.rng import by_content
from armour.tensor import losses

DUAL = {"linf": 1, "l2": 2, "l1": np.inf}


class Never(Misclassified):
    """Wants to get away from the labels, and is never content."""

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        return np.zeros(len(logits), bool)

    def __getitem__(self, index: Any) -> Never:
        return Never(self.labels[index])


@pytest.mark.parametrize("name", ["apgd-ce"])
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_closed_form_minimum_at_the_bounds(name: str, norm: str) -> None:
    """With a third of the inputs on a bound, the optimum is that of SciPy's solvers over ball and box."""
    model = linear.two_classes()
    x = linear.inputs(model, 40)
    y = model.predict(x)
    model.bias[:] = 0
    model.bias[y[0]] = 30  # so that no sample is broken, which would end its search
    x, y = x[y == y[0]][:8], y[y == y[0]][:8]
    epsilon = {"linf": 0.1, "l2": 0.6, "l1": 1.5}[norm]
    result = attacks.get(name)(norm=norm).attack(model, x, y, epsilon, rng=1)
    drop = linear.margin(model, x, y) - linear.margin(model, result.adv[0], y)
    optimum = linear.largest_drop(linear.slope(model, y), x, epsilon, norm, (0, 1))
    assert len(x) > 4 and not result.success.any()
    assert (drop <= optimum * (1 + 1e-5)).all()
    tolerance = {"linf": 1e-5, "l2": 1e-4, "l1": 2e-2}[norm]
    assert (drop >= optimum * (1 - tolerance)).all(), (drop / optimum).min()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_smallest_budget_that_breaks_is_margin_over_dual_norm(norm: str) -> None:
    model = linear.two_classes(d=40)
    x = np.random.default_rng(0).uniform(0.4, 0.6, (8, 40)).astype(np.float32)
    y = model.predict(x)
    radius = linear.margin(model, x, y) / np.linalg.norm(linear.slope(model, y), DUAL[norm], axis=1)
    near = np.flatnonzero(radius < 0.3)[:2]  # so that the bounds are out of reach
    assert near.size == 2
    for i in near:
        budgets = [radius[i] * 0.999, radius[i] * 1.001 + 1e-6]
        result = attacks.APGD(norm=norm).attack(model, x[i : i + 1], y[i : i + 1], budgets)
        np.testing.assert_array_equal(result.success[:, 0], [False, True])


def reference(model: Any, region: Any, objective: Any, start: np.ndarray, steps: int, rho: float) -> Any:
    """Algorithm 1 of the paper for one sample, with every loss kept and every sum written out."""

    def ask(point: np.ndarray, i: int) -> tuple[float, np.ndarray]:
        value, gradient, _ = model.gradient(point, objective[i : i + 1])
        return float(value[0]), gradient

    made = []
    for i in range(len(start)):
        part = region[i : i + 1]
        points, at = [start[i : i + 1]], start[i : i + 1]
        first, slope = ask(at, i)
        values, best = [first], (first, at, slope)
        length, checkpoint, period = 2.0, int(0.22 * steps), int(0.22 * steps)
        last_check, halved_then = 0, True
        best_then, halvings = first, 0
        for k in range(1, steps + 1):
            moved = part.step(at, slope, length)
            if k > 1:
                moved = part.project((at + 0.75 * (moved - at) + 0.25 * (at - points[-2])).astype(np.float32))
            points.append(moved)
            value, slope = ask(moved, i)
            values.append(value)
            if value > best[0]:
                best = (value, moved, slope)
            at = moved
            if k == checkpoint:
                gains = sum(values[j] > values[j - 1] for j in range(last_check + 1, k + 1))
                stands = not halved_then and best_then >= best[0]
                halved_then, best_then = gains <= rho * period or stands, best[0]
                if halved_then:
                    length, halvings = length / 2, halvings + 1
                    at, slope = best[1], best[2]
                    points[-1] = at
                last_check, period = k, max(period - int(0.03 * steps), int(0.06 * steps))
                checkpoint += period
        made.append((best[0], best[1][0], halvings))
    return made


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_checkpoints_are_those_of_the_paper(norm: str) -> None:
    model = linear.small_network()
    x = linear.inputs(model, 6)
    goal = Never(model.predict(x))
    region = distance(norm).region(x, {"linf": 0.15, "l2": 0.6}[norm], model.bounds)
    start = region.start(by_content(np.random.default_rng(0), x))
    objective = goal.objective("cross-entropy")
    adv, value, met = climb(model, region, goal, objective, start, steps=50, rho=0.75)
    expected = reference(model, region, objective, start, 50, 0.75)
    halvings = [n for _, _, n in expected]
    assert max(halvings) >= 3 and not met.any(), "the case must halve steps"
    np.testing.assert_allclose(value, [v for v, _, _ in expected], rtol=1e-4)
    np.testing.assert_allclose(adv, np.stack([a for _, a, _ in expected]), atol=2e-4)


def test_the_best_of_all_iterates_is_kept_and_restarts_never_lose() -> None:
    model = linear.small_network()
    x = linear.inputs(model, 40, seed=3)
    y = model.predict(x)
    once, often = (attacks.APGD(steps=1, restarts=r).attack(model, x, y, 0.1, rng=5) for r in (1, 5))
    assert (often.success >= once.success).all() and often.success.sum() > once.success.sum()
    broken = once.success[0]
    np.testing.assert_array_equal(often.adv[0][broken], once.adv[0][broken])
    assert often.gradients <= once.gradients + 4 * (~broken).sum()


def test_broken_samples_leave_and_the_rest_costs_what_it_says() -> None:
    model = linear.two_classes()
    x = linear.inputs(model, 12)
    y = model.predict(x)
    assert attacks.APGD().attack(model, x, y, 1.0).gradients <= 2 * len(x)
    model.bias[:] = 0
    model.bias[y] += 100
    y = model.predict(x)
    for norm in ("linf", "l2"):
        result = attacks.APGD(norm=norm, steps=7, eot=3, restarts=2).attack(model, x, y, 0.01)
        assert result.gradients == len(x) * 7 * 3 * 2 and not result.success.any()
    # The three balls of the l1 search share the steps: 30, 30 and 40 of 100.
    assert attacks.APGD(norm="l1", steps=20).attack(model, x, y, 0.01).gradients == len(x) * 20


def test_points_broken_outside_the_ball_are_no_success() -> None:
    """The l1 search goes through wider balls, where nearly everything breaks: none of that counts."""
    model = linear.two_classes(d=40)
    x = np.random.default_rng(1).uniform(0.4, 0.6, (20, 40)).astype(np.float32)
    y = model.predict(x)
    radius = linear.margin(model, x, y) / np.linalg.norm(linear.slope(model, y), np.inf, axis=1)
    epsilon = float(np.median(radius))
    result = attacks.APGD(norm="l1", steps=60).attack(model, x, y, epsilon)
    assert (result.distance[0] <= epsilon).all()
    np.testing.assert_array_equal(result.success[0], radius < epsilon)


def four(d: int = 12, classes: int = 5, seed: int = 0) -> linear.LinearModel:
    rng = np.random.default_rng(seed)
    return linear.LinearModel(rng.normal(size=(d, classes)), rng.normal(size=classes))


def test_targets_are_the_likeliest_wrong_classes_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    model = four()
    model.weights *= 1e-3  # nothing breaks
    x = linear.inputs(model, 7)
    logits = model.logits(x)
    y = logits.argmax(axis=1)
    seen: list[np.ndarray] = []
    gradient = model.gradient

    def spy(point: np.ndarray, objective: Objective) -> Any:
        seen.append(np.stack([objective.labels, *objective.data], axis=1))
        return gradient(point, objective)

    monkeypatch.setattr(model, "gradient", spy)
    attacks.APGDT(steps=2, targets=3, restarts=2).attack(model, x, y, 0.01)
    order = np.argsort(-logits, axis=1)
    assert len(seen) == 3 * 2 * 2
    for call, labels in enumerate(seen):
        np.testing.assert_array_equal(labels[:, 0], y)
        np.testing.assert_array_equal(labels[:, 1], order[:, 1 + call // 4])
    seen.clear()
    attacks.APGDT(steps=1).attack(model, x, y, 0.01)
    assert len(seen) == 4, "five classes have four targets"


def test_targeted_dlr_is_the_papers() -> None:
    logits = np.array([[3.0, 1.0, 2.0, -1.0, 0.5], [0.0, 5.0, 4.0, 1.0, 2.0]], np.float64)
    labels, targets = np.array([0, 2]), np.array([4, 1])
    value = losses.targeted_dlr(logits, labels, targets).numpy()
    np.testing.assert_allclose(value, [-(3 - 0.5) / (3 - (1 + 0.5) / 2), -(4 - 5) / (5 - (2 + 1) / 2)])
    np.testing.assert_allclose(losses.targeted_dlr(logits * 7 + 3, labels, targets).numpy(), value)
    np.testing.assert_allclose(losses.targeted_dlr(logits, labels).numpy(), [-1 / (3 - 0.75), 1 / (5 - 1.5)])
    assert LOSSES.get("targeted-dlr") is losses.targeted_dlr


def test_too_few_classes_are_refused_in_one_line() -> None:
    two, three = linear.two_classes(), four(classes=3)
    x = linear.inputs(two, 3)
    for model, name, needed in ((two, "apgd-dlr", 3), (two, "apgd-t", 4), (three, "apgd-t", 4)):
        y = model.predict(x)
        with pytest.raises(UnsupportedError, match=f"at least {needed} classes.*use apgd-ce") as caught:
            attacks.get(name)().attack(model, x, y, 0.1)
        assert "\n" not in str(caught.value)
        model.num_classes = None  # known only after the first answer
        with pytest.raises(UnsupportedError, match=f"at least {needed} classes"):
            attacks.get(name)().attack(model, x, y, 0.1)
    assert attacks.APGDDLR(steps=5).attack(three, x, three.predict(x), 0.5).success.any()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_models_without_slope_and_with_nan_give_inputs_back_whole(norm: str) -> None:
    flat = linear.LinearModel(np.zeros((12, 5)), np.arange(5.0))
    x = linear.inputs(flat, 4)
    result = attacks.APGDT(norm=norm, steps=10).attack(flat, x, [4] * 4, 0.3)
    assert np.isfinite(result.adv).all() and not result.success.any()
    bad = four()
    bad.bias[2] = np.nan
    result = attacks.APGD(norm=norm, steps=10).attack(bad, x, criteria.Targeted([0] * 4), 0.3)
    assert np.isfinite(result.adv).all() and (result.distance <= 0.3).all()


def test_one_value_and_one_step() -> None:
    model = linear.LinearModel(np.array([[-1.0, 1.0]]), np.array([0.0, 0.0]), bounds=(-1, 1))
    x = np.array([[-0.5], [0.25]], np.float32)
    for norm in ("linf", "l2", "l1"):
        result = attacks.APGD(norm=norm, steps=1).attack(model, x, [0, 1], 0.6)
        assert result.success.all()


def test_settings_are_checked() -> None:
    for settings in ({"steps": 0}, {"restarts": 0}, {"rho": 1.5}, {"eot": 0}, {"loss": "dl"}):
        with pytest.raises(InvalidArgument):
            attacks.APGD(**settings)
    with pytest.raises(InvalidArgument):
        attacks.APGDT(targets=0)
