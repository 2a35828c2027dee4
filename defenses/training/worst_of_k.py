"""Worst of k natural transforms: training on the rotation and translation with the largest loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour import geometry
from armour.checks import count, fraction, non_negative
from armour.defenses.evidence import DEFENSES, Evidence
from armour.errors import InvalidArgument
from armour.regions import F32

from .base import Batch, Network, TrainingObjective, away


@DEFENSES.register("worst-of-k")
@dataclass(frozen=True, slots=True, kw_only=True)
class WorstOfK(TrainingObjective):
    """Cross-entropy at the worst of `draws_each` random rotations and translations of each image.

    Epsilon limits what the watch's attacks may do; the transforms have limits of their own.

    draws_each: k of the paper. degrees: largest rotation either way. shift: largest translation, as a
    share of the side.
    Engstrom et al., 2019, https://arxiv.org/abs/1712.02779.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "partial",
        "Engstrom et al., 2019, https://arxiv.org/abs/1712.02779",
        "against rotations and translations, not Lp perturbations; a full grid still finds more",
    )
    moves: ClassVar[bool] = False

    draws_each: int = 10
    degrees: float = 30.0
    shift: float = 0.1

    def __post_init__(self) -> None:
        count("draws_each", self.draws_each)
        non_negative("degrees", self.degrees)
        fraction("shift", self.shift)

    @property
    def reach(self) -> float:
        """As TrainingObjective.reach: no number of epsilons."""
        return math.inf

    def craft(self, network: Network, batch: Batch) -> F32:
        """As TrainingObjective.craft."""
        x = batch.x
        if x.ndim != 4:
            raise InvalidArgument(f"expected images (n, c, h, w) to rotate, got {x.shape}; use pgd or trades")
        objective, bounds = away(batch), network.model.bounds
        one = np.ones(len(x), np.float32)
        best, worst = x, np.full(len(x), -np.inf, np.float32)
        for _ in range(self.draws_each):
            angle, right, down = batch.rng.uniform((3,), -1.0, 1.0).T.astype(np.float32)
            matrix = geometry.similarity_matrix(angle * np.float32(self.degrees), one, one, 0 * one)
            moved = geometry.affine_about(
                x,
                matrix,
                right * np.float32(self.shift * x.shape[3]),
                down * np.float32(self.shift * x.shape[2]),
                bounds,
            )
            moved = np.clip(moved, np.float32(bounds.low), np.float32(bounds.high))
            value = objective.values(network.model.logits(moved))
            better = value > worst
            best = np.where(better[:, None, None, None], moved, best)
            worst = np.where(better, value, worst)
        return best
