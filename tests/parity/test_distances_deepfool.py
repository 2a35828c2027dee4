"""DeepFool against Foolbox on the same weights: nothing left unbroken, and distances that are no larger."""

from __future__ import annotations

from typing import Any

import foolbox
import numpy as np
import pytest
import torch
from benchmarks import mnist_networks

from armour import attacks
from armour.distances import Norm, distance

PEERS: dict[Norm, Any] = {
    "l2": foolbox.attacks.L2DeepFoolAttack,
    "linf": foolbox.attacks.LinfDeepFoolAttack,
}


@pytest.mark.parametrize("norm", PEERS)
@pytest.mark.parametrize(("arch", "n"), [("mlp", 200), ("lenet5", 60)])
def test_deepfool(arch: str, n: int, norm: Norm) -> None:
    ours, (x, y) = mnist_networks.network(arch), mnist_networks.samples(n)
    theirs = foolbox.PyTorchModel(mnist_networks.peer(ours), bounds=(0, 1), device="cpu")
    peer = PEERS[norm](steps=50, candidates=10, overshoot=0.02, loss="logits")
    _, found, _ = peer(theirs, torch.from_numpy(x), torch.from_numpy(y), epsilons=None)
    adv = found.numpy()
    broken = ours.predict(adv) != y
    lengths = distance(norm).measure(x, adv)[broken]
    result = attacks.DeepFool(norm=norm).attack(ours, x, y)
    print(
        f"\nDeepFool {norm}, {arch}, n={n}: "
        f"Foolbox leaves {np.sum(~broken)}, median {np.median(lengths):.4f}; "
        f"armour leaves {np.sum(~result.success)}, median {np.median(result.distance):.4f}"
    )
    assert result.success.all()
    assert np.median(result.distance) <= 1.02 * np.median(lengths)
    # Image by image both are at boundaries of one kind: few differ by much.
    assert np.mean(result.distance[0][broken] > 1.1 * lengths) < 0.05
