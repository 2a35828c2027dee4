"""Jitter: projected ascent on a loss that keeps its slope on sure answers, with noise on the answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from armour.checks import count, non_negative, positive
from armour.contract import Model
from armour.criteria import Criterion, Loss
from armour.distances import Norm
from armour.regions import F32
from armour.rng import Streams
from armour.tensor import losses
from armour.tensor.core import Tensor

from .base import ATTACKS, FixedBudgetAttack
from .gradient import Rows, ascend


@ATTACKS.register("jitter")
@dataclass(frozen=True, slots=True, kw_only=True)
class Jitter(FixedBudgetAttack):
    """Jitter: PGD that pushes the scaled answer away from the label in all classes, with noise.

    The objective is the distance of softmax(scale * logits / |logits|_inf), with normal noise added to it,
    from the label's one-hot vector: it does not flatten where the model is very sure, and the noise, drawn
    for each input and step, keeps the search from going to and fro between few classes. A sample is left
    alone once it is broken, so that the paper's division by the length of the perturbation, which it does
    for broken samples alone, has nothing to do here. Towards a target, which the paper does not speak of, it
    goes along the logarithm of the target's share of the scaled answer, without noise: the distance has no
    slope where that share is nearly 0. Needs gradients.

    steps, step_size: as for PGD. scale: what the logits are multiplied by, above 0. noise: standard deviation
    of the noise, at or above 0.
    Raises UnsupportedError if the model is a black box.
    Schwinn et al., 2021, https://arxiv.org/abs/2105.10304.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    steps: int = 40
    step_size: float = 0.2
    scale: float = 10.0
    noise: float = 0.1

    def __post_init__(self) -> None:
        FixedBudgetAttack.__post_init__(self)
        count("steps", self.steps)
        positive("step_size", self.step_size)
        positive("scale", self.scale)
        non_negative("noise", self.noise)

    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        """As FixedBudgetAttack.run."""
        region = self.region(model, x, epsilon)

        def noise(rows: Rows, step: int) -> tuple[F32]:
            drawn = rng[rows].child(step + 1).normal((model.num_classes,))
            drawn *= drawn.dtype.type(self.noise)
            return (drawn,)

        start = region.start(rng.child(0))
        adv, _, _ = ascend(
            model,
            region,
            criterion,
            start,
            loss=_loss(float(self.scale), criterion.direction < 0),
            steps=self.steps,
            step_size=self.step_size,
            data=noise,
        )
        return adv


@lru_cache(maxsize=16)
def _loss(scale: float, targeted: bool) -> Loss:
    """One function for each scale: models keep plans by function."""

    def jitter(logits: Tensor, labels: Any, noise: Any) -> Tensor:
        return losses.jitter(logits, labels, noise, scale)

    def towards(logits: Tensor, labels: Any, noise: Any) -> Tensor:
        return losses.cross_entropy(losses.levelled(logits, scale), labels)

    return towards if targeted else jitter
