"""Attacks by scores: what they find on linear models, what they ask, and what they do without a way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import attack_contract as contract
import linear
import numpy as np
import pytest
import small_models

from armour import attacks
from armour.attacks import ScoreAttack
from armour.model import CallableModel

# Those that reach the optimum of a linear model within `share` of the budget, and the questions they need.
SOLVERS: list[tuple[ScoreAttack, float]] = [
    (attacks.NES(queries=1500), 0.9),
    (attacks.NES(norm="l2", queries=1500), 0.9),
    (attacks.NES(norm="l1", queries=1500), 0.8),
    (attacks.SPSA(queries=1500), 0.9),
    (attacks.SPSA(norm="l2", queries=1500), 0.9),
    (attacks.Bandits(queries=1500, tile=1), 0.9),
    (attacks.Bandits(norm="l2", queries=1500, tile=1), 0.8),
    (attacks.ZOO(queries=500), 0.999),
    (attacks.ZOO(norm="l2", queries=500), 0.75),
    (attacks.SimBA(norm="linf", queries=60), 0.9999),
    (attacks.SimBA(norm="l2", queries=500, step_size=0.05), 0.9),
    (attacks.Genetic(queries=1500), 0.8),
    (attacks.Genetic(norm="l2", queries=1500), 0.8),
    (attacks.PSO(queries=1500), 0.95),
    (attacks.PSO(norm="l2", queries=1500), 0.8),
]
# Not those that need more than a model, such as a surrogate; and noise is no search.
NAMES = [
    name
    for name, kind in attacks.ATTACKS.items()
    if issubclass(kind, ScoreAttack) and name not in contract.NEEDED and name != "noise"
]
every = pytest.mark.parametrize("name", NAMES)


def ids(case: Any) -> str:
    return f"{type(case).__name__}-{case.norm}" if isinstance(case, ScoreAttack) else str(case)


@pytest.mark.parametrize(("attack", "share"), SOLVERS, ids=ids)
def test_a_linear_model_is_solved(attack: ScoreAttack, share: float) -> None:
    """What a nearly optimal point of the ball breaks is broken, what none breaks is not."""
    model = linear.two_classes()
    x = linear.inputs(model, 40, seed=2)
    y = model.predict(x)
    epsilon = {"linf": 0.1, "l2": 0.4, "l1": 0.4}[attack.norm]
    drop = linear.largest_drop(linear.slope(model, y), x, epsilon, attack.norm, (0.0, 1.0))
    gap = linear.margin(model, x, y)
    result = attack.attack(model, x, y, epsilon)
    surely, never = gap < share * drop - 1e-4, gap > drop + 1e-4
    assert surely.sum() > 5 and never.sum() > 5
    assert result.success[0][surely].all(), (gap / drop)[surely & ~result.success[0]]
    assert not result.success[0][never].any()


@every
def test_each_question_is_on_the_account_of_its_sample(name: str) -> None:
    """A value that may not change says whom a question is about; they are counted where they arrive."""
    net = linear.small_network()
    x = linear.inputs(net, 20)
    x[:, 0, 0, 0] = np.arange(20, dtype=np.float32) / 32
    y = net.predict(x)
    counts = np.zeros(20, np.int64)

    def scores(asked: np.ndarray) -> np.ndarray:
        np.add.at(counts, np.rint(asked[:, 0, 0, 0] * 32).astype(int), 1)
        return net.logits(asked)

    box = CallableModel(scores, input_shape=(1, 5, 5), num_classes=4, outputs="logits")
    allowed = np.ones((1, 5, 5), bool)
    allowed[0, 0, 0] = False
    attack = attacks.get(name)(queries=75, mask=allowed)  # type: ignore[call-arg]
    result = attack.attack(box, x, y, 0.15)
    # The clean answer, the questions of the search, and the verification.
    np.testing.assert_array_equal(counts, result.spent[0] + 2)
    assert result.spent.max() <= 75 and 3 < result.success.sum() < 20
    # Who is not broken has used up what can be used: less than a pair of questions and a check is left.
    assert (result.spent[0][~result.success[0]] >= 73).all()
    assert result.spent[0][result.success[0]].min() < 60


@every
@pytest.mark.parametrize("queries", [1, 2, 3, 7])
def test_a_tiny_budget_of_queries_is_kept(name: str, queries: int) -> None:
    model = linear.small_network()
    x = linear.inputs(model, 8)
    result = attacks.get(name)(queries=queries).attack(model, x, model.predict(x), 0.1)  # type: ignore[call-arg]
    assert result.spent.max() <= queries


@every
@pytest.mark.parametrize("answer", ["labels", "constant", "nan", "one-is-nan"])
def test_where_scores_show_no_way_it_ends_cleanly(name: str, answer: str) -> None:
    net = linear.small_network()
    x = linear.inputs(net, 6)
    y = net.predict(x)

    def scores(asked: np.ndarray) -> np.ndarray:
        logits = net.logits(asked)
        if answer == "labels":
            return logits.argmax(axis=1)
        if answer == "constant":
            return np.full_like(logits, 0.25)
        logits[:, slice(None) if answer == "nan" else 2] = np.nan
        return logits

    box = CallableModel(
        scores, input_shape=(1, 5, 5), num_classes=4, outputs="labels" if answer == "labels" else "logits"
    )
    goal = y if answer == "labels" else box.predict(x)
    for norm in attacks.get(name).norms:
        attack = replace(attacks.get(name)(norm=norm), queries=40)
        result = attack.attack(box, x, goal, 0.01 if norm == "linf" else 0.05)
        assert np.isfinite(result.adv).all() and result.spent.max() <= 40
        if answer != "labels":
            assert not result.success.any()


@every
@pytest.mark.parametrize("shape", [(1,), (30,), (2, 17), (2, 3, 4, 5)])
def test_inputs_of_any_shape(name: str, shape: tuple[int, ...]) -> None:
    """A column of two classes is enough: the larger half of the budget breaks it."""
    size = int(np.prod(shape))
    weights = np.stack([np.full(size, -1.0), np.full(size, 1.0)], axis=1)
    model = linear.LinearModel(weights, np.array([size, -size]) * 0.5, input_shape=shape)
    x = np.random.default_rng(0).uniform(0.45, 0.49, (5, *shape)).astype(np.float32)
    for norm in attacks.get(name).norms:
        epsilon = {"linf": 0.2, "l2": 0.2 * size**0.5, "l1": 0.2 * size}[norm]
        attack = attacks.get(name)(norm=norm, queries=400)  # type: ignore[call-arg]
        result = attack.attack(model, x, np.zeros(5, int), epsilon)
        assert result.success.all(), (norm, result.success)


def test_more_questions_are_never_worse() -> None:
    """The same draws go on: what is best after some questions is no better than after more."""
    net = small_models.centroids(*small_models.digits(600))
    x, _ = small_models.digits(20)
    y = net.predict(x)
    for kind in (attacks.SimBA, attacks.Genetic):
        before = np.full(len(x), -np.inf)
        for queries in (20, 60, 180):
            adv = kind(norm="linf", queries=queries).attack(net, x, y, 0.02).adv[0]
            z = net.logits(adv)
            rest = np.where(np.arange(10) == y[:, None], -np.inf, z)
            value = rest.max(axis=1) - z[np.arange(len(x)), y]
            assert (value >= before - 1e-5).all(), kind
            assert value.mean() > before.mean() or queries == 20
            before = value


@pytest.mark.parametrize("name", sorted({type(attack).__name__.lower() for attack, _ in SOLVERS}))
def test_when_time_is_up_it_hands_back_what_it_has(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is asked between rounds: far fewer questions than the budget, and a result within it."""
    from armour.attacks import bandits, estimation, population, simba

    asked: list[int] = []

    def up() -> bool:
        asked.append(1)
        return len(asked) > 4

    for module in (bandits, estimation, population, simba):
        monkeypatch.setattr(module, "time_is_up", up)
    model = linear.small_network()
    x = linear.inputs(model, 6)
    result = attacks.get(name)(queries=4000).attack(model, x, model.predict(x), 1e-3)  # type: ignore[call-arg]
    assert result.spent.max() < 400 and (result.distance <= 1e-3).all()
