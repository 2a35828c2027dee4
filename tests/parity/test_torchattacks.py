"""The momentum family and jitter beside torchattacks, on the same weights of a trained LeNet-5.

Where an algorithm draws nothing, the last iterates agree pixel by pixel; elsewhere as many images are broken.
torchattacks looks ahead and at neighbours outside the range of pixels, where models of ours are never asked:
its networks are given clamped inputs here, with the gradient passed on.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torchattacks
import trained
from benchmarks import peers
from torch.nn import functional

import armour
from armour import attacks
from armour.attacks.gradient import ascend
from armour.attacks.momentum import MomentumWay
from armour.attacks.transfer import Unmet
from armour.contract import Model
from armour.criteria import Misclassified
from armour.rng import by_content

EPSILON, STEPS = 0.06, 10


class Clamped(torch.nn.Module):
    """A network that sees its inputs inside (0, 1), and passes gradients on as if it did not."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Any) -> Any:
        return self.net(x + (x.clamp(0, 1) - x).detach())


class Grey(torch.nn.Module):
    """A network of grey images that takes three channels, weighted."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Any) -> Any:
        return self.net((x * torch.tensor([0.5, 0.3, 0.2])[:, None, None]).sum(1, keepdim=True))


@cache
def pair() -> tuple[Model, Any]:
    """The network here, and in PyTorch with the same weights."""
    ours = trained.network("lenet5")
    theirs = peers.build("lenet5", (1, 28, 28), 10)
    peers.load(theirs, {key: np.array(value) for key, value in ours.state_dict().items()})
    return ours, theirs.eval()


def samples(n: int = 100) -> tuple[np.ndarray, np.ndarray]:
    _, test = trained.digits()
    return test.x[:n], test.y[:n]


def peer(kind: Any, net: Any, x: np.ndarray, y: np.ndarray, seed: int = 0, **kw: Any) -> np.ndarray:
    """What a torchattacks attack makes."""
    torch.manual_seed(seed)
    attack = kind(net, eps=EPSILON, alpha=EPSILON / STEPS, steps=STEPS, **kw)
    found: np.ndarray = attack(torch.from_numpy(x), torch.from_numpy(y)).detach().numpy()
    return found


def last_iterate(attack: Any, model: Model, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where ours stands after its last step, had no sample been left alone and no best been kept."""
    region = attack.region(model, x, EPSILON)
    rng = by_content(np.random.default_rng(0), x)
    walk = MomentumWay(attack.way(), model, region, steps=STEPS, step_size=1 / STEPS, rng=rng)
    ends = [x]

    class Spy:
        elsewhere = walk.elsewhere

        def __call__(self, rows: Any, step: int, point: Any, *rest: Any) -> Any:
            direction = walk(rows, step, point, *rest)
            ends.append(region.step(point, direction, 1 / STEPS))
            return direction

    goal = Unmet(Misclassified(y))
    ascend(model, region, goal, x, loss="cross-entropy", steps=STEPS, step_size=1 / STEPS, way=Spy())
    return ends[-1]


def agree(model: Model, found: np.ndarray, theirs: np.ndarray) -> None:
    """Most images in every pixel; a slope of nearly 0 may have either sign, and some then go another way."""
    same = np.abs(found - theirs) < 1e-5
    assert same.reshape(len(found), -1).all(axis=1).mean() > 0.7
    assert same.mean() > 0.97
    assert (model.predict(found) != model.predict(theirs)).sum() <= 1


def test_the_network_is_worth_comparing() -> None:
    assert pair()[0].accuracy(*samples()) > 0.93


# SI: torchattacks scales a look-ahead that may lie outside the range; without decay there is none.
SAME: list[tuple[Any, Any, dict[str, Any]]] = [
    (torchattacks.MIFGSM, attacks.MIFGSM(steps=STEPS), {}),
    (torchattacks.MIFGSM, attacks.MIFGSM(steps=STEPS, decay=0.5), {"decay": 0.5}),
    (torchattacks.NIFGSM, attacks.NIFGSM(steps=STEPS), {}),
    (torchattacks.SINIFGSM, attacks.SIFGSM(steps=STEPS, decay=0.0), {"decay": 0.0}),
]


