"""PGD-40 on LeNet-5, 500 images, armour against Foolbox; Square and AutoAttack against the authors' code;
HopSkipJump against ART.

All on the same trained weights, with the same steps and queries.

Two cases for each norm: a budget that breaks nearly nothing, so that every sample takes all its steps, and
one that breaks many, where ours lets broken samples go. Foolbox runs on the PyTorch network with frozen
parameters. AutoAttack is the standard version on an adversarially trained LeNet-5, on few images and in one
round, since the authors' code takes a second for each. The row's notes say which share of the samples each
attack leaves standing.
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
QUERIES = 1000
# Images, and the budget, of comparisons with the authors' code.
AUTHORS = {"square": (100, 0.12), "auto-attack": (50, 0.1)}
# Images, queries of each, and the turns in which ART asks about as many.
LABELS = (20, 2400, 10)
BUDGETS = {"linf": (0.002, 0.1), "l2": (0.02, 1.0), "l1": (0.2, 8.0)}


def run(options: Options) -> Iterator[Row]:
    """Both budgets of each norm; then the authors' attacks."""
    yield from foolbox_rows(options)
    yield from authors_rows(options)
    yield from labels_rows(options)


def labels_rows(options: Options) -> Iterator[Row]:
    """HopSkipJump against ART; the notes say which median distance each comes to."""
    try:
        import art  # noqa: F401
    except ImportError:
        print("skipped: ART is not installed here; `make parity` builds an environment that has it")
        return
    few = dataclasses.replace(options, rounds=1, seconds=0.0)
    n, queries, _ = LABELS
    medians: dict[str, float] = {}
    make = lambda: by_labels(few, medians)  # noqa: E731
    for row in timed(Case("attacks", f"HopSkipJump l2, {queries} queries", "lenet5", n, make), few):
        yield dataclasses.replace(row, notes={"median l2": medians})


def by_labels(options: Options, medians: dict[str, float]) -> list[Candidate]:
    """ART, which is given images of other classes to start from, and armour, which is not."""
    import torch
    from art.attacks.evasion import HopSkipJump
    from art.estimators.classification import PyTorchClassifier

    from benchmarks import peers

    n, queries, turns = LABELS
    ours = trained.network("lenet5")
    module = peers.build("lenet5", (1, 28, 28), 10)
    peers.load(module, {key: np.array(value) for key, value in ours.state_dict().items()})

    class Floats(torch.nn.Module):
        """ART asks in float64."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.float()

    loss = torch.nn.CrossEntropyLoss()
    module = torch.nn.Sequential(Floats(), module)
    theirs = PyTorchClassifier(module, loss, (1, 28, 28), 10, clip_values=(0, 1), device_type="cpu")
    pool = trained.digits()[1].x
    x, labels = pool[:n], ours.predict(pool)
    y = labels[:n]
    starts = np.stack([pool[np.flatnonzero(labels != label)[i]] for i, label in enumerate(y)])
    attack = attacks.HopSkipJump(queries=queries)

    def peer() -> Any:
        art = HopSkipJump(theirs, norm=2, max_iter=turns, verbose=False, batch_size=256)
        adv = art.generate(x, y, x_adv_init=starts)
        medians["ART"] = round(float(np.median(attack.distance.measure(x, adv))), 3)
        return adv

    def own(choice: str) -> Any:
        result = attack.attack(ours, x, y)
        medians[f"armour, {choice}"] = round(float(np.median(result.distance[0])), 3)
        return result.success

    return [
        Candidate("ART", peer),
        *(
            Candidate("HopSkipJump", lambda choice=choice: own(choice), choice, True, within(choice))
            for choice in options.kernels
        ),
    ]


def foolbox_rows(options: Options) -> Iterator[Row]:
    """PGD against Foolbox."""
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


def authors_rows(options: Options) -> Iterator[Row]:
    """Square and AutoAttack against the authors' code."""
    try:
        import pyautoattack  # noqa: F401
    except ImportError:
        print("skipped: pyautoattack is not installed here; `make parity` builds an environment that has it")
        return
    for name, (n, epsilon) in AUTHORS.items():
        few = dataclasses.replace(options, rounds=1 if name == "auto-attack" else ROUNDS, seconds=0.0)
        left: dict[str, float] = {}
        make = lambda name=name, few=few, left=left: authors(name, few, left)  # noqa: E731
        work = f"Square, {QUERIES} queries" if name == "square" else "AutoAttack standard"
        for row in timed(Case("attacks", f"{work}, linf, epsilon {epsilon}", "lenet5", n, make), few):
            yield dataclasses.replace(row, notes={"left": left})


def authors(name: str, options: Options, left: dict[str, float]) -> list[Candidate]:
    """The authors' code and armour on the same images; fills in the robust accuracy that each leaves."""
    import torch
    from pyautoattack import AutoAttack

    from benchmarks import peers

    n, epsilon = AUTHORS[name]
    ours = trained.network("lenet5", 0.1)
    module = peers.build("lenet5", (1, 28, 28), 10)
    peers.load(module, {key: np.array(value) for key, value in ours.state_dict().items()})
    x = trained.digits()[1].x[:n]
    y = ours.predict(x)
    x_torch, y_torch = torch.from_numpy(x), torch.from_numpy(y)
    whole = name == "auto-attack"
    theirs = AutoAttack(
        module,
        norm="Linf",
        eps=epsilon,
        seed=0,
        version="standard" if whole else "custom",
        attacks=None if whole else [name],
    )
    if not whole:
        theirs.square.n_queries = QUERIES
    attack = attacks.AutoAttack() if whole else attacks.Square(queries=QUERIES)

    def peer() -> Any:
        adv, _ = theirs.run_standard_evaluation(x_torch, y_torch, batch_size=n)
        left["authors'"] = round(float((module(adv).argmax(1) == y_torch).float().mean()), 3)
        return adv

    def own(choice: str) -> Any:
        result = attack.attack(ours, x, y, [epsilon])
        left[f"armour, {choice}"] = round(float(result.robust_accuracy[0]), 3)
        return result.success

    return [
        Candidate("pyautoattack", peer),
        *(
            Candidate(type(attack).__name__, lambda choice=choice: own(choice), choice, True, within(choice))
            for choice in options.kernels
        ),
    ]


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
