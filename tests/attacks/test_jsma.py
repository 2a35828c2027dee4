"""JSMA's choice of values is the brute-force one, and it changes as many as it says."""

from __future__ import annotations

from itertools import combinations

import linear
import numpy as np
import pytest
import trained

from armour import attacks, criteria
from armour.attacks.jsma import choose
from armour.errors import InvalidArgument


def saliency(a: float, b: float) -> float:
    """What a move adds to the target times what it takes from the others, if both are gains."""
    return a * b if a > 0 and b > 0 else 0.0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("each", [1, 2])
def test_the_choice_is_the_best_of_all(each: int, seed: int) -> None:
    """Against a table of all moves, or of all pairs of moves of different values."""
    rng = np.random.default_rng(seed)
    size = 30
    gain, loss = rng.normal(size=(2, 8, size)).astype(np.float32)
    room = rng.uniform(0, 1, (8, 2 * size)).astype(np.float32) * (rng.random((8, 2 * size)) < 0.7)
    moves = np.where(np.arange(2 * size) < size, room, -room).astype(np.float32)
    chosen, worth = choose(gain, loss, moves, each)
    assert chosen.shape == (8, each) and worth.all()
    for row in range(8):
        a, b = np.tile(gain[row], 2) * moves[row], -np.tile(loss[row], 2) * moves[row]
        able = np.flatnonzero(moves[row])
        sets = [c for c in combinations(able, each) if len({i % size for i in c}) == each]
        best = max(saliency(a[list(c)].sum(), b[list(c)].sum()) for c in sets)
        own = list(chosen[row])
        assert saliency(a[own].sum(), b[own].sum()) == pytest.approx(best, rel=1e-5)


def test_without_a_gain_in_both_the_sum_decides_and_without_any_nothing_moves() -> None:
    gain = np.array([[1.0, 3.0, -1.0], [-1.0, -2.0, -3.0]], np.float32)
    loss = np.array([[2.0, 2.5, -0.5], [1.0, 1.0, 1.0]], np.float32)
    moves = np.array([[0.5, 0.5, 0.5, 0, 0, 0]] * 2, np.float32)
    chosen, worth = choose(gain, loss, moves, 1)
    assert chosen[0].tolist() == [1] and worth.tolist() == [True, False]
    pair, worth = choose(gain, loss, moves, 2)
    assert sorted(pair[0].tolist()) == [1, 2] and worth.tolist() == [False, False]


@pytest.mark.parametrize("pairs", [True, False])
def test_a_linear_model_is_broken_by_its_steepest_values(pairs: bool) -> None:
    """Two classes: the fewest values that can cross, by their largest gains, or one more for a pair."""
    model = linear.two_classes(d=20)
    x = linear.inputs(model, 40, seed=3)
    y = model.predict(x)
    result = attacks.JSMA(gamma=1.0, pairs=pairs).attack(model, x, y)
    slope = linear.slope(model, y)
    most = np.where(slope > 0, slope * (1 - x), slope * -x)
    reached = np.cumsum(-np.sort(-most, axis=1), axis=1) > linear.margin(model, x, y)[:, None]
    fewest = reached.argmax(axis=1) + 1
    assert result.success.all()
    assert (result.distance[0] >= fewest).all()
    salient = (linear.slope(model, y) != 0).all()
    assert salient and np.mean(result.distance[0] - fewest) < 1.5


def test_as_many_values_change_as_the_distance_says_and_none_beyond_gamma() -> None:
    model, (_, test) = trained.network("mlp"), trained.digits()
    x, y = test.x[:40], test.y[:40]
    few = attacks.JSMA(gamma=0.01).attack(model, x, y)
    many = attacks.JSMA().attack(model, x, y)
    changed = (many.adv[0] != x).reshape(len(x), -1).sum(axis=1)
    np.testing.assert_array_equal(many.distance[0], changed)
    assert few.distance.max() <= 0.01 * x[0].size and many.success.all()
    np.testing.assert_array_equal(few.adv[0][few.success[0]], many.adv[0][few.success[0]])
    # Each value went all the way.
    assert np.isin(many.adv[0][many.adv[0] != x], (0, 1)).all()


@pytest.mark.parametrize(("direction", "sign"), [("up", 1), ("down", -1)])
def test_a_direction_is_kept(direction: str, sign: int) -> None:
    model, x, y = linear.several_classes(seed=3)
    result = attacks.JSMA(direction=direction, gamma=1.0, theta=0.1).attack(model, x, y)  # type: ignore[arg-type]
    moved = (result.adv[0] - x)[result.adv[0] != x]
    assert moved.size and (np.sign(moved) == sign).all()
    target = (y + 2) % 5
    aimed = attacks.JSMA(gamma=1.0, theta=0.1).attack(model, x, criteria.Targeted(target))
    assert aimed.success.mean() > 0.9
    assert (model.predict(aimed.adv[0]) == target)[aimed.success[0]].all()


@pytest.mark.parametrize(
    "change", [{"theta": 0}, {"theta": 1.5}, {"gamma": 0}, {"pairs": 2}, {"direction": "x"}]
)
def test_bad_settings(change: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(change))):
        attacks.JSMA(**change)
