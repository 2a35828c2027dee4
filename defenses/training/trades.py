"""TRADES: accuracy on the inputs themselves, traded against how little answers change in the ball."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.checks import count, non_negative, positive
from armour.defenses.evidence import DEFENSES, Evidence
from armour.distances import linf
from armour.regions import F32
from armour.tensor import Tensor, cross_entropy, kl

from .base import Batch, Forward, Network, TrainingObjective, apart, climb

# Half the width of the noise that a search starts from, as a share of epsilon: at the input itself the
# divergence has no slope.
_START = 0.01


@DEFENSES.register("trades")
@dataclass(frozen=True, slots=True, kw_only=True)
class TRADES(TrainingObjective):
    """CE(f(x), y) + beta KL(p(x) || p(x')), with x' where the divergence is largest.

    beta: weight of the divergence; more of it is more robust and less accurate. steps, step_size: as for
    PGDTraining, up the divergence.
    Zhang et al., 2019, https://arxiv.org/abs/1901.08573.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "stood-up",
        "Croce and Hein, 2020, https://arxiv.org/abs/2003.01690",
        "AutoAttack left 53.1 % of the claimed 56.4 % (CIFAR-10)",
    )

    beta: float = 6.0
    steps: int = 10
    step_size: float = 0.25

    def __post_init__(self) -> None:
        non_negative("beta", self.beta)
        count("steps", self.steps)
        positive("step_size", self.step_size)

    def craft(self, network: Network, batch: Batch) -> F32:
        """As TrainingObjective.craft."""
        region = batch.region(network.model)
        noise = batch.rng.uniform(batch.x.shape[1:], -_START, _START)
        start = (
            region.project(batch.x + np.float32(batch.epsilon) * noise)
            if region.distance is linf
            else (region.step(batch.x, noise, _START))
        )
        return climb(
            network.model,
            region,
            start,
            apart(network.model, batch),
            steps=self.steps,
            step_size=self.step_size,
        )

    def inputs(self, batch: Batch, adv: F32) -> tuple[np.ndarray, ...]:
        """Perturbed inputs, labels, and the inputs themselves."""
        return adv, batch.y, batch.x

    def loss(self, forward: Forward, *arrays: Tensor) -> Tensor:
        """As TrainingObjective.loss."""
        adv, y, x = arrays
        clean = forward(x)
        return cross_entropy(clean, y) + kl(forward(adv), clean) * self.beta
