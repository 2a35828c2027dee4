"""Each objective's losses against formulas in float64, and what single steps are by hand."""

from __future__ import annotations

import numpy as np
import pytest
import training_scene as scene
from training_scene import cross_entropy, kl, of

from armour.defenses.training import FGSMRS, NFGSM, TRADES, PGDTraining, TrainingObjective
from armour.tensor import Tensor


@pytest.mark.parametrize("objective", [PGDTraining(steps=2), FGSMRS(), NFGSM()], ids=repr)
def test_cross_entropy_at_the_perturbed_inputs(objective: TrainingObjective) -> None:
    losses, _, adv, y = of(objective)
    np.testing.assert_allclose(losses, cross_entropy(adv, y), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_trades(beta: float) -> None:
    losses, clean, adv, y = of(TRADES(beta=beta, steps=3))
    divergence = kl(clean, adv)
    assert divergence.mean() > 1e-3, "the search finds inputs with other answers"
    np.testing.assert_allclose(losses, cross_entropy(clean, y) + beta * divergence, rtol=1e-4, atol=1e-5)


def test_trades_searches_uphill() -> None:
    """More steps find more divergence, and all find more than the noise they start from."""
    found = []
    for steps in (1, 3, 10):
        _, clean, adv, _ = of(TRADES(steps=steps))
        found.append(kl(clean, adv).mean())
    assert found == sorted(found)


def test_one_step_is_the_sign_of_the_gradient_at_the_noise() -> None:
    """FGSM-RS and N-FGSM by their papers' formulas, with gradients by central differences of the losses."""
    for objective, radius, length, around in ((FGSMRS(), 0.2, 0.25, 0.2), (NFGSM(), 0.4, 0.2, 0.6)):
        net = scene.network(objective, scene.smooth())
        given = scene.batch(6)
        with net.evaluating():
            adv = objective.craft(net, given)
            noise = scene.batch(6).rng.uniform((64,), -1.0, 1.0).reshape(given.x.shape) * radius
            start = np.clip(given.x + noise, 0, 1).astype(np.float64)
            low, high = np.clip(given.x - around, 0, 1), np.clip(given.x + around, 0, 1)
            for i in (0, 3):
                for place in (10, 28, 43):
                    step = np.zeros(64)
                    step[place] = 1e-3
                    ends = np.stack([start[i] + s * step.reshape(1, 8, 8) for s in (-1, 1)])
                    values = net.model.forward(Tensor(ends.astype(np.float32))).numpy()
                    lower, upper = cross_entropy(values.astype(np.float64), given.y[[i, i]])
                    if abs(upper - lower) < 1e-5:
                        continue  # rounding may turn the sign
                    at = start[i].reshape(-1)[place] + length * np.sign(upper - lower)
                    wanted = np.clip(at, low[i].reshape(-1)[place], high[i].reshape(-1)[place])
                    np.testing.assert_allclose(adv[i].reshape(-1)[place], wanted, atol=1e-5)


def test_a_sample_goes_on_where_it_is_already_broken() -> None:
    """Training wants the largest loss: steps after the first wrong answer still raise it."""
    found = []
    for steps in (4, 12):
        _, _, adv, y = of(PGDTraining(steps=steps, step_size=0.25))
        wrong = adv.argmax(axis=1) != y
        found.append(cross_entropy(adv, y)[wrong].mean())
    assert found[1] > found[0]
