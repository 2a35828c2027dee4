"""Half clean and half perturbed batches, as MindArmour has them: natural (NAD) and projected (PAD)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from armour.checks import one_of
from armour.defenses.evidence import DEFENSES, Evidence
from armour.regions import F32

from .base import Batch, Network, TrainingObjective, away, finite
from .pgd import PGDTraining


@DEFENSES.register("natural-noise")
@dataclass(frozen=True, slots=True, kw_only=True)
class NaturalNoise(TrainingObjective):
    """Half of each batch is moved by one FGSM step from the input itself, or by noise.

    With "fgsm" it is MindArmour's NaturalAdversarialDefense; it overfits catastrophically at large epsilon,
    as one-step training does.

    kind: "fgsm"; "uniform" in the ball; "gaussian" with deviation epsilon / 2, brought back to the ball.
    Kurakin et al., 2017, https://arxiv.org/abs/1611.01236.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "weak",
        "Tramer et al., 2018, https://arxiv.org/abs/1705.07204",
        "one-step training masks gradients: attacks of two steps or from another model pass",
    )
    usual_share: ClassVar[float] = 0.5
    draws: ClassVar[bool] = False
    moves: ClassVar[bool] = False

    kind: Literal["fgsm", "uniform", "gaussian"] = "fgsm"

    def __post_init__(self) -> None:
        one_of("kind", self.kind, ("fgsm", "uniform", "gaussian"))

    def craft(self, network: Network, batch: Batch) -> F32:
        """As TrainingObjective.craft."""
        region = batch.region(network.model)
        if self.kind == "uniform":
            return region.start(batch.rng)
        if self.kind == "gaussian":
            noise = batch.rng.normal(batch.x.shape[1:]) * np.float32(batch.epsilon / 2)
            return region.project(batch.x + noise.astype(np.float32))
        _, gradient, _ = network.model.gradient(batch.x, away(batch))
        return region.step(batch.x, finite(gradient), 1.0)


@DEFENSES.register("pad")
@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectedTraining(PGDTraining):
    """Half of each batch is moved by a few projected steps; the rest is trained on as it is (PAD).

    MindArmour's ProjectedAdversarialDefense, with its five steps of a third of epsilon; PGD training with
    share 0.5.

    steps, step_size: as for PGDTraining.
    Madry et al., 2018, https://arxiv.org/abs/1706.06083.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "partial",
        "Athalye et al., 2018, https://arxiv.org/abs/1802.00420",
        "PGD training on half of each batch: what stood up was on all of it",
    )
    usual_share: ClassVar[float] = 0.5

    steps: int = 5
    step_size: float = 1 / 3
