"""GradAlign: a second-order penalty on gradients that turn within the ball."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.checks import non_negative, positive
from armour.defenses.evidence import DEFENSES, Evidence
from armour.regions import F32
from armour.tensor import Tensor, cross_entropy, grad

from .base import Batch, Forward, Network, TrainingObjective, away, finite

_TINY = 1e-12


@DEFENSES.register("gradalign")
@dataclass(frozen=True, slots=True, kw_only=True)
class GradAlign(TrainingObjective):
    """FGSM training with a penalty of weight (1 - cos) for input gradients that differ within the ball.

    The two gradients are those at the input and at a uniform point of the ball; the penalty is differentiated
    through both, so a step costs a second backward pass. Samples without a gradient have no penalty.

    weight: lambda of the paper; larger for larger epsilon. step_size: of the step from the input itself, in
    epsilons.
    Andriushchenko and Flammarion, 2020, https://arxiv.org/abs/2007.02617.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "partial",
        "de Jorge et al., 2022, https://arxiv.org/abs/2202.01181",
        "avoids the collapse of one-step training at a multiple of its cost; below PGD training",
    )
    draws: ClassVar[bool] = False
    moves: ClassVar[bool] = False

    weight: float = 0.2
    step_size: float = 1.0

    def __post_init__(self) -> None:
        non_negative("weight", self.weight)
        positive("step_size", self.step_size)

    def craft(self, network: Network, batch: Batch) -> F32:
        """As TrainingObjective.craft."""
        region = batch.region(network.model)
        _, gradient, _ = network.model.gradient(batch.x, away(batch))
        return region.step(batch.x, finite(gradient), self.step_size)

    def inputs(self, batch: Batch, adv: F32) -> tuple[np.ndarray, ...]:
        """Perturbed inputs, labels, the inputs themselves, and points of the ball, bounds aside."""
        delta = batch.distance.start(batch.rng, batch.x[0].size, np.full(len(adv), batch.epsilon))
        near = batch.x + delta.astype(np.float32).reshape(batch.x.shape)
        return adv, batch.y, batch.x, near

    def loss(self, forward: Forward, *arrays: Tensor) -> Tensor:
        """As TrainingObjective.loss."""
        adv, y, x, near = arrays

        def slope(at: Tensor) -> Tensor:
            found: Tensor = grad(lambda z: cross_entropy(forward(z), y).sum(), create_graph=True)(at)
            return found.reshape((found.shape[0], -1))

        a, b = slope(x), slope(near)
        lengths = ((a * a).sum(axis=1) * (b * b).sum(axis=1) + _TINY**2).sqrt()
        cosine = (a * b).sum(axis=1) / lengths
        return cross_entropy(forward(adv), y) + (1.0 - cosine) * self.weight
