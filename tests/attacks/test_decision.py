"""Attacks by labels alone: closed-form minima, the account of queries, curves, starts, and hostile models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import linear
import numpy as np
import pytest
from scipy.optimize import brentq

from armour import attacks, criteria
from armour.attacks import Starts
from armour.attacks.black_box import LabelAsker
from armour.distances import distance
from armour.errors import InvalidArgument
from armour.model import CallableModel

# Attack, settings, and how many times the least distance the median and the worst may be on a linear model.
NEAR: list[tuple[str, dict[str, Any], float, float]] = [
    ("hop-skip-jump", {"norm": "l2", "queries": 1000}, 1.03, 1.3),
    ("hop-skip-jump", {"norm": "linf", "queries": 1000}, 1.15, 1.6),
    ("boundary", {"norm": "l2", "queries": 3000}, 1.05, 1.3),
    ("geoda", {"norm": "l2", "queries": 1000}, 1.05, 1.3),
    ("geoda", {"norm": "linf", "queries": 1000}, 1.1, 1.5),
    ("geoda", {"norm": "l1", "queries": 1000}, 1.1, 2.0),
    ("rays", {"norm": "linf", "queries": 1000}, 1.02, 1.1),
    ("sign-opt", {"norm": "l2", "queries": 2000}, 1.05, 1.3),
]
DECISION = [name for name, kind in attacks.ATTACKS.items() if issubclass(kind, attacks.DecisionAttack)]
decision = pytest.mark.parametrize("name", DECISION)


def least(model: linear.LinearModel, x: np.ndarray, y: np.ndarray, norm: str) -> np.ndarray:
    """(n,) distance to the boundary of a linear model of two classes inside its bounds, in float64."""
    slopes, gaps = linear.slope(model, y), linear.margin(model, x, y)
    longest = distance(norm).longest(x[0].size, 1.0)

    def excess(epsilon: float, i: int) -> float:
        return float(
            linear.largest_drop(slopes[i : i + 1], x[i : i + 1], epsilon, norm, (0.0, 1.0))[0] - gaps[i]
        )

    return np.array([brentq(excess, 0, longest, args=(i,), xtol=1e-9) for i in range(len(x))])


@pytest.mark.parametrize(
    ("name", "settings", "median", "worst"), NEAR, ids=[f"{n}-{s['norm']}" for n, s, *_ in NEAR]
)
def test_a_linear_model_is_nearly_solved(
    name: str, settings: dict[str, Any], median: float, worst: float
) -> None:
    model = linear.two_classes()
    x = linear.inputs(model, 30, seed=2)
    y = model.predict(x)
    result = attacks.get(name)(**settings).attack(model, x, y, rng=0)
    assert result.success.all()
    ratio = result.distance[0] / least(model, x, y, settings["norm"])
    assert ratio.min() > 1 - 1e-5, "nearer than possible"
    assert np.median(ratio) < median and ratio.max() < worst, (np.median(ratio), ratio.max())


@decision
def test_the_account_is_exact_for_each_sample(name: str) -> None:
    """The model itself counts the questions about each sample, which it tells by its label."""
    inner = linear.small_network()
    x = linear.inputs(inner, 12)
    asked = []

    def answer(batch: np.ndarray) -> np.ndarray:
        asked.append(len(batch))
        return inner.logits(batch)

    box = CallableModel(answer, input_shape=(1, 5, 5), num_classes=4, outputs="logits")
    y = inner.predict(x)
    for queries in (1, 7, 90):
        alone = []
        for i in range(len(x)):
            asked.clear()
            result = attacks.get(name)(queries=queries).attack(box, x[i : i + 1], y[i : i + 1], rng=3)
            alone.append(sum(asked) - 2)  # the first look, and the one that verifies
            assert result.spent[0, 0] == alone[-1] <= queries
        together = attacks.get(name)(queries=queries).attack(box, x, y, rng=3)
        np.testing.assert_array_equal(together.spent[0], alone)


@decision
def test_the_curve_falls_to_the_result(name: str) -> None:
    model = linear.small_network()
    x = linear.inputs(model, 20)
    y = model.predict(x)
    y[3] = (y[3] + 1) % 4
    long = attacks.get(name)(queries=400).attack(model, x, y, rng=1)
    assert long.curve is not None and long.query_grid is not None
    assert long.curve.shape == (len(long.query_grid), 20)
    with np.errstate(invalid="ignore"):
        assert not (np.diff(long.curve, axis=0) > 0).any()
    found = np.where(long.success[0], long.distance[0], np.inf)
    np.testing.assert_allclose(long.curve[-1], found)
    assert (long.curve[:, 3] == 0).all()
    assert np.isinf(long.curve[0, np.arange(20) != 3]).any() or long.spent.max() < 5


@decision
@pytest.mark.parametrize("kind", ["nan", "constant", "random"])
def test_models_that_tell_nothing_end_the_search(name: str, kind: str) -> None:
    rng = np.random.default_rng(0)

    def answer(batch: np.ndarray) -> np.ndarray:
        if kind == "random":
            return rng.normal(size=(len(batch), 3)).astype(np.float32)
        return np.tile(np.float32([1, np.nan if kind == "nan" else 0, 0]), (len(batch), 1))

    box = CallableModel(answer, input_shape=(1, 6, 6), num_classes=3, outputs="logits")
    x = np.random.default_rng(1).random((4, 1, 6, 6), np.float32)
    y = np.full(4, 1 if kind == "nan" else 0)
    result = attacks.get(name)(queries=80).attack(box, x, y)
    assert np.isfinite(result.adv).all() and result.spent.max() <= 80
    if kind != "random":
        np.testing.assert_array_equal(result.adv[0], x)
        assert not result.success.any() and np.isinf(result.curve[-1]).all()


@decision
def test_one_value_and_two_classes(name: str) -> None:
    model = linear.LinearModel(np.array([[1.0, -1.0]]), np.array([-0.5, 0.5]))
    x = np.float32([[0.0], [0.3], [1.0], [0.8]])
    result = attacks.get(name)(queries=100).attack(model, x, model.predict(x))
    assert np.isfinite(result.adv).all()
    found = result.success[0]
    assert found.any() == (name != "blur"), "the blur of one value is that value"
    assert (np.abs(result.adv[0] - x)[found, 0] >= np.abs(x[found, 0] - 0.5) - 1e-6).all()


@pytest.mark.parametrize("name", [name for name in DECISION if hasattr(attacks.get(name), "starts")])
def test_starts_of_the_class_asked_for(name: str) -> None:
    """A class of which no noise is part is met from starts alone; without them the sample stays as it is."""
    weights, bias = np.zeros((25, 3)), np.array([0.0, -0.5, -11.9])
    weights[20, 1], weights[:12, 2] = 1.0, 1.0  # class 2: the first twelve values are all but 1
    model = linear.LinearModel(weights, bias, input_shape=(1, 5, 5))
    x = np.full((6, 1, 5, 5), 0.2, np.float32)
    x += np.arange(6, dtype=np.float32)[:, None, None, None] / 100
    goal = criteria.Targeted(np.full(6, 2))
    attack = attacks.get(name)(queries=120)
    start = np.full((3, 1, 5, 5), 0.1, np.float32)
    start.reshape(3, 25)[1:, :12] = 1.0
    given = replace(attack, starts=start)
    assert given == replace(attack, starts=Starts(start)) and hash(given) != hash(attack)
    result = given.attack(model, x, goal)
    assert result.success.all() and (model.predict(result.adv[0]) == 2).all()
    assert (result.distance[0] <= given.distance.measure(x, np.repeat(start[1:2], 6, axis=0)) + 1e-6).all()
    if name == "rays":
        return  # it tries rays of its own if no start is of use
    useless = replace(attack, starts=x[:2]).attack(model, x, goal)
    assert not useless.success.any() and useless.adv[0].tobytes() == x.tobytes()


@pytest.mark.parametrize(
    "starts", [np.zeros((0, 4)), np.zeros(3), np.zeros((2, 4), int), np.full((1, 4), np.nan)]
)
def test_bad_starts(starts: np.ndarray) -> None:
    with pytest.raises(InvalidArgument, match="expected starts"):
        attacks.HopSkipJump(starts=starts)


def test_starts_must_fit_the_inputs() -> None:
    model = linear.small_network()
    x = linear.inputs(model, 4)
    with pytest.raises(InvalidArgument, match=r"starts .*\(1, 5, 5\)"):
        attacks.HopSkipJump(starts=np.zeros((2, 1, 4, 4), np.float32)).attack(model, x, model.predict(x))
    with pytest.raises(InvalidArgument, match="starts inside the model's bounds"):
        attacks.HopSkipJump(starts=np.full((2, 1, 5, 5), 3.0)).attack(model, x, model.predict(x))


def test_the_asker_keeps_the_nearest_and_the_order_of_questions() -> None:
    model = linear.LinearModel(np.array([[1.0, -1.0], [0.0, 0.0]]), np.array([-0.5, 0.5]))
    x = np.float32([[0.0, 0.0], [0.2, 0.0]])
    asker = LabelAsker(model, criteria.Misclassified(np.array([1, 1])), x, distance("l2"), 4)
    rows = np.array([1, 0, 0, 1, 0, 0, 0])
    asked = np.float32([[0.9, 0], [0.4, 0], [1, 0], [0.7, 0], [0.6, 0], [0.8, 0], [0.55, 0]])
    met = asker.met(rows, asked)
    assert met.tolist() == [True, False, True, True, True, True, False], (
        "the fifth about sample 0 is not asked"
    )
    assert asker.used.tolist() == [4, 2] and asker.left().tolist() == [0, 2]
    np.testing.assert_allclose(asker.distance, [0.6, 0.5], rtol=1e-6)
    np.testing.assert_allclose(asker.nearest, [[0.6, 0], [0.7, 0]])
    np.testing.assert_allclose(asker.curve[:4].T, [[np.inf, 1, 0.6, 0.6], [0.7, 0.5, 0.5, 0.5]], rtol=1e-6)
