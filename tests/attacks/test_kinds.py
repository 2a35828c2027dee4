"""What attacks of one kind must keep beyond the contract of all: budgets, masks, queries, minimum norms."""

from __future__ import annotations

import math

import attack_contract as contract
import linear
import numpy as np
import pytest
from attack_contract import BUDGET, fixed_budget, go, make, minimum_norm

from armour import criteria
from armour.attacks import Mask, OwnLimitsAttack, get
from armour.errors import InvalidArgument
from armour.rng import by_content


@pytest.fixture(scope="module")
def model() -> linear.OneByOne:
    return contract.small()[0]


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return contract.small()[1]


@pytest.fixture(scope="module")
def y() -> np.ndarray:
    return contract.small()[2]


@fixed_budget
def test_results_are_in_budget(name, norm, model, x, y):
    for budget in (BUDGET[norm] / 4, BUDGET[norm]):
        result = make(name, norm).attack(model, x, y, budget)
        assert (contract.length(norm, x, result.adv[0]) <= budget * (1 + 1e-6)).all()


@fixed_budget
def test_run_alone_needs_no_repair(name, norm, model, x, y):
    """The shared call must have nothing to do: what run returns is inside as it stands."""
    open_rows = np.flatnonzero(model.predict(x) == y)
    part, goal = x[open_rows], criteria.Misclassified(y[open_rows])
    attack = make(name, norm)
    adv = attack.run(model, part, goal, BUDGET[norm], rng=by_content(np.random.default_rng(3), x)[open_rows])
    assert adv.shape == part.shape and adv.dtype == np.float32
    assert adv.min() >= 0 and adv.max() <= 1
    assert (attack.distance.measure(part, adv) <= BUDGET[norm]).all()
    whole = attack.attack(model, x, y, BUDGET[norm], rng=3)
    np.testing.assert_array_equal(whole.adv[0][open_rows], adv)


@fixed_budget
def test_several_budgets_are_as_many_single_ones(name, norm, model, x, y):
    budgets = [BUDGET[norm], 0, BUDGET[norm] / 3]
    result = make(name, norm).attack(model, x, y, budgets, rng=2)
    np.testing.assert_array_equal(result.epsilons, budgets)
    for k, budget in enumerate(budgets):
        single = make(name, norm).attack(model, x, y, budget, rng=2)
        if len(result.components) > 1:
            # A minimum-norm attack in a row runs once for all budgets: it may end nearer than for one.
            broken = single.success[0]
            assert (result.success[k] >= broken).all()
            assert (result.distance[k][broken] <= single.distance[0][broken]).all()
            continue
        np.testing.assert_array_equal(result.adv[k], single.adv[0])
        assert result.robust_accuracy[k] == single.robust_accuracy[0]
    np.testing.assert_array_equal(result.adv[1], x)
    assert result.robust_accuracy[1] == result.clean_accuracy


@fixed_budget
def test_only_what_the_mask_allows_is_changed(name, norm, model, x, y):
    from dataclasses import replace

    allowed = np.zeros((1, 5, 5), bool)
    allowed[:, 1:4, 2:] = True
    attack = replace(make(name, norm), mask=allowed)
    open_rows = np.flatnonzero(model.predict(x) == y)
    part, goal = x[open_rows], criteria.Misclassified(y[open_rows])
    run = attack.run(model, part, goal, BUDGET[norm] * 2, rng=by_content(np.random.default_rng(3), part))
    assert ((run != part) <= allowed).all(), "run alone"
    result = attack.attack(model, x, y, BUDGET[norm] * 2, rng=3)
    assert ((result.adv[0] != x) <= allowed).all()
    assert (result.adv[0] != x)[:, allowed].any()
    assert attack == replace(make(name, norm), mask=Mask(allowed)) and hash(attack) != hash(make(name, norm))


@fixed_budget
def test_a_budget_is_needed(name, norm, model, x, y):
    with pytest.raises(InvalidArgument, match="expected epsilons"):
        make(name, norm).attack(model, x, y)


