"""FGSM is the sign step in linf, and R+FGSM is FGSM from a random corner. Closed forms: see test_pgd.py."""

from __future__ import annotations

import linear
import numpy as np

from armour import attacks


def test_fgsm_is_the_sign_step() -> None:
    model = linear.small_network()
    x = linear.inputs(model, 12)
    y = model.predict(x)
    gradient = model.loss_gradient(x, y)[1]
    result = attacks.FGSM().attack(model, x, y, 0.1)
    np.testing.assert_allclose(result.adv[0], np.clip(x + 0.1 * np.sign(gradient), 0, 1), atol=2e-7)
    assert (result.queries, result.gradients) == (3 * 12, 12)


def test_fgsm_leaves_values_without_gradient() -> None:
    model = linear.two_classes()
    model.weights[3:6] = 0
    x = linear.inputs(model, 5)
    y = model.predict(x)
    adv = attacks.FGSM().attack(model, x, y, 0.2).adv[0]
    np.testing.assert_array_equal(adv[:, 3:6], x[:, 3:6])


def test_rfgsm_is_fgsm_after_a_random_corner() -> None:
    """The gradient of a linear model is constant: each value moves by the whole budget or not at all."""
    model = linear.two_classes()
    x = np.random.default_rng(0).uniform(0.4, 0.6, (40, 12)).astype(np.float32)
    y = model.predict(x)
    adv = attacks.RFGSM(start=0.5).attack(model, x, y, 0.1).adv[0]
    moved = (adv - x) / np.where(linear.slope(model, y) > 0, 0.1, -0.1)
    assert (np.isclose(moved, 1, atol=1e-5) | np.isclose(moved, 0, atol=1e-5)).all()
    assert 0.4 < moved.mean() < 0.6


def test_rfgsm_without_a_random_step_is_fgsm() -> None:
    model = linear.small_network()
    x = linear.inputs(model, 12)
    y = model.predict(x)
    plain = attacks.FGSM().attack(model, x, y, 0.1)
    np.testing.assert_array_equal(attacks.RFGSM(start=0).attack(model, x, y, 0.1).adv, plain.adv)
