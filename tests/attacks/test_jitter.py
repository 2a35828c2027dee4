"""Jitter and the other losses with data of their own: values, slopes, and what they are refused for."""

from __future__ import annotations

from typing import Any

import linear
import numpy as np
import pytest

from armour import attacks
from armour.criteria import Misclassified, Targeted
from armour.errors import InvalidArgument, UnsupportedError
from armour.model import ModuleModel
from armour.rng import per_item
from armour.tensor import Tensor, jitter, nn, use_plans
from armour.tensor.gradcheck import check_grads

LOGITS = np.array([[2.0, -1.0, 0.5], [-40.0, 3.0, 1.0], [0.1, 0.3, 0.2]])
LABELS = np.array([0, 1, 1])


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def test_jitter_is_the_distance_of_the_scaled_answer() -> None:
    noise = np.random.default_rng(0).normal(size=(3, 3))
    scaled = softmax(10 * LOGITS / np.abs(LOGITS).max(axis=1, keepdims=True))
    for given in (0.0, noise):
        expected = ((scaled + given - np.eye(3)[LABELS]) ** 2).sum(axis=1)
        np.testing.assert_allclose(jitter(LOGITS, LABELS, given).numpy(), expected, rtol=1e-9)
    np.testing.assert_allclose(
        jitter(LOGITS * 1000, LABELS).numpy(), jitter(LOGITS, LABELS).numpy(), rtol=1e-9
    )
    assert np.isfinite(jitter(np.zeros((1, 3)), [0]).numpy()).all()
    check_grads(lambda z: jitter(z, LABELS, noise, scale=4.0), LOGITS, rng=np.random.default_rng(1))


def test_without_noise_it_is_pgd_on_its_loss() -> None:
    model, x = linear.small_network(), linear.inputs(linear.small_network(), 12)
    y = model.predict(x)
    pgd = attacks.PGD(steps=5, loss="jitter").attack(model, x, y, 0.06, rng=1)
    np.testing.assert_array_equal(
        attacks.Jitter(steps=5, noise=0).attack(model, x, y, 0.06, rng=1).adv, pgd.adv
    )
    noisy = attacks.Jitter(steps=5, noise=0.3).attack(model, x, y, 0.06, rng=1)
    assert not np.array_equal(noisy.adv, pgd.adv)


def network() -> ModuleModel:
    rng = np.random.default_rng(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 12, rng=rng), nn.ReLU(), nn.Linear(12, 5, rng=rng))
    return ModuleModel(net, input_shape=(1, 4, 4), num_classes=5)


def test_slope_of_kl_is_the_difference_of_the_answers() -> None:
    rng = np.random.default_rng(3)
    model = linear.LinearModel(rng.normal(size=(6, 4)), rng.normal(size=4))
    clean, x = rng.random((2, 5, 6), dtype=np.float32)
    reference = model.logits(clean)
    y = model.predict(clean)
    value, gradient, logits = model.gradient(x, Misclassified(y).objective("kl", reference))
    p, q = softmax(reference.astype(np.float64)), softmax(logits.astype(np.float64))
    np.testing.assert_allclose(value, (p * (np.log(p) - np.log(q))).sum(axis=1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gradient, (q - p) @ model.weights.T, atol=1e-5)


@pytest.mark.parametrize("size", [256, 7])
def test_plans_take_the_data_of_a_loss(size: int) -> None:
    rng = np.random.default_rng(0)
    model = network()
    model.batch_size = size
    x, clean = rng.random((2, 20, 1, 4, 4), dtype=np.float32)
    objective = Misclassified(model.predict(clean)).objective("kl", model.logits(clean))
    with use_plans(False):
        expected = model.gradient(x, objective)
    for _ in range(2):  # recorded, then replayed with other data
        for got, wanted in zip(model.gradient(x, objective), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)
        other = Misclassified(objective.labels).objective("kl", np.zeros((20, 5), np.float32))
        p = softmax(model.logits(x).astype(np.float64))
        np.testing.assert_allclose(
            model.gradient(x, other)[0], (np.log(0.2) - np.log(p)).mean(axis=1), rtol=1e-4, atol=1e-6
        )
    assert model.compiled
    part = objective[3:9]
    np.testing.assert_array_equal(part.data[0], objective.data[0][3:9])
    np.testing.assert_allclose(
        part(Tensor(model.logits(x[3:9]))).numpy(), expected[0][3:9], rtol=1e-4, atol=1e-6
    )


def test_pgd_on_kl_does_not_look_at_labels() -> None:
    """Where the criterion is never met, two sets of labels give one path, away from the clean answer."""
    model, x = linear.small_network(), linear.inputs(linear.small_network(), 8)
    labels = model.predict(x)

    class Never(Misclassified):
        def __call__(self, logits: Any) -> np.ndarray:
            return np.zeros(len(logits), bool)

        def __getitem__(self, index: Any) -> Never:
            return Never(self.labels[index])

    found = [
        attacks.PGD(loss="kl", steps=8).run(
            model, x, Never(y), 0.1, rng=per_item(np.random.default_rng(0), len(x))
        )
        for y in (labels, (labels + 1) % 4)
    ]
    np.testing.assert_array_equal(*found)
    clean = model.logits(x)
    gained = Misclassified(labels).objective("kl", clean)(Tensor(model.logits(found[0]))).numpy()
    start = (
        attacks.PGD(loss="kl", steps=8)
        .region(model, x, 0.1)
        .start(per_item(np.random.default_rng(0), len(x)).child(0))
    )
    before = Misclassified(labels).objective("kl", clean)(Tensor(model.logits(start))).numpy()
    assert (gained > 2 * before).all()


def test_where_kl_has_no_place() -> None:
    model, x = linear.small_network(), linear.inputs(linear.small_network(), 3)
    for make in (
        lambda: attacks.FGSM(loss="kl"),
        lambda: attacks.BIM(loss="kl"),
        lambda: attacks.PGD(loss="kl", random_start=False),
    ):
        with pytest.raises(InvalidArgument, match="random start"):
            make()
    with pytest.raises(UnsupportedError, match="to no target"):
        attacks.PGD(loss="kl").attack(model, x, Targeted((model.predict(x) + 1) % 4), 0.1)
    with pytest.raises(UnsupportedError, match="use PGD"):
        Misclassified([0]).objective("kl")


def test_pgd_averages_gradients() -> None:
    """On a model that does not answer at random, eot costs more and changes nothing."""
    model, x = linear.small_network(), linear.inputs(linear.small_network(), 6)
    y = model.predict(x)
    one = attacks.PGD(steps=4).attack(model, x, y, 0.05)
    three = attacks.PGD(steps=4, eot=3).attack(model, x, y, 0.05)
    assert three.gradients == 3 * one.gradients
    np.testing.assert_allclose(three.adv, one.adv, atol=1e-6)
