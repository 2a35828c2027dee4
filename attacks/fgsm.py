"""One step: FGSM and R+FGSM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.checks import fraction
from armour.contract import Model
from armour.criteria import LOSSES, RELATIVE, Criterion, Loss
from armour.distances import Norm
from armour.errors import InvalidArgument
from armour.regions import F32
from armour.rng import Streams

from .base import ATTACKS, FixedBudgetAttack
from .gradient import finite


@ATTACKS.register("fgsm")
@dataclass(frozen=True, slots=True, kw_only=True)
class FGSM(FixedBudgetAttack):
    """Fast gradient (sign) method, for any norm.

    One gradient at x, and from there to the point within budget and bounds at which the linearised loss is
    largest; with linf that is x + epsilon * sign(gradient), clipped to the bounds. Needs gradients.

    loss: "cross-entropy", "margin", "dlr", or a function (logits, labels) -> (n,).
    Raises UnsupportedError if the model is a black box.
    Goodfellow et al., 2015, https://arxiv.org/abs/1412.6572.
    """

    loss: str | Loss = "cross-entropy"

    def __post_init__(self) -> None:
        FixedBudgetAttack.__post_init__(self)
        check_loss(self.loss)

    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        """As FixedBudgetAttack.run; rng is not used."""
        _, gradient, _ = model.gradient(x, criterion.objective(self.loss))
        return self.region(model, x, epsilon).furthest(finite(gradient))


@ATTACKS.register("r-fgsm")
@dataclass(frozen=True, slots=True, kw_only=True)
class RFGSM(FixedBudgetAttack):
    """FGSM after a random step, which escapes gradients that are masked at x itself (R+FGSM).

    x moves by start * epsilon along random signs; FGSM spends the rest of the budget from there. Needs
    gradients.

    start: share of the budget that the random step takes, in [0, 1].
    loss: "cross-entropy", "margin", "dlr", or a function (logits, labels) -> (n,).
    Raises UnsupportedError if the model is a black box.
    Tramer et al., 2018, https://arxiv.org/abs/1705.07204.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf",)

    start: float = 0.5
    loss: str | Loss = "cross-entropy"

    def __post_init__(self) -> None:
        FixedBudgetAttack.__post_init__(self)
        fraction("start", self.start)
        check_loss(self.loss)

    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        """As FixedBudgetAttack.run."""
        region = self.region(model, x, epsilon)
        signs = np.where(rng.uniform(x.shape[1:]) < 0.5, np.float32(-1), np.float32(1))
        point = region.step(x, signs, self.start)
        _, gradient, _ = model.gradient(point, criterion.objective(self.loss))
        return region.step(point, finite(gradient), 1 - self.start)


def check_loss(loss: str | Loss, *, relative: bool = False) -> None:
    """InvalidArgument for the name of a loss that does not exist, or that is relative if none may be."""
    if not isinstance(loss, str) or (relative and loss in RELATIVE):
        return
    if loss in RELATIVE:
        raise InvalidArgument(
            f"the {loss} loss has no slope at the input itself, where this attack begins; use it with PGD "
            "and a random start"
        )
    LOSSES.get(loss)
