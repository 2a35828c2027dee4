"""PGD-40 on LeNet-5, 500 images, armour against Foolbox and torchattacks; Square against ART and the authors'
code; HopSkipJump against ART.

All on the same trained weights, with the same steps and queries.

Two cases for each norm: a budget that breaks nearly nothing, so that every sample takes all its steps, and
one that breaks many, where ours lets broken samples go. Foolbox and torchattacks (which has no l1) run on the
PyTorch network with frozen parameters. The row's notes say which share of the samples each attack leaves
standing. AutoAttack is in auto_attack.py, which takes longer.
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
SQUARE = (100, 0.12)  # images, and the budget
# Images, queries of each, and the turns in which ART asks about as many.
LABELS = (20, 2400, 10)
BUDGETS = {"linf": (0.002, 0.1), "l2": (0.02, 1.0), "l1": (0.2, 8.0)}


def run(options: Options) -> Iterator[Row]:
    """Both budgets of each norm; then the attacks that only ask."""
    yield from pgd_rows(options)
    yield from square_rows(options)
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

    n, queries, turns = LABELS
    ours, module = networks_of("lenet5")

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


def pgd_rows(options: Options) -> Iterator[Row]:
    """PGD against Foolbox and torchattacks."""
    try:
        import foolbox  # noqa: F401
        import torchattacks  # noqa: F401
    except ImportError:
        print("skipped: Foolbox or torchattacks is not installed here; `make parity` builds what has both")
        return
    few = dataclasses.replace(options, rounds=min(ROUNDS, options.rounds), seconds=0.0)
    for norm, budgets in BUDGETS.items():
        for epsilon in budgets:
            left: dict[str, float] = {}
            make = lambda norm=norm, epsilon=epsilon, left=left: candidates(norm, epsilon, few, left)  # noqa: E731
            case = Case("attacks", f"PGD-{STEPS} {norm}, epsilon {epsilon}", "lenet5", N, make)
            for row in timed(case, few):
                yield dataclasses.replace(row, notes={"left": left})


def square_rows(options: Options) -> Iterator[Row]:
    """Square against the authors' code and ART."""
    try:
        import art  # noqa: F401
        import pyautoattack  # noqa: F401
    except ImportError:
        print("skipped: pyautoattack or ART is not installed here; `make parity` builds what has both")
        return
    few, (n, epsilon) = dataclasses.replace(options, rounds=1, seconds=0.0), SQUARE
    left: dict[str, float] = {}
    case = Case(
        "attacks",
        f"Square, {QUERIES} queries, linf, epsilon {epsilon}",
        "lenet5",
        n,
        lambda: square(few, left),
    )
    for row in timed(case, few):
        yield dataclasses.replace(row, notes={"left": left})


def square(options: Options, left: dict[str, float]) -> list[Candidate]:
    """The public codes and armour on the same images; fills in the robust accuracy that each leaves."""
    import torch
    from art.attacks.evasion import SquareAttack
    from pyautoattack import AutoAttack

    from benchmarks import attack_peers

    n, epsilon = SQUARE
    ours, module = networks_of("lenet5", 0.1)
    x = trained.digits()[1].x[:n]
    y = ours.predict(x)
    authors = AutoAttack(module, norm="Linf", eps=epsilon, seed=0, version="custom", attacks=["square"])
    authors.square.n_queries = QUERIES
    classifier = attack_peers.art_classifier(module, x.shape[1:])
    attack = attacks.Square(queries=QUERIES)

    def kept(name: str, adv: np.ndarray) -> np.ndarray:
        left[name] = round(float((attack_peers.predict(module, adv) == y).mean()), 3)
        return adv

    def of_authors() -> Any:
        with attack_peers.quiet():
            given = torch.from_numpy(x), torch.from_numpy(y)
            return kept("authors'", authors.run_standard_evaluation(*given, batch_size=n)[0].numpy())

    def of_art() -> Any:
        art = SquareAttack(
            classifier, norm=np.inf, eps=epsilon, max_iter=QUERIES, nb_restarts=1, batch_size=n, verbose=False
        )
        with attack_peers.seeded(0):
            return kept("ART", art.generate(x, y))

    def own(choice: str) -> Any:
        result = attack.attack(ours, x, y, [epsilon])
        left[f"armour, {choice}"] = round(float(result.robust_accuracy[0]), 3)
        return result.success

    return [
        Candidate("pyautoattack", of_authors),
        Candidate("ART", of_art),
        *(
            Candidate("Square", lambda choice=choice: own(choice), choice, True, within(choice))
            for choice in options.kernels
        ),
    ]


def networks_of(arch: str, epsilon: float = 0.0) -> tuple[Any, Any]:
    """The trained network, and the same weights in PyTorch."""
    from benchmarks import peers

    ours = trained.network(arch, epsilon)
    module = peers.build(arch, (1, 28, 28), 10)
    peers.load(module, {key: np.array(value) for key, value in ours.state_dict().items()})
    return ours, module


def candidates(norm: str, epsilon: float, options: Options, left: dict[str, float]) -> list[Candidate]:
    """The peers and armour on the same images; fills in the robust accuracy that each leaves."""
    import foolbox
    import torch
    import torchattacks

    ours, module = networks_of("lenet5")
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
    length = {"eps": epsilon, "alpha": epsilon / 10, "steps": STEPS}
    made = {"linf": torchattacks.PGD, "l2": torchattacks.PGDL2}

    def peer() -> Any:
        return kind(theirs, x_torch, y_torch, epsilons=[epsilon])[2].float()

    def other() -> Any:
        return (module(made[norm](module, **length)(x_torch, y_torch)).argmax(1) != y_torch).float()

    def own() -> Any:
        return attack.attack(ours, x, y, [epsilon]).success

    found = [Candidate("Foolbox", peer)]
    if norm in made:
        found.append(Candidate("torchattacks", other))
    for candidate in found:
        left[candidate.name] = round(1 - float(candidate.call().mean()), 3)
    for choice in options.kernels:
        with within(choice)():
            left[f"armour, {choice}"] = round(float((~own()).mean()), 3)
        found.append(Candidate("attacks.PGD", own, choice, True, within(choice)))
    return found
