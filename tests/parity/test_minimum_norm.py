"""FAB-T, DDN and FMN on a trained network: no further from x than the public attacks with as many steps."""

from __future__ import annotations

from typing import Any

import foolbox
import numpy as np
import pytest
import torch
import trained
from benchmarks import peers
from pyautoattack.fab_pt import FABAttack_PT

from armour import attacks
from armour.distances import distance

STEPS = 30
FAB_STEPS = 40
BUDGETS = {"linf": 0.05, "l2": 0.7}
FMN = {
    "l0": foolbox.attacks.L0FMNAttack,
    "l1": foolbox.attacks.L1FMNAttack,
    "l2": foolbox.attacks.L2FMNAttack,
    "linf": foolbox.attacks.LInfFMNAttack,
}


def samples() -> tuple[np.ndarray, np.ndarray]:
    """40 digits that the network knows."""
    _, test = trained.digits()
    x, y = test.x[:60], test.y[:60]
    right = trained.network("lenet5").predict(x) == y
    return x[right][:40], y[right][:40]


def module() -> Any:
    """The same network in PyTorch."""
    found = peers.build("lenet5", (1, 28, 28), 10)
    state = trained.network("lenet5").state_dict()
    peers.load(found, {key: np.array(value) for key, value in state.items()})
    return found


def ours(attack: Any, epsilon: float | None = None) -> np.ndarray:
    """(n,) distances, infinity where nothing was found."""
    result = attack.attack(trained.network("lenet5"), *samples(), epsilon)
    return np.where(result.success[0], result.distance[0], np.inf)


def theirs(norm: Any, adv: torch.Tensor) -> np.ndarray:
    """The same of a peer's answers, as our model sees them."""
    x, y = samples()
    found = adv.numpy()
    broken = trained.network("lenet5").predict(found) != y
    return np.where(broken, distance(norm).measure(x, found), np.inf)


@pytest.mark.parametrize("norm", list(BUDGETS))
def test_targeted_fab_leaves_no_more_than_the_public_one(norm: Any) -> None:
    x, y = (torch.from_numpy(part) for part in samples())
    budget = BUDGETS[norm]
    peer = FABAttack_PT(
        module(), norm=norm.capitalize(), n_restarts=1, n_iter=FAB_STEPS, eps=budget, seed=0, targeted=True,
        device="cpu", n_target_classes=9,
    )  # fmt: skip
    left = theirs(norm, peer.perturb(x, y)) > budget
    own = ours(attacks.FABT(norm=norm, steps=FAB_STEPS), budget) > budget
    print(f"\n{norm} within {budget}: public FAB-T leaves {left.mean():.3f}, armour {own.mean():.3f}")
    assert own.sum() <= left.sum() + 1  # an image is .025


def test_ddn_is_as_near_as_foolbox() -> None:
    x, y = (torch.from_numpy(part) for part in samples())
    model = foolbox.PyTorchModel(module(), bounds=(0, 1), device="cpu")
    adv = foolbox.attacks.DDNAttack(steps=STEPS).run(model, x, foolbox.criteria.Misclassification(y))
    peer, own = theirs("l2", adv), ours(attacks.DDN(steps=STEPS))
    print(f"\nDDN-{STEPS} median l2: Foolbox {np.median(peer):.4f}, armour {np.median(own):.4f}")
    assert np.isfinite(own).all() and np.median(own) <= np.median(peer) * 1.005


@pytest.mark.parametrize("norm", list(FMN))
def test_fmn_is_as_near_as_foolbox(norm: Any) -> None:
    x, y = (torch.from_numpy(part) for part in samples())
    model = foolbox.PyTorchModel(module(), bounds=(0, 1), device="cpu")
    adv = FMN[norm](steps=STEPS).run(model, x, foolbox.criteria.Misclassification(y))
    peer, own = theirs(norm, adv), ours(attacks.FMN(norm=norm, steps=STEPS))
    print(f"\nFMN-{STEPS} median {norm}: Foolbox {np.median(peer):.4f}, armour {np.median(own):.4f}")
    assert np.isfinite(own).mean() >= np.isfinite(peer).mean()
    assert np.median(own) <= np.median(peer) * 1.01
