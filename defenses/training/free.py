"""Free adversarial training: one backward pass for weights and inputs, each batch several times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.checks import count
from armour.defenses.evidence import DEFENSES, Evidence
from armour.errors import CheckpointError
from armour.regions import F32
from armour.tensor.module_plans import Gradients

from .base import Batch, Network, TrainingObjective, finite

_MOST = 1 << 16  # inputs of a batch that a state may hold perturbations for


@DEFENSES.register("free")
@dataclass(frozen=True, slots=True, kw_only=True)
class Free(TrainingObjective):
    """Each batch is trained on `replays` times; the backward pass of each also moves the perturbation.

    The perturbation is carried from batch to batch, by place. An epoch has `replays` updates for each batch,
    so as many fewer epochs are needed.

    replays: m of the paper.
    Shafahi et al., 2019, https://arxiv.org/abs/1904.12843.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "partial",
        "Andriushchenko and Flammarion, 2020, https://arxiv.org/abs/2007.02617",
        "below PGD training, and overfits catastrophically at large epsilon",
    )
    by_input: ClassVar[bool] = True
    draws: ClassVar[bool] = False
    moves: ClassVar[bool] = False

    replays: int = 8

    def __post_init__(self) -> None:
        count("replays", self.replays)

    def craft(self, network: Network, batch: Batch) -> F32:
        """The inputs with the perturbation that the last batch left."""
        kept = network.memory.get("delta")
        adv = batch.x.copy()
        if kept is not None:
            n = min(len(kept), len(adv))
            adv[:n] += kept[:n]
        return batch.region(network.model).project(adv)

    def updates(self, network: Network, batch: Batch) -> Iterator[Gradients]:
        """As TrainingObjective.updates: `replays` of them."""
        region = batch.region(network.model)
        adv = self.craft(network, batch)
        for _ in range(self.replays):
            found = network.gradients(batch.mixed(adv), batch.y)
            assert found.input is not None
            adv = region.step(adv, finite(np.array(found.input)), 1.0)
            yield found
        delta = adv - batch.x
        kept = network.memory.get("delta")
        if kept is None or len(kept) <= len(delta):
            network.memory["delta"] = delta
        else:
            kept[: len(delta)] = delta

    def check_memory(self, memory: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> None:
        """As TrainingObjective.check_memory."""
        delta = memory.get("delta")
        fits = set(memory) <= {"delta"} and (
            delta is None
            or (delta.shape[1:] == shape and 0 < len(delta) <= _MOST and delta.dtype == np.float32)
        )
        if not fits or (delta is not None and not np.isfinite(delta).all()):
            raise CheckpointError("the perturbation of the defense has another shape or kind")
