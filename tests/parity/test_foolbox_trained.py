"""On trained networks and real digits: FGSM agrees with Foolbox image by image, BIM and PGD break as many."""

from __future__ import annotations

from typing import Any

import foolbox
import numpy as np
import pytest
import torch
import trained
from benchmarks import peers

from armour import attacks
from armour.model import ModuleModel

SETTINGS = [("mlp", 0.0), ("lenet5", 0.0), ("lenet5", 0.1)]


@pytest.fixture(scope="module", params=SETTINGS, ids=["mlp", "lenet5", "lenet5-adversarial"])
def pair(request: pytest.FixtureRequest) -> tuple[ModuleModel, Any]:
    """The network here and, with the same weights, behind Foolbox."""
    name, epsilon = request.param
    ours = trained.network(name, epsilon)
    theirs = peers.build(name, (1, 28, 28), 10)
    peers.load(theirs, {key: np.array(value) for key, value in ours.state_dict().items()})
    return ours, foolbox.PyTorchModel(theirs, bounds=(0, 1), device="cpu")


def samples() -> tuple[np.ndarray, np.ndarray]:
    _, test = trained.digits()
    return test.x[:250], test.y[:250]


def peer(attack: Any, model: Any, epsilons: list[float], seed: int = 0) -> np.ndarray:
    """(k, n) success of a Foolbox attack, as the model answers when asked again."""
    torch.manual_seed(seed)
    x, y = samples()
    _, adv, _ = attack(model, torch.from_numpy(x), torch.from_numpy(y), epsilons=epsilons)
    return np.stack([model(a).argmax(1).numpy() != y for a in adv])


def test_the_networks_are_worth_comparing(pair: tuple[ModuleModel, Any]) -> None:
    assert pair[0].accuracy(*samples()) > 0.93


def test_fgsm_agrees_image_by_image(pair: tuple[ModuleModel, Any]) -> None:
    epsilons = [0.02, 0.05, 0.1, 0.2]
    theirs = peer(foolbox.attacks.LinfFastGradientAttack(), pair[1], epsilons)
    ours = attacks.FGSM().attack(pair[0], *samples(), epsilons)
    differ = ours.success != theirs
    # Only a tie may differ: two largest logits that rounding cannot tell apart.
    for k, i in zip(*np.nonzero(differ), strict=True):
        top = np.sort(pair[0].logits(ours.adv[k, i : i + 1])[0])
        assert top[-1] - top[-2] < 1e-3 * np.abs(top).max(), f"epsilon {epsilons[k]}, image {i}"
    assert differ.sum() <= 1


def test_bim_agrees_image_by_image(pair: tuple[ModuleModel, Any]) -> None:
    """All that Foolbox breaks breaks here; ours also keeps the few that a later step would mend."""
    epsilons = [0.02, 0.05, 0.1, 0.2]
    theirs = peer(foolbox.attacks.LinfBasicIterativeAttack(steps=10, rel_stepsize=0.2), pair[1], epsilons)
    ours = attacks.BIM(steps=10, step_size=0.2).attack(pair[0], *samples(), epsilons)
    assert (theirs & ~ours.success).sum() <= 1
    assert (ours.success.mean(axis=1) - theirs.mean(axis=1)).max() <= 0.01


@pytest.mark.parametrize(
    ("norm", "kind", "epsilons"),
    [
        ("linf", foolbox.attacks.LinfProjectedGradientDescentAttack, [0.05, 0.12]),
        ("l2", foolbox.attacks.L2ProjectedGradientDescentAttack, [0.7, 1.5]),
        ("l1", foolbox.attacks.L1ProjectedGradientDescentAttack, [6.0, 12.0]),
    ],
)
def test_pgd_leaves_no_more(
    pair: tuple[ModuleModel, Any], norm: str, kind: Any, epsilons: list[float]
) -> None:
    """PGD-40 from x: robust accuracy within .004 of Foolbox's in linf, at most .004 above in l2 and l1."""
    theirs = 1 - peer(kind(steps=40, rel_stepsize=0.1, random_start=False), pair[1], epsilons).mean(axis=1)
    attack = attacks.PGD(norm=norm, steps=40, step_size=0.1, random_start=False)  # type: ignore[arg-type]
    ours = attack.attack(pair[0], *samples(), epsilons).robust_accuracy
    print(f"\n{pair[0].name} {norm} {epsilons}: Foolbox {theirs.round(3)}, armour {ours.round(3)}")
    one = 1.0001 / len(samples()[1])  # an image is .004
    assert (ours <= theirs + one).all()
    if norm == "linf":  # ours keeps what a later step would mend, so it may be an image lower
        assert (ours >= theirs - 2 * one).all()


def test_pgd_from_random_points_breaks_as_many() -> None:
    """The mean over three seeds; a single random start moves it by about .01 in either."""
    ours = trained.network("lenet5", 0.1)
    module = peers.build("lenet5", (1, 28, 28), 10)
    peers.load(module, {key: np.array(value) for key, value in ours.state_dict().items()})
    theirs = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfProjectedGradientDescentAttack(steps=40, rel_stepsize=0.1)
    peers_rate = [1 - peer(attack, theirs, [0.12], seed).mean() for seed in range(3)]
    rate = [
        attacks.PGD(steps=40, step_size=0.1).attack(ours, *samples(), 0.12, rng=seed).robust_accuracy[0]
        for seed in range(3)
    ]
    print(f"\nrandom starts: Foolbox {np.round(peers_rate, 3)}, armour {np.round(rate, 3)}")
    assert abs(np.mean(rate) - np.mean(peers_rate)) <= 0.01
