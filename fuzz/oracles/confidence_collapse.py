"""confidence-collapse: the label is still right, but the model is no longer sure of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour import checks
from armour.fuzz.execution import UNIT

from .base import Oracle, Seen, Severity, register


@register("confidence-collapse")
@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceCollapse(Oracle):
    """Still read correctly, with a probability more than `drop` below the root's."""

    severity: ClassVar[Severity] = "info"

    drop: float = 0.5

    def __post_init__(self) -> None:
        checks.fraction("drop", self.drop)

    def judge(self, seen: Seen) -> np.ndarray:
        right = seen.outcome.predicted == seen.labels
        return np.asarray(right & (_probability(seen.origin_gaps) - seen.outcome.confidence() > self.drop))


def _probability(gaps: np.ndarray) -> np.ndarray:
    """(n,) float64: softmax probability of the label that the gaps (n, k) are those of."""
    return np.asarray(1 / np.exp(-UNIT * gaps.astype(np.float64)).sum(axis=1))
