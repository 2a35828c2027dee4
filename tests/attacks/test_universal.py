"""Universal perturbations: the best one of a linear model is known, and they hold for inputs never seen."""

from __future__ import annotations

from typing import Any

import linear
import numpy as np
import pytest
import trained

from armour import attacks
from armour.attacks import Delta
from armour.attacks.universal import mean_slope
from armour.criteria import Misclassified, Targeted
from armour.errors import InvalidArgument, UnsupportedError
from armour.model import CallableModel


def one_label(n: int = 30) -> tuple[linear.LinearModel, np.ndarray, np.ndarray]:
    """A linear model, and inputs well inside the bounds that it gives label 0."""
    model = linear.two_classes()
    x = np.random.default_rng(0).uniform(0.4, 0.6, (4 * n, 12)).astype(np.float32)
    x = x[model.predict(x) == 0][:n]
    return model, x, np.zeros(len(x), np.int64)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_on_a_linear_model_it_is_the_steepest_direction(norm: Any) -> None:
    """All inputs have one label and one slope: what is best for one is best for all."""
    model, x, y = one_label()
    epsilon = {"linf": 0.02, "l2": 0.1, "l1": 0.15}[norm]
    delta = attacks.Universal(norm=norm, loss="margin").fit(model, x, y, epsilon).array
    slope = linear.slope(model, y[:1])
    best = linear.largest_drop(slope, np.full((1, 12), 0.5), epsilon, norm, (0, 1))
    assert (slope[0] @ delta.astype(np.float64)) == pytest.approx(best[0], rel=1e-4)
    assert attacks.Universal(norm=norm).distance.norm(delta[None].astype(np.float64))[0] <= epsilon * (
        1 + 1e-6
    )


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_deepfool_version_fools_all_where_one_perturbation_can(norm: Any) -> None:
    """On one linear boundary, a step for the input furthest from it does for all."""
    model, x, y = one_label()
    slope = linear.slope(model, y[:1])[0]
    length = np.abs(slope).sum() if norm == "linf" else np.linalg.norm(slope)
    needed = linear.margin(model, x, y).max() / length
    attack = attacks.Universal(norm=norm, version="deepfool", steps=3)
    delta = attack.fit(model, x, y, needed * 1.1)
    result = attacks.Universal(norm=norm, delta=delta).attack(model, x, y, needed * 1.1)
    assert result.success.all()
    # Found from the boundary outward: not much longer than has to be.
    assert attack.distance.norm(delta.array[None].astype(np.float64))[0] <= needed * 1.05
    short = attack.fit(model, x, y, needed * 0.5)
    assert attack.distance.norm(short.array[None].astype(np.float64))[0] <= needed * 0.5 * (1 + 1e-6)


def test_slope_is_that_of_the_capped_mean_through_the_bounds() -> None:
    """Against central differences in the perturbation, of the mean over inputs some of which are clipped."""
    model = linear.small_network()
    rng = np.random.default_rng(0)
    x = linear.inputs(model, 10)
    y = model.predict(x)
    delta = rng.uniform(-0.05, 0.05, (1, 1, 5, 5)).astype(np.float32)
    objective = Misclassified(y).objective()

    def mean(at: np.ndarray) -> float:
        moved = np.clip(x.astype(np.float64) + at, 0, 1).astype(np.float32)
        value = model.gradient(moved, objective)[0].astype(np.float64)
        return float(np.where(value < 0.83, value, 0).sum() / len(x))

    values = model.gradient(np.clip(x + delta, 0, 1), objective)[0]
    assert (values > 0.85).any() and (values < 0.8).any() and not ((values > 0.8) & (values < 0.85)).any()
    slope = mean_slope(model, x, delta, objective, cap=0.83)
    for i in range(25):
        step = np.zeros((1, 1, 5, 5))
        step.flat[i] = 5e-4
        measured = (mean(delta + step) - mean(delta - step)) / 1e-3
        assert slope.flat[i] == pytest.approx(measured, abs=3e-3), i


