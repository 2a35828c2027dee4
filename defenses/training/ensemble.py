"""Ensemble adversarial training: perturbations from other models that do not change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from armour.checks import count, describe, positive
from armour.contract import Model
from armour.defenses.evidence import DEFENSES, Evidence
from armour.errors import InvalidArgument
from armour.regions import F32

from .base import Batch, Network, TrainingObjective, worst


@DEFENSES.register("ensemble")
@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble(TrainingObjective):
    """Cross-entropy at inputs that were made to mislead one of several models, drawn for each batch.

    The network itself is one of them; the others are static, so that it cannot learn to mask their gradients.

    models: the others, with gradients; empty is PGD training. steps, step_size: as for PGDTraining; one step
    of 1 is the paper's.
    Tramer et al., 2018, https://arxiv.org/abs/1705.07204.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "partial",
        "Tramer et al., 2018, https://arxiv.org/abs/1705.07204",
        "against attacks that were made for other models; white-box attacks pass",
    )
    usual_share: ClassVar[float] = 0.5

    models: tuple[Model, ...] = ()
    steps: int = 1
    step_size: float = 1.0

    def __post_init__(self) -> None:
        models = tuple(self.models) if isinstance(self.models, (list, tuple)) else (self.models,)
        for model in models:
            if not isinstance(model, Model) or not model.can_grad:
                raise InvalidArgument(
                    f"expected models with gradients, got {describe('model', model)}; use armour.load"
                )
        object.__setattr__(self, "models", models)
        count("steps", self.steps)
        positive("step_size", self.step_size)

    def craft(self, network: Network, batch: Batch) -> F32:
        """As TrainingObjective.craft."""
        chosen = int(batch.rng[:1].integers(len(self.models) + 1)[0])
        model = network.model if chosen == len(self.models) else self.models[chosen]
        return worst(network, batch, steps=self.steps, step_size=self.step_size, model=model)
