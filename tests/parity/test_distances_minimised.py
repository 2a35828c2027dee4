"""Carlini-Wagner, EAD and L-BFGS against Foolbox on the same weights, with the same number of steps."""

from __future__ import annotations

from typing import Any

import foolbox
import numpy as np
import pytest
import torch
from benchmarks import mnist_networks

from armour import attacks
from armour.attacks import AttackResult
from armour.model import ModuleModel

STEPS = 60


@pytest.fixture(scope="module", params=[("mlp", 30), ("lenet5", 16)], ids=["mlp", "lenet5"])
def case(request: pytest.FixtureRequest) -> tuple[ModuleModel, np.ndarray, np.ndarray]:
    """A network, and inputs with their labels."""
    arch, n = request.param
    return mnist_networks.network(arch), *mnist_networks.samples(n)


def peer(case: tuple[ModuleModel, np.ndarray, np.ndarray], attack: Any, norm: str) -> np.ndarray:
    """(n,) distances of what Foolbox finds, infinite where the answer stays right."""
    ours, x, y = case
    theirs = foolbox.PyTorchModel(mnist_networks.peer(ours), bounds=(0, 1), device="cpu")
    _, found, _ = attack(theirs, torch.from_numpy(x), torch.from_numpy(y), epsilons=None)
    adv = found.numpy()
    delta = np.abs(adv - x).reshape(len(x), -1).astype(np.float64)
    length = np.sqrt((delta**2).sum(axis=1)) if norm == "l2" else delta.sum(axis=1)
    return np.where(ours.predict(adv) != y, length, np.inf)


def report(name: str, arch: str, result: AttackResult, theirs: np.ndarray) -> None:
    print(
        f"\n{name}, {arch}, n={len(theirs)}: Foolbox leaves {np.isinf(theirs).sum()}, "
        f"median {np.median(theirs):.4f}; armour leaves {np.sum(~result.success)}, "
        f"median {np.median(result.distance):.4f}"
    )


def test_carlini_wagner_and_lbfgs(case: tuple[ModuleModel, np.ndarray, np.ndarray]) -> None:
    ours, x, y = case
    theirs = peer(case, foolbox.attacks.L2CarliniWagnerAttack(steps=STEPS, stepsize=0.05), "l2")
    for attack in (attacks.CW(steps=STEPS), attacks.LBFGS(steps=STEPS)):
        result = attack.attack(ours, x, y)
        report(f"{type(attack).__name__} beside C&W", ours.name, result, theirs)
        assert result.success.all()
        assert np.median(result.distance) <= np.median(theirs)
        assert np.mean(result.distance[0] > 1.02 * theirs) <= 0.1


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_ead(case: tuple[ModuleModel, np.ndarray, np.ndarray], norm: Any) -> None:
    ours, x, y = case
    rule = "L1" if norm == "l1" else "EN"
    theirs = peer(case, foolbox.attacks.EADAttack(steps=STEPS, decision_rule=rule), norm)
    result = attacks.EAD(norm=norm, steps=STEPS).attack(ours, x, y)
    report(f"EAD {norm}", ours.name, result, theirs)
    assert result.success.all()
    assert np.median(result.distance) <= np.median(theirs)
