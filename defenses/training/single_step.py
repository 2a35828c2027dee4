"""Adversarial training by one step from noise: FGSM-RS and N-FGSM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from armour.checks import non_negative, positive
from armour.defenses.evidence import DEFENSES, Evidence
from armour.regions import F32

from .base import Batch, Network, TrainingObjective, away, finite


@DEFENSES.register("fgsm-rs")
@dataclass(frozen=True, slots=True, kw_only=True)
class FGSMRS(TrainingObjective):
    """Cross-entropy after one long step from a random point of the ball, inside it (FGSM-RS, Fast-AT).

    Cheap, and it collapses where epsilon is large: robust accuracy falls to nothing within an epoch while
    one-step attacks find less and less (catastrophic overfitting). Heed the warning.

    step_size: length of the step, as a fraction of epsilon.
    Wong et al., 2020, https://arxiv.org/abs/2001.03994.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "partial",
        "Andriushchenko and Flammarion, 2020, https://arxiv.org/abs/2007.02617",
        "collapses at large epsilon (catastrophic overfitting); holds below",
    )

    step_size: float = 1.25

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)

    def craft(self, network: Network, batch: Batch) -> F32:
        """As TrainingObjective.craft."""
        region = batch.region(network.model)
        start = region.start(batch.rng)
        _, gradient, _ = network.model.gradient(start, away(batch))
        return region.step(start, finite(gradient), self.step_size)


@DEFENSES.register("n-fgsm")
@dataclass(frozen=True, slots=True, kw_only=True)
class NFGSM(TrainingObjective):
    """Cross-entropy after one step from strong noise around the input, not kept to the ball (N-FGSM).

    Inputs are moved by up to noise + step_size epsilons, inside the bounds.

    noise: radius of the ball that the noise is uniform in, in epsilons. step_size: length of the step,
    likewise.
    de Jorge et al., 2022, https://arxiv.org/abs/2202.01181.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "partial",
        "de Jorge et al., 2022, https://arxiv.org/abs/2202.01181",
        "collapses later than FGSM-RS; below PGD training at the same epsilon",
    )

    noise: float = 2.0
    step_size: float = 1.0

    def __post_init__(self) -> None:
        non_negative("noise", self.noise)
        positive("step_size", self.step_size)

    @property
    def reach(self) -> float:
        """As TrainingObjective.reach."""
        return self.noise + self.step_size

    def craft(self, network: Network, batch: Batch) -> F32:
        """As TrainingObjective.craft."""
        start = batch.x
        if self.noise:
            start = batch.region(network.model, self.noise).start(batch.rng)
        _, gradient, _ = network.model.gradient(start, away(batch))
        region = batch.region(network.model, self.reach)
        return region.step(start, finite(gradient), self.step_size / self.reach)
