"""Models by plans give what they give operation by operation; what cannot be captured still runs."""

from __future__ import annotations

import copy
import logging
import pickle
from typing import Any

import numpy as np
import pytest

from armour import criteria
from armour.errors import InvalidArgument
from armour.model import ModuleModel
from armour.tensor import Tensor, nn, use_plans, use_workers, zoo
from armour.tensor.losses import cross_entropy, dlr, margin


def model(name: str = "lenet5", **options: Any) -> ModuleModel:
    shape = (3, 32, 32) if name.startswith("resnet") else (1, 28, 28)
    options = {"mean": 0.3, "std": 0.7} | options
    return ModuleModel(zoo.build(name, shape, 10, rng=1), input_shape=shape, num_classes=10, **options)


def data(m: ModuleModel, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((n, *m.input_shape), dtype=np.float32), rng.integers(0, 10, n)


def apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


@pytest.mark.parametrize("name", ["mlp", "lenet5", "resnet8"])
@pytest.mark.parametrize("n", [1, 7, 40])
def test_logits_gradients_and_layers(name: str, n: int) -> None:
    m = model(name)
    x, y = data(m, n)
    with use_plans(False):
        logits, slow = m.logits(x), m.activations(x)
        slopes = {loss: m.loss_gradient(x, y, loss=loss, targeted=t) for loss, t in LOSSES}
    assert apart(m.logits(x), logits) < 1e-5
    fast = m.activations(x)
    assert list(fast) == list(slow)
    for key, values in fast.items():
        assert apart(values, slow[key]) < 1e-5
    for loss, targeted in LOSSES:
        value, gradient = m.loss_gradient(x, y, loss=loss, targeted=targeted)
        assert apart(value, slopes[loss][0]) < 1e-5
        assert apart(gradient, slopes[loss][1]) < 2e-2  # a relu within rounding of 0 may fall otherwise


LOSSES: list[tuple[Any, bool]] = [("cross_entropy", False), ("margin", True), ("dlr", False)]


@pytest.mark.parametrize("n", [3, 70, 300])
def test_any_function_of_the_logits_runs_between_two_stages(n: int) -> None:
    m = model()
    x, y = data(m, n)
    goal = criteria.Misclassified(y)
    seen: list[int] = []

    def mixed(logits: Tensor) -> Tensor:
        seen.append(len(logits))
        return cross_entropy(logits, y[: len(logits)]) + margin(logits, y[: len(logits)]) * 0.5

    value, gradient, logits = m.gradient(x, mixed)
    with use_plans(False):
        parts = [m.gradient(x, goal.objective(loss)) for loss in ("cross-entropy", "margin")]
    assert apart(value, parts[0][0] + 0.5 * parts[1][0]) < 1e-5
    assert apart(gradient, parts[0][1] + 0.5 * parts[1][1]) < 2e-2
    assert apart(logits, parts[0][2]) < 1e-5
    assert seen == [n], "a function of the whole batch is called once, with the whole batch"


def test_an_objective_that_cannot_be_captured_is_split_by_rows() -> None:
    m = model()
    x, y = data(m, 60)

    def reading(logits: Tensor, labels: Any) -> Tensor:
        return dlr(logits, labels) if float(logits.sum()) > -1e9 else logits.sum(axis=1)

    value, gradient, _ = m.gradient(x, criteria.Misclassified(y).objective(reading))
    theirs = m.gradient(x, criteria.Misclassified(y).objective("dlr"))
    assert apart(value, theirs[0]) < 1e-5 and apart(gradient, theirs[1]) < 2e-2
    assert m.compiled


def test_a_network_that_cannot_be_captured_runs_as_it_is_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Deciding(nn.Module):
        def __init__(self) -> None:
            self.linear = nn.Linear(4, 3, rng=0)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.linear(x)
            return out * 2.0 if float(out.sum()) > 0 else out

    m = ModuleModel(Deciding(), input_shape=(4,), num_classes=3, name="deciding")
    x = np.random.default_rng(0).random((5, 4), dtype=np.float32)
    with caplog.at_level(logging.WARNING):
        out = m.logits(x)
    assert "deciding is run operation by operation" in caplog.text and "depend on values" in caplog.text
    assert not m.compiled
    plain = m.module(Tensor(x)).numpy()
    np.testing.assert_allclose(out, plain, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["mlp", "lenet5", "resnet8"])
def test_what_is_not_finite_inside_shows(name: str, value: float) -> None:
    m = model(name)
    x, y = data(m, 6)
    first = next(iter(m.module.parameters()))
    first.data.reshape(-1)[0] = value
    logits, layers = m.tapped(x)
    assert not np.isfinite(logits).all()
    with use_plans(False):
        np.testing.assert_array_equal(np.isnan(logits), np.isnan(m.logits(x)))
        for key, values in m.activations(x).items():
            np.testing.assert_array_equal(np.isnan(layers[key]), np.isnan(values), err_msg=key)
    first.data.reshape(-1)[0] = 0.0
    assert np.isfinite(m.logits(x)).all() and np.isfinite(m.loss_gradient(x, y)[1]).all()


def test_workers_change_no_bit_of_a_model() -> None:
    m = model()
    x, y = data(m, 200)
    results = []
    for n in (1, 2, 3):
        with use_workers(n):
            results.append((m.logits(x), *m.loss_gradient(x, y)))
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_weights_changed_by_training_are_read_anew() -> None:
    m = model()
    x, _ = data(m, 4)
    before = m.logits(x)
    for parameter in m.module.parameters():
        parameter.data *= np.float32(0.5)
    after = m.logits(x)
    with use_plans(False):
        assert apart(after, m.logits(x)) < 1e-5
    assert apart(after, before) > 0.1


def test_results_are_not_the_plans_memory() -> None:
    m = model()
    x, y = data(m, 4)
    first = (m.logits(x), *m.loss_gradient(x, y), *m.activations(x).values())
    kept = [a.copy() for a in first]
    m.logits(x[::-1]), m.loss_gradient(x[::-1], y), m.activations(x[::-1])
    for a, b in zip(first, kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_copies_and_pickles_make_plans_of_their_own() -> None:
    m = model()
    x, _ = data(m, 3)
    logits = m.logits(x)
    for other in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        np.testing.assert_array_equal(other.logits(x), logits)
        next(iter(other.module.parameters())).data[...] = 0
        assert not np.allclose(other.logits(x), logits)
    np.testing.assert_array_equal(m.logits(x), logits)


def test_labels_are_checked_inside_plans_too() -> None:
    m = model()
    x, y = data(m, 3)
    with pytest.raises(InvalidArgument, match="labels"):
        m.gradient(x, criteria.Misclassified(np.array([1, 2, 10])).objective())
    with pytest.raises(InvalidArgument, match="labels"):
        m.gradient(x, criteria.Misclassified(np.array([1, -2, 3])).objective())
    assert len(m.gradient(x, criteria.Misclassified(y).objective())) == 3
