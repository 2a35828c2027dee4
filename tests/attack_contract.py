"""What the contract suites over the registry share: small attacks, a small network, inputs, and the cases."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from typing import Any

import linear
import numpy as np
import pytest
import small_models

from armour import attacks
from armour.attacks import Attack, AttackResult, FixedBudgetAttack, MinimizationAttack, OwnLimitsAttack
from armour.contract import LossFn, Model
from armour.model import ModuleModel
from armour.tensor import zoo

BUDGET = {"linf": 0.1, "l2": 0.5, "l1": 2.0, "l0": 5.0}


class Surrogate(Model):
    """What the suites' own models are, in one: each kind of input is answered by a network made for it."""

    can_grad = True
    fingerprint = "surrogate"

    def check_input(self, x: np.ndarray) -> np.ndarray:
        self.input_shape = None
        x = super().check_input(x)
        self.input_shape = None  # the next may have another shape
        return x

    def _forward(self, x: np.ndarray) -> np.ndarray:
        return answering(x.shape[1:])._forward(x)

    def _pullback(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return answering(x.shape[1:])._pullback(x, loss_fn)


@cache
def answering(shape: tuple[int, ...]) -> Model:
    """The network of the suites that takes such inputs."""
    if shape == (1, 5, 5):
        return linear.small_network()
    if shape == (1, 8, 8):
        return small_models.centroids(*small_models.digits(120))
    net = zoo.build("lenet5", shape, 10, rng=3)
    return ModuleModel(net, input_shape=shape, num_classes=10, mean=0.1, std=0.3)


# A contract is kept at any length of the search: these make it short.
SHORT: dict[str, Any] = {"steps": 6, "restarts": 2, "queries": 60, "targets": 3}
# Settings without which an attack cannot run here, or tells nothing, by its name.
NEEDED: dict[str, dict[str, Any]] = {
    "auto-attack": {"steps": 3, "queries": 30},  # each of its four attacks
    "bytes": {"edits": attacks.Edits(replace=12, values=(0, 1)), "search_by": "random", "population": 6},
    "ct-fgsm": {
        "parts": attacks.Momentum(
            nesterov=True,
            scales=2,
            diversity=attacks.Diversity(),
            neighbours=attacks.Neighbours(count=1),
            smoothing=attacks.Smoothing(size=3),
        ),
        "steps": 3,
    },
    "si-fgsm": {"scales": 2, "steps": 4},
    "vmi-fgsm": {"neighbours": 2, "steps": 3},
    "vni-fgsm": {"neighbours": 2, "steps": 3},
    "transfer": {"surrogate": Surrogate(), "using": attacks.MIFGSM(steps=3), "queries": 2},
    "cw": {"search_steps": 2, "step_size": 0.2, "first_weight": 0.1},
    "ead": {"search_steps": 2, "step_size": 0.1, "first_weight": 1.0},
    "jsma": {"gamma": 0.4},
    "lbfgs": {"search_steps": 2, "first_weight": 0.1},
    "one-pixel": {"pixels": 3, "population": 10},
    "spatial": {"angles": 5, "shifts": 3, "queries": 44},
}
# Minimum-norm attacks that leave a sample alone once it is within the smallest budget it is asked for.
CONTENT = {"fab", "fab-t"}
# Those that write whole numbers, whatever the bounds.
WHOLE = {"bytes"}
# An attack with limits of its own only measures in its norm: one is enough.
CASES = [
    (name, norm)
    for name, kind in attacks.ATTACKS.items()
    for norm in (kind.norms[:1] if issubclass(kind, OwnLimitsAttack) else kind.norms)
]


def cases(kind: type[Attack] = Attack, without: type[Attack] | None = None) -> pytest.MarkDecorator:
    """Every registered attack of that kind, in every norm it knows, as `name` and `norm`."""
    chosen = [
        (name, norm)
        for name, norm in CASES
        if issubclass(attacks.get(name), kind) and not (without and issubclass(attacks.get(name), without))
    ]
    return pytest.mark.parametrize(("name", "norm"), chosen, ids=[f"{a}-{n}" for a, n in chosen])


every = cases()
fixed_budget = cases(FixedBudgetAttack)
minimum_norm = cases(MinimizationAttack, without=OwnLimitsAttack)


def make(name: str, norm: str) -> Any:
    """The attack of that name, made short."""
    attack = attacks.get(name)(norm=norm, **NEEDED.get(name, {}))
    known = {field.name for field in fields(attack)} - NEEDED.get(name, {}).keys()
    return replace(attack, **{key: value for key, value in SHORT.items() if key in known})


def budget(attack: Attack) -> float | None:
    """What to give it as epsilons."""
    return BUDGET[attack.norm] if isinstance(attack, FixedBudgetAttack) else None


def go(attack: Any, model: Any, x: np.ndarray, y: Any, **options: Any) -> AttackResult:
    """The attack with its budget."""
    return attack.attack(model, x, y, budget(attack), **options)


def length(norm: str, x: np.ndarray, adv: np.ndarray) -> np.ndarray:
    """Distances (n,) by NumPy's own means."""
    difference = np.abs(adv.astype(np.float64) - x).reshape(len(x), -1)
    of = {
        "linf": lambda d: d.max(axis=1),
        "l2": lambda d: np.sqrt((d**2).sum(axis=1)),
        "l1": lambda d: d.sum(axis=1),
        "l0": lambda d: (d > 0).sum(axis=1).astype(float),
    }
    return of[norm](difference)


def small() -> tuple[linear.OneByOne, np.ndarray, np.ndarray]:
    """A network, inputs, and its own answers as labels, but wrong for every fifth input."""
    model = linear.small_network()
    x = linear.inputs(model, 24)
    labels = model.predict(x)
    labels[::5] = (labels[::5] + 1) % 4
    return model, x, labels