def test_held_out_inputs_are_fooled_too() -> None:
    """Fooling rates of an MLP on digits that the perturbation has not seen, beside random signs."""
    model = trained.network("mlp")
    train, test = trained.digits()
    epsilon = 0.2
    attack = attacks.Universal(steps=10)
    delta = attack.fit(model, train.x[:300], train.y[:300], epsilon)
    x, y = test.x[:300], test.y[:300]
    held_out = attacks.Universal(delta=delta).attack(model, x, y, epsilon)
    seen = attacks.Universal(delta=delta).attack(model, train.x[:300], train.y[:300], epsilon)
    signs = np.where(np.random.default_rng(0).random((1, 28, 28)) < 0.5, -epsilon, epsilon)
    noise = attacks.Universal(delta=Delta(signs)).attack(model, x, y, epsilon)
    rates = [1 - r.robust_accuracy[0] for r in (seen, held_out, noise)]
    print(f"\nfooled: fitted {rates[0]:.3f}, held out {rates[1]:.3f}, random signs {rates[2]:.3f}")
    assert rates[1] > 0.4 and rates[1] > 3 * rates[2] and rates[1] > rates[0] - 0.15
    assert (held_out.distance <= epsilon).all() and held_out.gradients == 0


def test_neither_order_nor_place_of_the_inputs_matters_to_the_draws() -> None:
    model = linear.small_network()
    x = linear.inputs(model, 20)
    y = model.predict(x)
    order = np.random.default_rng(0).permutation(20)
    one, other = (
        attacks.Universal(steps=3, batch=7).fit(model, x[rows], y[rows], 0.1, rng=3)
        for rows in (np.arange(20), order)
    )
    np.testing.assert_allclose(one.array, other.array, atol=1e-6)


def test_the_best_pass_is_kept() -> None:
    """Steps longer than the budget overshoot; what is kept never fools fewer than any pass before it."""
    model = linear.small_network()
    x = linear.inputs(model, 40)
    y = model.predict(x)
    attack = attacks.Universal(step_size=2.0, batch=8)
    rates = []
    for steps in (1, 3, 9):
        delta = attacks.Universal(step_size=2.0, batch=8, steps=steps).fit(model, x, y, 0.1, rng=1)
        rates.append(attacks.Universal(delta=delta).attack(model, x, y, 0.1).success.mean())
    assert rates == sorted(rates) and attack.steps > 9


def test_targeted_and_masked() -> None:
    model = linear.small_network()
    x = linear.inputs(model, 40)
    goal = Targeted(np.full(40, 2))
    allowed = np.zeros((1, 5, 5), bool)
    allowed[:, :, 1:] = True
    delta = attacks.Universal(mask=allowed).fit(model, x, goal, 0.2)
    assert not delta.array[~allowed].any() and delta.array[allowed].any()
    before = (model.predict(x) == 2).mean()
    result = attacks.Universal(delta=delta).attack(model, x, goal, 0.2)
    assert result.success.mean() > before + 0.2


def test_a_known_perturbation_needs_no_gradients() -> None:
    model, x, y = one_label()
    delta = attacks.Universal().fit(model, x, y, 0.05)
    box = CallableModel(model.logits, input_shape=(12,), num_classes=2)
    known = attacks.Universal(delta=delta)
    np.testing.assert_array_equal(known.attack(box, x, y, 0.05).adv, known.attack(model, x, y, 0.05).adv)
    with pytest.raises(UnsupportedError, match="Universal needs gradients"):
        attacks.Universal().attack(box, x, y, 0.05)
    with pytest.raises(UnsupportedError, match="Universal needs gradients"):
        known.fit(box, x, y, 0.05)


def test_a_delta_is_a_value() -> None:
    delta = Delta([[0.1, -0.2]])
    assert delta == Delta(np.array([[0.1, -0.2]])) and hash(delta) == hash(Delta([[0.1, -0.2]]))
    assert attacks.Universal(delta=delta) == attacks.Universal(delta=np.array([[0.1, -0.2]]))  # type: ignore[arg-type]
    assert repr(delta) == "Delta((1, 2), largest 0.2)"
    with pytest.raises(ValueError, match="read-only"):
        delta.array[0] = 1
    for bad in (["a"], [np.nan], [1j]):
        with pytest.raises(InvalidArgument, match="finite numbers"):
            Delta(bad)
    model, x, y = one_label()
    with pytest.raises(InvalidArgument, match=r"shape \(12,\), got \(1, 2\)"):
        attacks.Universal(delta=delta).attack(model, x, y, 0.1)
    empty = attacks.Universal().fit(model, x[:0], y[:0], 0.1)
    assert empty.array.shape == (12,) and not empty.array.any()
