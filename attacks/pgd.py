"""Many projected steps: BIM and PGD."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from armour.checks import count, positive
from armour.contract import Model
from armour.criteria import RELATIVE, Criterion, Loss
from armour.errors import InvalidArgument
from armour.regions import F32
from armour.rng import Streams

from .base import ATTACKS, FixedBudgetAttack
from .fgsm import check_loss
from .gradient import Data, ascend


@ATTACKS.register("pgd")
@dataclass(frozen=True, slots=True, kw_only=True)
class PGD(FixedBudgetAttack):
    """Projected gradient descent under an Lp budget.

    Each step moves along the steepest direction of `norm`, then to the nearest point that is both in the ball
    of radius epsilon around x and inside the bounds. A sample is left alone once it is broken. Needs
    gradients.

    steps: gradient evaluations per restart (each costs one forward and one backward pass).
    step_size: length of a step, as a fraction of epsilon.
    random_start: start from a random point of the region instead of x.
    restarts: runs from new random points, on the samples that are not broken yet.
    loss: "cross-entropy", "margin", "dlr", "jitter", "kl" (away from the clean prediction, without the label:
    TRADES, Zhang et al., 2019, https://arxiv.org/abs/1901.08573), or a function (logits, labels) -> (n,).
    eot: gradients averaged per step, for a model that answers at random.
    Raises UnsupportedError if the model is a black box.
    Madry et al., 2018, https://arxiv.org/abs/1706.06083; for l1 Tramer and Boneh, 2019,
    https://arxiv.org/abs/1904.13000, with the projection of Croce and Hein, 2021,
    https://arxiv.org/abs/2103.01208.
    """

    steps: int = 40
    step_size: float = 0.2
    random_start: bool = True
    restarts: int = 1
    loss: str | Loss = "cross-entropy"
    eot: int = 1

    def __post_init__(self) -> None:
        FixedBudgetAttack.__post_init__(self)
        count("steps", self.steps)
        positive("step_size", self.step_size)
        count("restarts", self.restarts)
        count("eot", self.eot)
        if self.restarts > 1 and not self.random_start:
            raise InvalidArgument(
                f"expected restarts=1 without random_start (every run would be the same), got {self.restarts}"
            )
        check_loss(self.loss, relative=self.random_start)

    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        """As FixedBudgetAttack.run."""
        region = self.region(model, x, epsilon)
        best, best_value = x.copy(), np.full(len(x), -np.inf, np.float32)
        left = np.arange(len(x))
        clean = model.logits(x) if isinstance(self.loss, str) and self.loss in RELATIVE else None
        for restart in range(self.restarts):
            part = region[left]
            adv, value, met = ascend(
                model,
                part,
                criterion[left],
                part.start(rng[left].child(restart)) if self.random_start else part.x,
                loss=self.loss,
                steps=self.steps,
                step_size=self.step_size,
                eot=self.eot,
                data=None if clean is None else _rows_of(clean[left]),
            )
            better = met | (value > best_value[left])
            best[left[better]], best_value[left[better]] = adv[better], value[better]
            left = left[~met]
            if not left.size:
                break
        return best


@ATTACKS.register("bim")
@dataclass(frozen=True, slots=True, kw_only=True)
class BIM(FixedBudgetAttack):
    """Basic iterative method: PGD from x itself, with fewer and longer steps.

    steps, step_size, loss: as for PGD.
    Raises UnsupportedError if the model is a black box.
    Kurakin et al., 2017, https://arxiv.org/abs/1607.02533.
    """

    steps: int = 10
    step_size: float = 0.2
    loss: str | Loss = "cross-entropy"

    def __post_init__(self) -> None:
        FixedBudgetAttack.__post_init__(self)
        count("steps", self.steps)
        positive("step_size", self.step_size)
        check_loss(self.loss)

    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        """As FixedBudgetAttack.run; rng is not used."""
        region = self.region(model, x, epsilon)
        adv, _, _ = ascend(
            model, region, criterion, x, loss=self.loss, steps=self.steps, step_size=self.step_size
        )
        return adv


def _rows_of(array: F32) -> Data:
    return lambda rows, step: (array[rows],)
