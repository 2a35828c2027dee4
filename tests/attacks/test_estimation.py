"""Gradients estimated from scores are those of linear models, within the standard error, and so is Adam."""

from __future__ import annotations

import linear
import numpy as np
import pytest

from armour import criteria
from armour.attacks.black_box import Asker
from armour.attacks.estimation import Adam, Noise, estimate
from armour.bounds import Bounds
from armour.distances import distance
from armour.regions import Region
from armour.rng import Streams, per_item

D, PAIRS = 12, 400


def asked(
    model: linear.LinearModel, x: np.ndarray, y: np.ndarray, region: Region, kind: str, pairs: int
) -> tuple[np.ndarray, Asker, np.ndarray]:
    asker = Asker(model, criteria.Misclassified(y), len(x), 2 * pairs)
    rng = per_item(np.random.default_rng(5), len(x))
    noise = {
        "normal": lambda: Noise.normal(rng, D),
        "signs": lambda: Noise.signs(rng, D),
        "coordinates": lambda: Noise.coordinates(rng, D, pairs),
    }[kind]()
    made = estimate(asker, region, np.arange(len(x)), x, noise, 3, pairs=pairs, sigma=0.01, loss="margin")
    return made.gradient, asker, made.met


def case(at: str) -> tuple[linear.LinearModel, np.ndarray, np.ndarray]:
    """A linear model and inputs in the middle of the bounds, or on them, that it is sure of."""
    model = linear.two_classes(D)
    rng = np.random.default_rng(1)
    x = rng.uniform(0.3, 0.7, (6, D)) if at == "middle" else rng.integers(0, 2, (6, D))
    x = x.astype(np.float32)
    y = model.predict(x)
    model.bias[:] = 0
    model.bias[0] = np.where(y[0] == 0, 50, -50)
    return model, x, model.predict(x)


@pytest.mark.parametrize("at", ["middle", "bounds"])
@pytest.mark.parametrize("kind", ["normal", "signs"])
def test_an_estimate_is_the_gradient_within_its_standard_error(kind: str, at: str) -> None:
    """On the bounds too, where questions that are cut would find half of the slope."""
    model, x, y = case(at)
    region = distance("l2").region(x, 10.0, model.bounds)
    made, asker, _ = asked(model, x, y, region, kind, PAIRS)
    exact = linear.slope(model, y)
    whole = (exact**2).sum(axis=1, keepdims=True)
    # The mean of u_i (g . u) over the pairs; signs have no fourth moment beyond 1.
    spread = np.sqrt((whole + (1 if kind == "normal" else -1) * exact**2) / PAIRS)
    score = (made - exact) / spread
    assert np.abs(score).max() < 4.5 and 0.75 < np.sqrt((score**2).mean()) < 1.25
    assert abs(score.mean()) < 4.5 / np.sqrt(score.size)
    np.testing.assert_array_equal(asker.used, 2 * PAIRS)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_coordinates_are_exact(norm: str) -> None:
    model, x, y = case("bounds")
    region = distance(norm).region(x, 0.3, model.bounds)  # type: ignore[arg-type]
    made, asker, _ = asked(model, x, y, region, "coordinates", D)
    np.testing.assert_allclose(made, linear.slope(model, y), rtol=2e-3, atol=2e-3)
    np.testing.assert_array_equal(asker.used, 2 * D)


def test_coordinates_come_once_in_each_pass_in_an_order_of_their_own() -> None:
    rng = per_item(np.random.default_rng(0), 3)
    noise = Noise.coordinates(rng, D, 5)
    picked = [noise.draw(np.arange(3), step, pair).argmax(axis=1) for step in range(12) for pair in range(5)]
    passes = np.stack(picked)[: 5 * D].reshape(5, D, 3)
    assert (np.sort(passes, axis=1) == np.arange(D)[:, None]).all()
    assert (passes[0, :, 0] != passes[1, :, 0]).any() and (passes[0, :, 0] != passes[0, :, 1]).any()
    # A sample's order is its own, whoever else is there.
    alone = Noise.coordinates(Streams(rng.keys[1:2]), D, 5)
    assert alone.draw(np.arange(1), 1, 2).argmax() == picked[7][1]


