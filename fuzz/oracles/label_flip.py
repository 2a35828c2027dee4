"""label-flip: the model gives a mutant another label than its root's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Oracle, Seen, register


@register("label-flip")
@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFlip(Oracle):
    """Another label than the root's, by at least 1e-4 in the logits, so that rounding cannot undo it."""

    general: ClassVar[bool] = True

    def judge(self, seen: Seen) -> np.ndarray:
        outcome, labels = seen.outcome, seen.labels
        below = outcome.gaps(labels)[np.arange(len(labels)), outcome.predicted] <= -1
        return np.asarray(below & (outcome.predicted >= 0) & (outcome.predicted != labels))
