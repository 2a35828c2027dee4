"""Every attack on a model whose network is on a device: the same adversarial examples as on the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attack_contract import CASES, make

import armour
from armour import attacks
from armour.model import ModuleModel
from armour.tensor import use_plans, zoo
from tests.tensor.pretend import cupy as cupy
from tests.tensor.strict import StrictArray

SHAPE = (1, 28, 28)


def model(device: str) -> ModuleModel:
    net = zoo.build("lenet5", SHAPE, 10, rng=3)
    return ModuleModel(net, input_shape=SHAPE, num_classes=10, mean=0.1, std=0.3, device=device)


def batch(n: int = 6) -> np.ndarray:
    return np.random.default_rng(0).random((n, *SHAPE), dtype=np.float32)


@pytest.mark.parametrize("plans", [True, False])
@pytest.mark.parametrize(("name", "norm"), CASES)
def test_attacks(cupy: Any, name: str, norm: str, plans: bool) -> None:
    x = batch()
    y = model("cpu").predict(x)
    attack = make(name, norm)
    epsilons = [0.05 if norm == "linf" else 1.0]
    results = []
    with use_plans(plans):
        for device in ("cpu", "cuda"):
            target = model(device)
            own = isinstance(attack, attacks.OwnLimitsAttack)
            results.append(attack.attack(target, x, y, None if own else epsilons, rng=0))
            assert target.compiled
    host, there = results
    if isinstance(attack, attacks.DecisionAttack):
        # A label that rounding turns at the boundary sends such a search another way: as near, not the same.
        np.testing.assert_allclose(*(np.median(r.curve[-1]) for r in results), rtol=0.1)
        return
    # Rounding may turn the sign of a slope of nearly 0, here and there.
    same = np.isclose(host.adv, there.adv, atol=1e-4)
    assert same.mean() > 0.98
    np.testing.assert_array_equal(host.success, there.success)


def test_a_model_on_a_device_gives_the_hosts_numbers(cupy: Any, tmp_path: Path) -> None:
    here, there = (
        model("cpu"),
        armour.wrap(model("cpu").module, input_shape=SHAPE, mean=0.1, std=0.3, device="cuda"),
    )
    assert all(isinstance(p.data, StrictArray) for p in there.module.parameters())
    x, y = batch(), np.arange(6)
    np.testing.assert_allclose(there.logits(x), here.logits(x), rtol=1e-4, atol=1e-5)
    for loss in ("cross_entropy", "margin", "dlr"):
        for ours, theirs in zip(there.loss_gradient(x, y, loss), here.loss_gradient(x, y, loss), strict=True):
            assert isinstance(ours, np.ndarray)
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    for key, layer in here.tapped(x)[1].items():
        np.testing.assert_allclose(there.tapped(x)[1][key], layer, rtol=1e-3, atol=1e-4)
    assert there.compiled and there.fingerprint == here.fingerprint


def test_a_loss_of_ones_own_runs_between_two_stages(cupy: Any) -> None:
    x = batch()
    found = [model(device).gradient(x, lambda z: (z * z).sum(axis=1)) for device in ("cpu", "cuda")]
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_a_file_is_loaded_to_a_device(cupy: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    armour.save(model("cpu"), path)
    loaded = armour.load(path, device="cuda")
    assert all(isinstance(p.data, StrictArray) for p in loaded.module.parameters())
    np.testing.assert_allclose(loaded.logits(batch()), model("cpu").logits(batch()), rtol=1e-4, atol=1e-5)
