"""MART: inputs that are answered wrongly weigh more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.checks import count, non_negative, positive
from armour.defenses.evidence import DEFENSES, Evidence
from armour.regions import F32
from armour.tensor import Tensor, argsort, cross_entropy, exp, kl, logsumexp, one_hot, where

from .base import Batch, Forward, Network, TrainingObjective, worst


@DEFENSES.register("mart")
@dataclass(frozen=True, slots=True, kw_only=True)
class MART(TrainingObjective):
    """BCE(p(x'), y) + weight KL(p(x) || p(x')) (1 - p_y(x)), at the inputs x' of PGD.

    BCE = -log p_y(x') - log(1 - largest other p_k(x')). Part of what it gains against PGD is masked
    gradients, which stronger attacks find.

    weight: of the divergence. steps, step_size: as for PGDTraining.
    Wang et al., 2020, https://openreview.net/forum?id=rklOg6EFwS.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "stood-up",
        "Croce and Hein, 2020, https://github.com/fra31/auto-attack",
        "AutoAttack left 56.3 % of the claimed 65.0 % (CIFAR-10): weak attacks overstate it",
    )

    weight: float = 5.0
    steps: int = 10
    step_size: float = 0.25

    def __post_init__(self) -> None:
        non_negative("weight", self.weight)
        count("steps", self.steps)
        positive("step_size", self.step_size)

    def craft(self, network: Network, batch: Batch) -> F32:
        """As TrainingObjective.craft."""
        return worst(network, batch, steps=self.steps, step_size=self.step_size)

    def inputs(self, batch: Batch, adv: F32) -> tuple[np.ndarray, ...]:
        """Perturbed inputs, labels, and the inputs themselves."""
        return adv, batch.y, batch.x

    def loss(self, forward: Forward, *arrays: Tensor) -> Tensor:
        """As TrainingObjective.loss."""
        adv, y, x = arrays
        z, clean = forward(adv), forward(x)
        label = one_hot(y, z.shape[1], "bool")
        top = argsort(where(label, float("-inf"), z))[:, -1:].reshape((-1,))
        # log(1 - p_k), without the rounding of 1 - p_k: all the classes but k over all.
        rest = logsumexp(where(one_hot(top, z.shape[1], "bool"), float("-inf"), z), axis=1)
        boosted = cross_entropy(z, y) + logsumexp(z, axis=1) - rest
        return boosted + kl(z, clean) * (1.0 - exp(-cross_entropy(clean, y))) * self.weight
