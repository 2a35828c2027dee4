"""Checks of what is around the attacks: a self-test with a known answer, and leakage of training data."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from armour.attacks import Attack, MinimizationAttack
from armour.errors import ArmourError
from armour.model import ModuleModel
from armour.tensor import nn
from armour.verdict import percent

from .context import Context
from .rules import Said, rule

TESTED, SIDE, CLASSES = 96, 4, 4
REACH = 0.15  # of the bounds' span, per value: the self-test's budget
SLACK = {True: 0.99, False: 0.9}  # what an attack with gradients, and one without, must come within


@rule("R21", "Attacks pass a test with a known answer", probes=False, when="before")
def self_test(context: Context) -> Said:
    """The row of attacks on a linear model, whose smallest distances have a closed form."""
    if context.threat.norm == "l0":
        return Said("note", "Not measured in l0, where the smallest distance has no closed form here.")
    model, x, distances = linear(context.threat.norm)
    y = np.zeros(len(x), np.int64)
    epsilon = float(np.median(distances))
    left = np.ones(len(x), bool)
    names, skipped = [], []
    for attack in map(_plain, context.attacks):
        name = type(attack).__name__
        try:
            budget = None if isinstance(attack, MinimizationAttack) else epsilon
            result = attack.attack(model, x, y, budget, rng=np.random.default_rng([context.root, 21]))
        except ArmourError:
            skipped.append(name)
            continue
        left &= ~(result.success[0] & (result.distance[0] <= epsilon * (1 + 1e-6)))
        names.append(name)
    if not names:
        return Said("note", f"Not measured: {', '.join(skipped)} cannot be run on a linear model.")
    slack = SLACK[any(attack.needs_gradient for attack in context.attacks)]
    breakable = distances <= slack * epsilon
    missed, many = int((breakable & left).sum()), int(breakable.sum())
    impossible = int((~left & (distances > epsilon * (1 + 1e-4))).sum())
    text = f"On a linear model the row misses {missed} of {many} samples whose smallest distance is within "
    text += f"{slack:g} of the budget"
    if impossible:
        return Said(
            "error", f"{impossible} samples were broken that cannot be.", "This is a fault; report it."
        )
    if missed > 0.001 * many:
        return Said(
            "error" if slack == SLACK[True] else "warning",
            f"{text} ({percent(missed / many)}).",
            "The attacks are too weak to trust what they leave: more steps, another attack, another norm.",
        )
    return Said("ok", f"{text}.")


def linear(norm: str) -> tuple[ModuleModel, np.ndarray, np.ndarray]:
    """A linear model, inputs (n, 1, 4, 4) of class 0, and their exact smallest distances in that norm.

    Two of the four classes are never reached, so that two count; the inputs lie so far inside the bounds that
    these do not matter.
    """
    rng = np.random.default_rng(21)
    size = SIDE * SIDE
    slope = rng.choice([-1.0, 1.0], size) * rng.uniform(0.5, 1.5, size)
    module = nn.Sequential(nn.Flatten(), nn.Linear(size, CLASSES, rng=0))
    weights = np.zeros((CLASSES, size), np.float32)
    weights[0], weights[1] = slope / 2, -slope / 2
    x = rng.uniform(0.4, 0.6, (TESTED, size))
    # Moved along the slope until the margin is what the distance asks for.
    dual = {"linf": np.abs(slope).sum(), "l2": np.linalg.norm(slope), "l1": np.abs(slope).max()}
    reach = REACH if norm == "linf" else REACH * size**0.5 if norm == "l2" else REACH * 2
    wanted = np.linspace(0.1, 1.0, TESTED) * reach * dual[norm]
    middle = 0.5 * slope.sum()
    x += ((wanted - (x @ slope - middle)) / np.square(slope).sum())[:, None] * slope
    bias = np.array([-middle / 2, middle / 2, -100.0, -101.0], np.float32)
    module.load_state_dict({"1.weight": weights, "1.bias": bias})
    model = ModuleModel(
        module, bounds=(-2, 3), input_shape=(1, SIDE, SIDE), num_classes=CLASSES, name="linear"
    )
    x32 = x.astype(np.float32).reshape(-1, 1, SIDE, SIDE)
    w, b = weights.astype(np.float64), bias.astype(np.float64)
    z = x32.reshape(len(x32), -1).astype(np.float64) @ (w[0] - w[1]) + b[0] - b[1]
    return model, x32, z / float(dual[norm])


def _plain(attack: Attack) -> Attack:
    """Without a mask, which is made for other inputs."""
    if "mask" not in {field.name for field in fields(attack)}:
        return attack
    changed: dict[str, Any] = {"mask": None}
    return replace(attack, **changed)


@rule("R24", "Samples are not training data", probes=False, when="before")
def leakage(context: Context) -> Said:
    """Hashes of the samples against those of the data that the model was trained on."""
    if not context.training:
        return Said("note", "The training data are not known, so overlap was not looked for.")
    known = set(context.training)
    same = sum(each in known for each in context.ids)
    n = len(context.ids)
    text = f"{same:,} of {n:,} samples are among the {len(known):,} training samples"
    if same > 0.01 * n:
        return Said(
            "error",
            f"{text}: the model may remember them.",
            "Evaluate on samples that were held out from training.",
        )
    return Said("note" if same else "ok", f"{text}.")