@minimum_norm
def test_a_minimum_norm_attack_needs_no_budget(name, norm, model, x, y):
    attack = make(name, norm)
    free = attack.attack(model, x, y, rng=1)
    assert free.epsilons.tolist() == [math.inf]
    budgets = [float(np.quantile(free.distance[0], q)) for q in (0.5, 0.9)]
    result = attack.attack(model, x, y, budgets, rng=1)
    for k, budget in enumerate(budgets):
        assert (contract.length(norm, x, result.adv[k]) <= budget * (1 + 1e-6)).all()
        # What the free run found within the budget is a success within it; the very same input, but for
        # attacks that save themselves the search for a nearer one.
        near = free.success[0] & (free.distance[0] <= budget)
        assert result.success[k][near].all()
        if name not in contract.CONTENT:
            np.testing.assert_array_equal(result.adv[k][near], free.adv[0][near])


@minimum_norm
def test_what_a_minimum_norm_attack_returns_is_in_bounds(name, norm, model, x, y):
    open_rows = np.flatnonzero(model.predict(x) == y)
    part, goal = x[open_rows], criteria.Misclassified(y[open_rows])
    adv = make(name, norm).run(model, part, goal, rng=by_content(np.random.default_rng(3), x)[open_rows])
    assert adv.shape == part.shape and adv.dtype == np.float32
    assert adv.min() >= 0 and adv.max() <= 1


@contract.every
def test_no_sample_costs_more_than_the_budget_of_queries(name, norm, model, x, y):
    attack = make(name, norm)
    result = go(attack, model, x, y)
    if not hasattr(attack, "queries"):
        assert not result.spent.any()
        return
    assert result.spent.max() <= attack.queries
    if len(result.components) > 1:  # a row's later attacks see only what the earlier ones have left
        return
    assert (result.spent[0] > 0).sum() == (model.predict(x) == y).sum()


@contract.cases(OwnLimitsAttack)
def test_an_attack_with_limits_of_its_own_refuses_a_budget(name, norm, model, x, y):
    assert issubclass(get(name), OwnLimitsAttack)
    before = model.counter.queries
    with pytest.raises(InvalidArgument, match="no epsilons"):
        make(name, norm).attack(model, x, y, 0.1)
    assert model.counter.queries == before, "it is said before anything is asked"


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((5, 5), bool), "all False"),
        (np.full((5, 5), 0.5), "booleans"),
        (np.ones((5, 4), bool), r"fits inputs \(1, 5, 5\)"),
        (np.ones((2, 1, 5, 5), bool), "fits inputs"),
    ],
)
def test_bad_masks(mask, message, model, x, y):
    with pytest.raises(InvalidArgument, match=message):
        get("pgd")(mask=mask).attack(model, x, y, 0.1)


@fixed_budget
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.0, 255.0)])
def test_results_lie_on_the_grid(name, norm, bounds):
    """Steps of a sixteenth of the range; what the model was asked at is what comes back."""
    from dataclasses import replace

    net = linear.small_network(bounds)
    step = bounds[1] / 16
    x = (np.rint(linear.inputs(net, 16) / step) * step).astype(np.float32)
    y = net.predict(x)
    budget = {"linf": 2.5, "l2": 9.0, "l1": 30.0, "l0": 5.0 / step}[norm] * step
    attack = replace(make(name, norm), grid=step)
    result = attack.attack(net, x, y, budget)
    steps = result.adv[0] / step
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert (contract.length(norm, x, result.adv[0]) <= budget * (1 + 1e-6)).all()
    assert result.adv.min() >= bounds[0] and result.adv.max() <= bounds[1]
    assert (result.success[0] == (net.predict(result.adv[0]) != y)).all()
    moved = result.adv[0] != x
    assert moved.any() and (np.abs(result.adv[0] - x)[moved] > step * 0.99).all()
    with pytest.raises(InvalidArgument, match="on the grid"):
        attack.attack(net, x * np.float32(0.9), y, budget)