@pytest.mark.parametrize("kind", ["normal", "signs", "coordinates"])
def test_what_may_not_move_has_no_gradient_and_is_not_touched(kind: str) -> None:
    model, x, y = case("middle")
    allowed = np.arange(D) % 3 > 0
    region = distance("linf").region(x, 0.1, model.bounds).masked(np.broadcast_to(allowed, x.shape))
    seen = []
    forward = model._forward
    model._forward = lambda x: seen.append(x.copy()) or forward(x)  # type: ignore[method-assign,func-returns-value]
    made, _, _ = asked(model, x, y, region, kind, D)
    assert (made[:, ~allowed] == 0).all() and (made[:, allowed] != 0).all()
    points = np.concatenate(seen).reshape(len(x), -1, D) if len(seen) == 1 else np.concatenate(seen)
    assert (points.reshape(len(x), -1, D)[:, :, ~allowed] == x[:, None, ~allowed]).all()
    assert points.min() >= 0 and points.max() <= 1


def test_how_many_are_asked_at_once_changes_no_bit() -> None:
    model, x, y = case("bounds")
    region = distance("l2").region(x, 1.0, model.bounds)
    wide, _, _ = asked(model, x, y, region, "normal", 33)
    model.batch_size = 8
    narrow, _, _ = asked(model, x, y, region, "normal", 33)
    np.testing.assert_array_equal(wide, narrow)


def test_a_question_that_breaks_a_sample_is_an_answer() -> None:
    """Only one inside the budget; in l2 most questions beyond the point lie outside."""
    model = linear.two_classes(D)
    x = np.random.default_rng(0).uniform(0.3, 0.7, (40, D)).astype(np.float32)
    y = model.predict(x)
    # Just on the right side of the boundary: about half of the questions break it.
    slope = linear.slope(model, y)
    gap = linear.margin(model, x, y) / (slope**2).sum(axis=1)
    x = (x + (gap * 0.9999)[:, None] * slope).astype(np.float32)
    assert (model.predict(x) == y).all()
    asker = Asker(model, criteria.Misclassified(y), len(x), 40)
    noise = Noise.normal(per_item(np.random.default_rng(0), len(x)), D)
    for epsilon, hits in ((1.0, 40), (1e-6, 0)):
        region = distance("l2").region(x, epsilon, Bounds(0, 1))
        asker.used[:] = 0
        made = estimate(asker, region, np.arange(len(x)), x, noise, 0, pairs=20, sigma=0.01, loss="margin")
        assert made.met.sum() == hits
        assert (model.predict(made.found) != y).sum() == hits
        assert (distance("l2").measure(x, made.found) <= epsilon).all()


def test_scores_that_are_no_numbers_give_no_direction() -> None:
    model, x, y = case("middle")
    model.weights[:] = np.nan
    region = distance("linf").region(x, 0.1, model.bounds)
    made, _, _ = asked(model, x, y, region, "normal", 4)
    assert (made == 0).all()


def test_adam_is_adam() -> None:
    """As by the paper's formulas in float64, each value with a count of its own."""
    rng = np.random.default_rng(0)
    adam = Adam(np.zeros((2, 5), np.float32))
    mean, square, steps = np.zeros((2, 5)), np.zeros((2, 5)), np.zeros((2, 5))
    for step in range(20):
        gradient = rng.normal(size=(2, 5)) * 10.0 ** rng.integers(-3, 3, (2, 5))
        gradient[rng.random((2, 5)) < 0.3] = 0
        at = np.array([0, 1]) if step % 3 else np.array([1])
        made = adam(at, gradient[at].astype(np.float32))
        for row, i in enumerate(at):
            for j in np.flatnonzero(gradient[i]):
                steps[i, j] += 1
                mean[i, j] = 0.9 * mean[i, j] + 0.1 * gradient[i, j]
                square[i, j] = 0.999 * square[i, j] + 0.001 * gradient[i, j] ** 2
                expected = (
                    mean[i, j] / (1 - 0.9 ** steps[i, j]) / np.sqrt(square[i, j] / (1 - 0.999 ** steps[i, j]))
                )
                assert made[row, j] == pytest.approx(expected, rel=1e-3)
            assert (made[row][gradient[i] == 0] == 0).all()
