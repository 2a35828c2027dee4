"""Least-likely class: one step towards the class that the model thinks of last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from armour.checks import fraction
from armour.contract import Model
from armour.criteria import Criterion, Labels, Loss, Targeted
from armour.regions import F32
from armour.rng import Streams
from armour.tensor.backend import asnumpy
from armour.tensor.core import Tensor

from .base import ATTACKS, FixedBudgetAttack
from .fgsm import check_loss
from .gradient import finite


@ATTACKS.register("least-likely")
@dataclass(frozen=True, slots=True, kw_only=True)
class LeastLikely(FixedBudgetAttack):
    """FGSM towards the class with the smallest logit at x, also after a random step.

    The class is asked of the model for each input, and is never the label. A Targeted criterion names the
    class itself, and is obeyed. Needs gradients.

    start: share of the budget that a random step takes first, in [0, 1]: 0 for none, .5 for Tramer's
    RAND+LLC. loss: "cross-entropy", "margin", "dlr", "jitter", or a function (logits, labels) -> (n,).
    Raises UnsupportedError if the model is a black box.
    Kurakin et al., 2017, https://arxiv.org/abs/1611.01236; Tramer et al., 2018,
    https://arxiv.org/abs/1705.07204.
    """

    start: float = 0.0
    loss: str | Loss = "cross-entropy"

    def __post_init__(self) -> None:
        FixedBudgetAttack.__post_init__(self)
        fraction("start", self.start)
        check_loss(self.loss)

    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        """As FixedBudgetAttack.run; rng is used by a random step."""
        region = self.region(model, x, epsilon)
        if self.start == 0:

            def towards(logits: Tensor) -> Tensor:
                return self._goal(asnumpy(logits.data), criterion).objective(self.loss)(logits)

            _, gradient, _ = model.gradient(x, towards)
            return region.furthest(finite(gradient))
        goal = self._goal(model.logits(x), criterion)
        # The steepest direction of noise: random signs in linf.
        point = region.step(x, rng.normal(x.shape[1:]).astype(np.float32), self.start)
        _, gradient, _ = model.gradient(point, goal.objective(self.loss))
        return region.step(point, finite(gradient), 1 - self.start)

    def _goal(self, logits: F32, criterion: Criterion) -> Criterion:
        if criterion.direction < 0 or criterion.labels is None:
            return criterion
        return Targeted(least_likely(logits, criterion.labels))


def least_likely(logits: F32, labels: Labels) -> Labels:
    """(n,) the class of the smallest of logits (n, k) that is not the label; the first of equal ones."""
    others = logits.astype(np.float64)
    others[np.arange(len(labels)), labels] = np.inf
    others[np.isnan(others)] = np.inf
    return np.asarray(others.argmin(axis=1), np.int64)
