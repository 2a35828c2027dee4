"""The ascent loop: it keeps the best iterate, and bad gradients do not poison it."""

from __future__ import annotations

from typing import Any

import linear
import numpy as np

from armour.attacks.gradient import ascend, finite, look, pull
from armour.contract import LossFn
from armour.criteria import Misclassified
from armour.distances import distance
from armour.tensor import Tensor


def test_best_iterate_is_kept_when_steps_overshoot() -> None:
    """A concave objective and steps as long as the ball: the last iterate is not the best."""
    model = linear.two_classes()
    x = np.random.default_rng(0).uniform(0.4, 0.6, (10, 12)).astype(np.float32)
    start = x + np.float32(0.02)
    y = model.predict(x)
    target = model.logits(x)[:, 0]
    seen: list[np.ndarray] = []

    def loss(z: Tensor, labels: Any) -> Tensor:
        value = -((z[:, 0] - target) * (z[:, 0] - target))
        seen.append(value.numpy())
        return value

    region = distance("linf").region(x, 0.05, model.bounds)
    criterion = Misclassified(y)
    criterion_never = type("Never", (Misclassified,), {"__call__": lambda self, z: np.zeros(len(z), bool)})(y)
    criterion_never.__class__.__getitem__ = lambda self, index: self
    adv, value, met = ascend(model, region, criterion_never, start, loss=loss, steps=7, step_size=2.0)
    values = np.stack(seen)
    assert len(values) == 8 and not met.any()
    np.testing.assert_array_equal(value, values.max(axis=0))
    assert (values[-1] < value).any(), "the case must overshoot"
    np.testing.assert_allclose(criterion.objective(loss)(Tensor(model.logits(adv))).numpy(), value, rtol=1e-6)


def test_start_that_meets_the_criterion_costs_one_gradient() -> None:
    model = linear.two_classes()
    x = linear.inputs(model, 6)
    region = distance("l2").region(x, 0.5, model.bounds)
    criterion = Misclassified(1 - model.predict(x))
    model.counter.reset()
    adv, _, met = ascend(model, region, criterion, x, loss="margin", steps=9, step_size=0.1)
    assert met.all() and model.counter.gradients == 6
    np.testing.assert_array_equal(adv, x)


def test_nan_and_infinite_gradients_become_numbers() -> None:
    bad = np.array([[1.0, np.nan, np.inf, -np.inf]], np.float32)
    cleaned = finite(bad)
    assert (
        np.isfinite(cleaned).all()
        and cleaned[0, 1] == 0
        and cleaned[0, 2] > 1e38
        and cleaned.dtype == np.float32
    )
    good = np.ones((2, 3), np.float32)
    assert finite(good) is good


def test_one_bad_gradient_does_not_poison_the_batch() -> None:
    class Cracked(linear.LinearModel):
        """NaN gradient in one coordinate of one sample, as from a square root at 0."""

        def _pullback(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            loss, gradient, logits = super()._pullback(x, loss_fn)
            gradient = gradient.copy()
            gradient[0, 4] = np.nan
            return loss, gradient, logits

    sound = linear.two_classes()
    model = Cracked(sound.weights, sound.bias)
    x = np.random.default_rng(0).uniform(0.3, 0.7, (4, 12)).astype(np.float32)
    y = model.predict(x)
    criterion = Misclassified(y)
    for norm in ("linf", "l2", "l1"):
        region = distance(norm).region(x, 0.01, model.bounds)  # type: ignore[arg-type]
        adv, value, _ = ascend(model, region, criterion, x, loss="margin", steps=5, step_size=0.5)
        assert np.isfinite(adv).all() and adv[0, 4] == x[0, 4]
        assert (value >= -linear.margin(model, x, y) - 1e-6).all()


class Shaken(linear.LinearModel):
    """A linear model whose class 0 gets a known extra slope that changes from call to call."""

    def __init__(self, extras: list[float]) -> None:
        known = linear.two_classes()
        super().__init__(known.weights, known.bias)
        self.known, self.extras, self.calls = known.weights, extras, 0

    def _forward(self, x: np.ndarray) -> np.ndarray:
        self.weights = self.known.copy()
        self.weights[:, 0] += self.extras[self.calls % len(self.extras)]
        self.calls += 1
        return super()._forward(x)


def test_gradients_of_a_model_that_answers_at_random_are_averaged() -> None:
    extras = [0.3, -1.2, 0.6, 0.9]
    model = Shaken(extras)
    x = linear.inputs(model, 9)
    y = np.arange(9) % 2
    criterion = Misclassified(y)
    objective = criterion.objective("margin")
    value, gradient, met = pull(model, x, criterion, objective, 4)
    assert model.calls == 4 and (model.counter.queries, model.counter.gradients) == (36, 36)
    z = np.stack([x @ (model.known + np.array([[e, 0]])) + model.bias for e in extras])
    rows = np.arange(9)
    margins = z[:, rows, 1 - y] - z[:, rows, y]
    np.testing.assert_allclose(value, margins.mean(axis=0), rtol=1e-5, atol=1e-5)
    sign = np.where(y == 0, -1, 1)[:, None]
    slope = sign * (model.known[:, 0] + np.mean(extras) - model.known[:, 1])
    np.testing.assert_allclose(gradient, slope, rtol=1e-5)
    np.testing.assert_array_equal(met, (margins > 0).all(axis=0))
    assert ((margins > 0).any(axis=0) & ~met).any(), "the case must have lucky answers"
    looked, looked_met = look(model, x, criterion, objective, 4)
    np.testing.assert_allclose(looked, value, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(looked_met, met)
