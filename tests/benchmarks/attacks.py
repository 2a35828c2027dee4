"""PGD-40 on LeNet-5, 500 images, armour against Foolbox: same trained weights and steps.

Two cases for each norm: a budget that breaks nearly nothing, so that every sample takes all its steps, and
one that breaks many, where ours lets broken samples go. Foolbox runs on the PyTorch network with frozen
parameters. The row's notes say which share of the samples each attack leaves standing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import trained

from armour import attacks
from benchmarks.harness import Candidate
from benchmarks.kernels import within
from benchmarks.rows import Case, Options, Row, timed

N = 500
STEPS = 40
ROUNDS = 3  # an attack takes seconds
BUDGETS = {"linf": (0.002, 0.1), "l2": (0.02, 1.0), "l1": (0.2, 8.0)}


def run(options: Options) -> Iterator[Row]:
    """Both budgets of each norm."""
    try:
        import foolbox  # noqa: F401
    except ImportError:
        print("skipped: Foolbox is not installed here; `make parity` builds an environment that has it")
        return
    few = dataclasses.replace(options, rounds=min(ROUNDS, options.rounds), seconds=0.0)
    for norm, budgets in BUDGETS.items():
        for epsilon in budgets:
            left: dict[str, float] = {}
            make = lambda norm=norm, epsilon=epsilon, left=left: candidates(norm, epsilon, few, left)  # noqa: E731
            case = Case("attacks", f"PGD-{STEPS} {norm}, epsilon {epsilon}", "lenet5", N, make)
            for row in timed(case, few):
                yield dataclasses.replace(row, notes={"left": left})


def candidates(norm: str, epsilon: float, options: Options, left: dict[str, float]) -> list[Candidate]:
    """Foolbox and armour on the same images; fills in the robust accuracy that each leaves."""
    import foolbox
    import torch

    from benchmarks import peers

    ours = trained.network("lenet5")
    module = peers.build("lenet5", (1, 28, 28), 10)
    peers.load(module, {key: np.array(value) for key, value in ours.state_dict().items()})
    theirs = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
    train, test = trained.digits()
    x = np.concatenate([test.x, train.x])[:N]
    y = ours.predict(x)  # no sample is wrong before the attack, so none is left out
    x_torch, y_torch = torch.from_numpy(x), torch.from_numpy(y)
    kind = {
        "linf": foolbox.attacks.LinfProjectedGradientDescentAttack,
        "l2": foolbox.attacks.L2ProjectedGradientDescentAttack,
        "l1": foolbox.attacks.L1ProjectedGradientDescentAttack,
    }[norm](steps=STEPS, rel_stepsize=0.1)
    attack = attacks.PGD(norm=norm, steps=STEPS, step_size=0.1)  # type: ignore[arg-type]

    def peer() -> Any:
        return kind(theirs, x_torch, y_torch, epsilons=[epsilon])[2]

    def own() -> Any:
        return attack.attack(ours, x, y, [epsilon]).success

    left["Foolbox"] = round(float((~peer()).float().mean()), 3)
    found = [Candidate("Foolbox", peer)]
    for choice in options.kernels:
        with within(choice)():
            left[f"armour, {choice}"] = round(float((~own()).mean()), 3)
        found.append(Candidate("attacks.PGD", own, choice, True, within(choice)))
    return found