@pytest.mark.parametrize(("kind", "attack", "settings"), SAME)
def test_iterates_agree_pixel_by_pixel(kind: Any, attack: Any, settings: dict[str, Any]) -> None:
    ours, net = pair()
    x, y = samples()
    theirs = peer(kind, Clamped(net), x, y, **settings)
    found = last_iterate(attack, ours, x, y)
    agree(ours, found, theirs)
    # What the attack hands back is that, or an earlier iterate that was broken.
    result = attack.attack(ours, x, y, EPSILON)
    broken = ours.predict(theirs) != y
    assert (broken & ~result.success[0]).sum() <= 1
    assert result.success[0].sum() - broken.sum() <= 2


def test_smoothed_iterates_agree() -> None:
    """torchattacks' TI is for three channels, and resizes at random too, which the paper's does not."""
    _, net = pair()
    grey = Grey(net).eval()
    ours = armour.wrap(grey, input_shape=(3, 28, 28), num_classes=10)
    x, y = samples(20)
    x = np.repeat(x, 3, axis=1)
    for decay in (0.0, 1.0):
        theirs = peer(torchattacks.TIFGSM, grey, x, y, diversity_prob=0.0, decay=decay)
        found = last_iterate(attacks.TIFGSM(steps=STEPS, decay=decay), ours, x, y)
        agree(ours, found, theirs)


def test_diverse_iterates_agree() -> None:
    """By PyTorch's resizing, padding and gradients, where every image has the draws that it has here.

    Of its own accord torchattacks draws once for a whole batch, and never pads the upper and left side fully.
    """
    ours, net = pair()
    x, y = samples(40)
    drawn = by_content(np.random.default_rng(0), x)

    class Drawn(torchattacks.DIFGSM):  # type: ignore[misc]
        step = 0

        def input_diversity(self, images: Any) -> Any:
            draws = drawn.child(self.step).child(0).uniform((1, 4), dtype=np.float64)[:, 0]
            self.step += 1
            return torch.cat([self.moved(images[i : i + 1], *draws[i]) for i in range(len(images))])

        def moved(self, image: Any, chosen: float, size: float, top: float, left: float) -> Any:
            if chosen >= self.diversity_prob:
                return image
            side = 25 + int(size * 3)
            up, before = int(top * (29 - side)), int(left * (29 - side))
            small = functional.interpolate(image, size=[side, side], mode="bilinear", align_corners=False)
            return functional.pad(small, [before, 28 - side - before, up, 28 - side - up])

    for decay in (0.0, 1.0):
        theirs = peer(Drawn, net, x, y, decay=decay, diversity_prob=0.7)
        attack = attacks.DIFGSM(steps=STEPS, decay=decay, probability=0.7)
        agree(ours, last_iterate(attack, ours, x, y), theirs)


ALIKE: list[tuple[Any, Any, dict[str, Any], int]] = [
    (torchattacks.SINIFGSM, attacks.SIFGSM(), {}, 1),
    (torchattacks.VMIFGSM, attacks.VMIFGSM(neighbours=5), {"N": 5}, 1),
    (torchattacks.VNIFGSM, attacks.VNIFGSM(neighbours=5), {"N": 5}, 1),
    # Theirs divides the loss of broken samples by the perturbation's length; here they are left alone.
    (torchattacks.Jitter, attacks.Jitter(steps=STEPS, step_size=0.1), {}, 6),
]


@pytest.mark.parametrize(("kind", "attack", "settings", "seeds"), ALIKE)
def test_as_many_images_are_broken(kind: Any, attack: Any, settings: dict[str, Any], seeds: int) -> None:
    """Mean robust accuracy over some seeds: within .01."""
    ours, net = pair()
    x, y = samples()
    theirs = np.mean(
        [ours.accuracy(peer(kind, Clamped(net), x, y, seed, **settings), y) for seed in range(seeds)]
    )
    found = np.mean([attack.attack(ours, x, y, EPSILON, rng=s).robust_accuracy[0] for s in range(seeds)])
    print(f"\n{kind.__name__} {settings}: torchattacks {theirs:.4f}, armour {found:.4f}")
    assert abs(found - theirs) <= 0.0101
