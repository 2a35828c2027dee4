"""PGD adversarial training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from armour.checks import count, positive
from armour.defenses.evidence import DEFENSES, Evidence
from armour.regions import F32

from .base import Batch, Network, TrainingObjective, worst


@DEFENSES.register("pgd")
@dataclass(frozen=True, slots=True, kw_only=True)
class PGDTraining(TrainingObjective):
    """Cross-entropy at the worst inputs that projected gradient descent finds (PGD-AT).

    From a random point of the ball, every sample takes all steps.

    steps: gradients for each batch. step_size: length of a step, as a fraction of epsilon.
    Madry et al., 2018, https://arxiv.org/abs/1706.06083.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "stood-up",
        "Athalye et al., 2018, https://arxiv.org/abs/1802.00420",
        "the one of nine defenses that attacks made for it did not get below its claim (CIFAR-10, 47 %)",
    )

    steps: int = 10
    step_size: float = 0.25

    def __post_init__(self) -> None:
        count("steps", self.steps)
        positive("step_size", self.step_size)

    def craft(self, network: Network, batch: Batch) -> F32:
        """As TrainingObjective.craft."""
        return worst(network, batch, steps=self.steps, step_size=self.step_size)
