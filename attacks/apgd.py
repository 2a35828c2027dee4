"""Auto-PGD: projected ascent whose steps need no tuning, on the cross-entropy or the logits' ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from armour.checks import count, fraction
from armour.contract import Model
from armour.criteria import LOSSES, Criterion, Loss
from armour.errors import UnsupportedError
from armour.objective import Objective
from armour.regions import F32
from armour.rng import Streams
from armour.tensor import losses

from .base import ATTACKS, FixedBudgetAttack
from .climb import climb
from .fgsm import check_loss
from .gradient import labels_of, other_classes

# The l1 search goes through wider balls first: times epsilon, and the share of the steps in each.
_WIDER = ((3.0, 0.3), (2.0, 0.3))


@ATTACKS.register("apgd-ce")
@dataclass(frozen=True, slots=True, kw_only=True)
class APGD(FixedBudgetAttack):
    """Auto-PGD on the cross-entropy: steps with momentum, of a length that the search finds itself.

    linf and l2: the first step is as long as the ball is wide. At checkpoints, ever nearer to each other, a
    step is halved, and the search goes back to the best point, where too few steps have gained or the best
    has not grown since the last checkpoint. l1: steps along the steepest coordinates, as many as the best
    point so far suggests, in balls of three, two and one epsilon in turn. A sample is left alone once it is
    broken. Needs gradients.

    steps: gradient evaluations per restart. restarts: runs from new random points, on the samples that are
    not broken yet. rho: share of the steps that must gain. eot: gradients averaged for each step, for models
    that answer at random. loss: "cross-entropy", "dlr", "margin", "targeted-dlr", or a function (logits,
    labels) -> (n,).
    Raises UnsupportedError if the model is a black box, or has too few classes for the loss.
    Croce and Hein, 2020, https://arxiv.org/abs/2003.01690; for l1 Croce and Hein, 2021,
    https://arxiv.org/abs/2103.01208.
    """

    steps: int = 100
    restarts: int = 1
    rho: float = 0.75
    eot: int = 1
    loss: str | Loss = "cross-entropy"

    def __post_init__(self) -> None:
        FixedBudgetAttack.__post_init__(self)
        _check(self.steps, self.restarts, self.rho, self.eot)
        check_loss(self.loss)

    def check_model(self, model: Model) -> None:
        """As Attack.check_model; UnsupportedError too if the model has too few classes for the loss."""
        FixedBudgetAttack.check_model(self, model)
        _enough_classes(self, model, self.loss)

    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        """As FixedBudgetAttack.run."""
        _enough_classes(self, model, self.loss)
        best = _Best(x)
        for restart in range(self.restarts):
            left = best.left
            goal = criterion[left]
            objective = goal.objective(_loss(self.loss, goal))
            _run(self, model, epsilon, best, goal, objective, rng[left].child(restart))
            if not best.left.size:
                break
        return best.adv


@ATTACKS.register("apgd-dlr")
@dataclass(frozen=True, slots=True, kw_only=True)
class APGDDLR(APGD):
    """Auto-PGD on the difference of logits ratio, which the scale of the logits does not change.

    Towards a class (criteria.Targeted) that ratio could grow by its denominator alone; the margin is climbed
    instead.
    steps, restarts, rho, eot, loss: as for APGD.
    Raises UnsupportedError if the model is a black box, or has fewer than 3 classes.
    Croce and Hein, 2020, https://arxiv.org/abs/2003.01690.
    """

    loss: str | Loss = "dlr"


@ATTACKS.register("apgd-t")
@dataclass(frozen=True, slots=True, kw_only=True)
class APGDT(FixedBudgetAttack):
    """Auto-PGD on the targeted difference of logits ratio, towards the likeliest wrong classes in turn.

    Each target is a run of its own, on the samples that are not broken yet: first the class with the largest
    other logit at x, then the next. Any class that meets the criterion will do. With criteria.Targeted there
    is one target, and the margin is climbed, as for APGDDLR.

    targets: wrong classes to try, at most. steps, rho, eot: as for APGD. restarts: runs towards each target.
    Raises UnsupportedError if the model is a black box, or has fewer than 4 classes.
    Croce and Hein, 2020, https://arxiv.org/abs/2003.01690.
    """

    through_classes: ClassVar[bool] = True

    steps: int = 100
    restarts: int = 1
    targets: int = 9
    rho: float = 0.75
    eot: int = 1

    def __post_init__(self) -> None:
        FixedBudgetAttack.__post_init__(self)
        _check(self.steps, self.restarts, self.rho, self.eot)
        count("targets", self.targets)

    def check_model(self, model: Model) -> None:
        """As Attack.check_model; UnsupportedError too if the model has fewer than 4 classes."""
        FixedBudgetAttack.check_model(self, model)
        _enough_classes(self, model, "targeted-dlr")

    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        """As FixedBudgetAttack.run."""
        _enough_classes(self, model, "targeted-dlr")
        targets = None if criterion.direction < 0 else self._targets(model.logits(x), criterion)
        best = _Best(x)
        for run in range(self.restarts * (1 if targets is None else targets.shape[1])):
            left = best.left
            goal = criterion[left]
            objective = (
                goal.objective("margin")
                if targets is None
                else goal.objective("targeted-dlr", targets[left, run // self.restarts])
            )
            _run(self, model, epsilon, best, goal, objective, rng[left].child(run))
            if not best.left.size:
                break
        return best.adv

    def _targets(self, logits: F32, criterion: Criterion) -> NDArray[np.int64]:
        """(n, targets) the classes to reach, likeliest first."""
        return other_classes(logits, labels_of(criterion))[:, : self.targets]


class _Best:
    """The best input (n, ...) of several runs and its objective; `left`: (m,) the samples not broken yet."""

    def __init__(self, x: F32) -> None:
        self.x, self.adv = x, x.copy()
        self.value = np.full(len(x), -np.inf, np.float32)
        self.left = np.arange(len(x))

    def add(self, adv: F32, value: F32, met: NDArray[np.bool_]) -> None:
        """What a run found for the samples that were left."""
        better = met | (value > self.value[self.left])
        self.adv[self.left[better]], self.value[self.left[better]] = adv[better], value[better]
        self.left = self.left[~met]


def _run(
    attack: APGD | APGDT,
    model: Model,
    epsilon: float,
    best: _Best,
    criterion: Criterion,
    objective: Objective,
    rng: Streams,
) -> None:
    """One run from a random point for the samples that are left."""
    x = best.x if len(best.left) == len(best.x) else best.x[best.left]
    wider = _WIDER if attack.norm == "l1" else ()
    stages = [
        (times, min(math.ceil(share * attack.steps), (attack.steps - 1) // 2)) for times, share in wider
    ]
    stages.append((1.0, attack.steps - sum(steps for _, steps in stages)))
    point = None
    for times, steps in stages:
        if not steps:
            continue
        region = attack.region(model, x, epsilon * times)
        start = region.start(rng) if point is None else region.project(point)
        last = times == 1
        point, value, met = climb(
            model,
            region,
            criterion,
            objective,
            start,
            steps=steps,
            rho=attack.rho,
            eot=attack.eot,
            leave=last,
        )
        if last:
            best.add(point, value, met)


def _ratio_classes(loss: str | Loss) -> int:
    """The classes that a ratio of logits needs; 0 for another loss."""
    function = LOSSES.get(loss) if isinstance(loss, str) else loss
    return 3 if function is losses.dlr else 4 if function is losses.targeted_dlr else 0


def few_classes(model: Model, loss: str | Loss) -> str:
    """That the model has too few classes for the loss, as a clause about an attack; "" if it has enough."""
    needed = _ratio_classes(loss)
    if model.num_classes is None or model.num_classes >= needed:
        return ""
    return (
        f"needs at least {needed} classes for its ratio of logits, and {model.name} has {model.num_classes}"
    )


def _loss(loss: str | Loss, criterion: Criterion) -> str | Loss:
    """The loss to climb: towards a class a ratio is no measure of the way."""
    return "margin" if _ratio_classes(loss) and criterion.direction < 0 else loss


def _check(steps: int, restarts: int, rho: float, eot: int) -> None:
    count("steps", steps)
    count("restarts", restarts)
    fraction("rho", rho)
    count("eot", eot)


def _enough_classes(attack: FixedBudgetAttack, model: Model, loss: str | Loss) -> None:
    few = few_classes(model, loss)
    if few:
        instead = "apgd-ce or apgd-dlr" if model.num_classes == 3 else "apgd-ce"
        raise UnsupportedError(f"{type(attack).__name__} {few}; use {instead}")
