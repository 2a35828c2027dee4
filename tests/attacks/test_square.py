"""Square finds the closed-form optimum of a linear model by scores alone, within its queries."""

from __future__ import annotations

import linear
import numpy as np
import pytest
import small_models

from armour import attacks, criteria
from armour.attacks.windows import bump
from armour.errors import InvalidArgument
from armour.model import CallableModel


@pytest.mark.parametrize("epsilon", [0.05, 0.1, 0.2])
def test_a_linear_model_is_solved_exactly(epsilon: float) -> None:
    model = linear.two_classes()
    x = linear.inputs(model, 40, seed=2)
    y = model.predict(x)
    drop = linear.largest_drop(linear.slope(model, y), x, epsilon, "linf", (0.0, 1.0))
    gap = linear.margin(model, x, y)
    result = attacks.Square(queries=2000).attack(model, x, y, epsilon)
    clear = np.abs(drop - gap) > 1e-4
    assert clear.sum() > 35 and 0 < (drop > gap).sum() < 40
    np.testing.assert_array_equal(result.success[0][clear], (drop > gap)[clear])
    left = ~result.success[0]
    np.testing.assert_allclose(
        linear.margin(model, result.adv[0], y)[left], (gap - drop)[left], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_budget_of_queries_holds_for_each_sample(norm: str) -> None:
    data, _ = small_models.digits(40)
    net = small_models.centroids(*small_models.digits(600))

    def scores(x: np.ndarray) -> np.ndarray:
        counts.append(len(x))
        return net.logits(x)

    counts: list[int] = []
    box = CallableModel(scores, input_shape=(1, 8, 8), num_classes=10, outputs="logits")
    labels = net.predict(data)
    epsilon = {"linf": 0.02, "l2": 0.15, "l1": 0.6}[norm]
    result = attacks.Square(norm=norm, queries=50).attack(box, data, labels, epsilon)
    # Once for the clean answer, 50 times by the attack while it is not broken, once to verify it.
    assert counts[0] == counts[1] == counts[-1] == 40 and len(counts) == 1 + 50 + 1
    assert counts[1:-1] == sorted(counts[1:-1], reverse=True)
    assert 40 > counts[-2] >= (~result.success[0]).sum() > 0
    assert result.queries == sum(counts) and result.gradients == 0
    np.testing.assert_array_equal(result.spent[0].sum(), sum(counts[1:-1]))
    np.testing.assert_array_equal(result.spent[0][~result.success[0]], 50)


def test_every_value_ends_at_an_end_of_the_budget() -> None:
    """From the stripes on, each pixel is at an end of its box."""
    net = small_models.centroids(*small_models.digits(600))
    x = np.random.default_rng(0).uniform(0.3, 0.7, (20, 1, 8, 8)).astype(np.float32)
    adv = attacks.Square(queries=200).attack(net, x, net.predict(x), 0.1, rng=1).adv[0]
    np.testing.assert_allclose(np.abs(adv - x), 0.1, atol=1e-6)


def test_a_window_of_three_channels_is_moved_as_one() -> None:
    class Spy(linear.LinearModel):
        seen: list[np.ndarray]

        def _forward(self, x: np.ndarray) -> np.ndarray:
            self.seen.append(x.copy())
            return super()._forward(x)

    rng = np.random.default_rng(0)
    model = Spy(rng.normal(size=(3 * 9 * 9, 2)), np.zeros(2), input_shape=(3, 9, 9))
    model.seen = []
    x = np.full((1, 3, 9, 9), 0.5, np.float32)
    y = model.predict(x)
    model.seen.clear()
    attacks.Square(queries=400, start=False).attack(model, x, y, 1e-3, rng=3)
    # The clean answer, x as the start, then 399 windows, and the verification.
    assert len(model.seen) == 402
    best, sides = x, []
    for tried in model.seen[2:-1]:
        moved = (tried != best).any(axis=(0, 1))
        rows, columns = np.flatnonzero(moved.any(axis=1)), np.flatnonzero(moved.any(axis=0))
        # A window that overlaps an older one may leave a part as it was, never go beyond its square.
        sides.append(max(np.ptp(rows), np.ptp(columns)) + 1)
        if linear.margin(model, tried, y) < linear.margin(model, best, y):
            best = tried
    # The first query is the 25th of 10,000: the share of 0.8 has been halved once, sqrt(0.4 * 81) is 6.
    assert sides[0] == 6 and max(sides) == 6 and sides[-1] == 1


def test_random_search_beats_random_corners() -> None:
    data, labels = small_models.digits(120)
    net = small_models.centroids(*small_models.digits(1797))
    right = net.predict(data) == labels
    data, labels = data[right], labels[right]
    found = attacks.Square(queries=300).attack(net, data, labels, 0.12, rng=0).success[0]
    corners = np.zeros(len(data), bool)
    rng = np.random.default_rng(0)
    for _ in range(300):
        step = rng.choice(np.array([-0.12, 0.12], np.float32), data.shape)
        corners |= net.predict(np.clip(data + step, 0, 1)) != labels
    # The network is linear inside its bounds, so that the furthest corner for each class is known.
    slopes = net.state_dict()["3.weight"].reshape(10, -1).astype(np.float64)
    flat = data.reshape(len(data), -1).astype(np.float64)
    low, high = np.maximum(flat - 0.12, 0), np.minimum(flat + 0.12, 1)
    logits, possible = net.logits(data).astype(np.float64), np.zeros(len(data), bool)
    for other in range(10):
        c = slopes[other] - slopes[labels]
        gain = (c * (np.where(c > 0, high, low) - flat)).sum(axis=1)
        gap = logits[np.arange(len(data)), labels] - logits[:, other]
        possible |= (gain > gap - 1e-4) & (labels != other)
    assert not (found & ~possible).any() and corners.mean() + 0.15 < found.mean()
    assert found.sum() > 0.6 * possible.sum() > 0
    targets = criteria.Targeted((labels + 1) % 10)
    aimed = attacks.Square(queries=300).attack(net, data, targets, 0.4, rng=0)
    assert aimed.success.mean() > 0.3


@pytest.mark.parametrize(("norm", "share"), [("l2", 0.75), ("l1", 0.75)])
def test_a_linear_model_is_nearly_solved_in_l2_and_l1(norm: str, share: float) -> None:
    """Never beyond the closed form, and most of the way there."""
    model = linear.two_classes()
    x = linear.inputs(model, 20, seed=2)
    y = model.predict(x)
    model.bias[:] = 0
    model.bias[y[0]] = 30
    x, y = x[y == y[0]], y[y == y[0]]
    epsilon = {"l2": 0.4, "l1": 1.0}[norm]
    best = linear.largest_drop(linear.slope(model, y), x, epsilon, norm, (0.0, 1.0))
    result = attacks.Square(norm=norm, queries=1500).attack(model, x, y, epsilon)
    drop = linear.margin(model, x, y) - linear.margin(model, result.adv[0], y)
    assert (drop <= best * (1 + 1e-5)).all() and not result.success.any()
    assert np.median(drop / best) > share, (drop / best).round(2)


def test_all_of_an_l2_budget_is_spent_and_moves_stay_in_two_windows() -> None:
    class Spy(linear.LinearModel):
        seen: list[np.ndarray]

        def _forward(self, x: np.ndarray) -> np.ndarray:
            self.seen.append(x.copy())
            return super()._forward(x)

    rng = np.random.default_rng(0)
    model = Spy(rng.normal(size=(2 * 15 * 15, 2)), np.zeros(2), input_shape=(2, 15, 15))
    model.seen = []
    x = np.full((1, 2, 15, 15), 0.5, np.float32)
    y = model.predict(x)
    model.seen.clear()
    epsilon = 0.05
    attacks.Square(norm="l2", queries=300).attack(model, x, y, epsilon, rng=1)
    best, sides = model.seen[1], []
    for tried in model.seen[2:-1]:
        assert np.linalg.norm((tried - x).astype(np.float64)) == pytest.approx(epsilon, rel=1e-4)
        # Bounds are far, so what the windows leave alone stays in place, up to one factor.
        was, now = (best - x).astype(np.float64), (tried - x).astype(np.float64)
        same = np.abs(was) > 1e-4
        ratio = np.median(now[same] / was[same]) if same.any() else 1.0
        moved = (np.abs(now - ratio * was) > 1e-6).any(axis=(0, 1))
        sides.append(moved.sum())
        if linear.margin(model, tried, y) < linear.margin(model, best, y):
            best = tried
    assert max(sides[-50:]) <= 2 * 9, "windows of three by three at the end"
    assert linear.margin(model, best, y) < linear.margin(model, model.seen[1], y)


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_bumps_are_peaks_of_both_signs(norm: str) -> None:
    for tall, wide in ((1, 1), (3, 3), (7, 7), (5, 9), (12, 1)):
        made = bump(tall, wide, norm).astype(np.float64)
        assert made.shape == (tall, wide)
        assert np.linalg.norm(made.ravel(), 2 if norm == "l2" else 1) == pytest.approx(1, rel=1e-6)
        assert (made[: tall // 2] > 0).all() and (made[tall // 2 :] < 0).all()
    # 7 by 7: the lower half is 4 by 7, its middle the third row and the fourth column; the squares around it
    # are 1, 1/4, 1/9 and 1/16 high (l1: to the fourth power of 1, 2, 3 and 4).
    lower = -bump(7, 7, norm)[3:].astype(np.float64)
    heights = 1 / np.arange(1, 5) ** (2 if norm == "l2" else 4)
    rings = np.maximum(np.abs(np.arange(4) - 2)[:, None], np.abs(np.arange(7) - 3))
    np.testing.assert_allclose(
        lower / lower[2, 3], (heights[::-1].cumsum()[::-1] / heights.sum())[rings], rtol=1e-5
    )


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 9), (5,), (1,)])
def test_inputs_of_any_shape(norm: str, shape: tuple[int, ...]) -> None:
    d = int(np.prod(shape))
    rng = np.random.default_rng(0)
    model = linear.LinearModel(rng.normal(size=(d, 2)), np.zeros(2), input_shape=shape)
    x = rng.random((6, *shape)).astype(np.float32)
    for start in (True, False):
        attack = attacks.Square(norm=norm, queries=20, start=start)
        result = attack.attack(model, x, model.predict(x), 0.2)
        assert np.isfinite(result.adv).all() and (result.distance[0] <= 0.2).all()


def test_settings_are_checked() -> None:
    for settings in ({"queries": 0}, {"window": 1.5}, {"loss": "margins"}, {"norm": "l0"}):
        with pytest.raises(InvalidArgument):
            attacks.Square(**settings)
