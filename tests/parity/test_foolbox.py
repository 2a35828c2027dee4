"""FGSM and BIM walk the same path as Foolbox's, wherever the two define the same path.

Ours stops at the first step that breaks a sample and Foolbox's goes on, so the points are compared on the
samples that no step broke. Inputs stay away from the bounds under l2: Foolbox projects onto the ball and then
clips, ours finds the nearest point in both. Steps are short, so that each is better than the last: ours keeps
the best iterate, Foolbox's the last one.
"""

from __future__ import annotations

import foolbox
import numpy as np
import pytest
import torch
from benchmarks import networks

from armour import attacks

N = 24


def setting(name: str, low: float, high: float) -> tuple[object, object, np.ndarray, np.ndarray]:
    """Our model, Foolbox's, inputs, and the labels that the model gives them."""
    ours, theirs = networks.pair(name)
    rng = np.random.default_rng(3)
    x = rng.uniform(low, high, (N, *networks.SHAPES[name])).astype(np.float32)
    return ours, foolbox.PyTorchModel(theirs, bounds=(0, 1), device="cpu"), x, ours.predict(x)


@pytest.mark.parametrize("name", ["mlp", "lenet5"])
@pytest.mark.parametrize("epsilon", [0.002, 0.03])
def test_fgsm(name: str, epsilon: float) -> None:
    ours, theirs, x, y = setting(name, 0.0, 1.0)
    mine = attacks.FGSM(norm="linf").attack(ours, x, y, epsilons=[epsilon], rng=0)
    attack = foolbox.attacks.LinfFastGradientAttack()
    _, adv, success = attack(theirs, torch.from_numpy(x), torch.from_numpy(y), epsilons=epsilon)
    np.testing.assert_allclose(mine.adv[0], adv.numpy(), atol=1e-6)
    np.testing.assert_array_equal(mine.success[0], success.numpy())


@pytest.mark.parametrize("name", ["mlp", "lenet5"])
@pytest.mark.parametrize(
    ("norm", "epsilon", "low", "high"), [("linf", 0.003, 0.0, 1.0), ("l2", 0.05, 0.2, 0.8)]
)
def test_bim(name: str, norm: str, epsilon: float, low: float, high: float) -> None:
    ours, theirs, x, y = setting(name, low, high)
    mine = attacks.BIM(norm=norm, steps=6, step_size=0.1).attack(ours, x, y, epsilons=[epsilon], rng=0)  # type: ignore[arg-type]
    kinds = {"linf": foolbox.attacks.LinfBasicIterativeAttack, "l2": foolbox.attacks.L2BasicIterativeAttack}
    attack = kinds[norm](rel_stepsize=0.1, steps=6, random_start=False)
    _, adv, success = attack(theirs, torch.from_numpy(x), torch.from_numpy(y), epsilons=epsilon)
    whole = ~mine.success[0]
    assert whole.any(), "every sample broke, so that nothing was compared"
    # A sign that rounding flips on one pixel is not another path.
    gap = np.abs(mine.adv[0] - adv.numpy())[whole]
    assert (gap > 1e-5).mean() < 1e-3
    assert np.median(gap) < 1e-7
    assert (mine.success[0] >= success.numpy()).all()
