"""overconfident-wrong: a wrong label that the model is sure of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour import checks

from .base import Oracle, Seen, Severity, register


@register("overconfident-wrong")
@dataclass(frozen=True, slots=True, kw_only=True)
class OverconfidentWrong(Oracle):
    """A wrong label with a softmax probability above `above`: makes the failure a severe one."""

    severity: ClassVar[Severity] = "high"
    raises: ClassVar[bool] = True

    above: float = 0.95

    def __post_init__(self) -> None:
        checks.fraction("above", self.above)

    def judge(self, seen: Seen) -> np.ndarray:
        outcome = seen.outcome
        wrong = (outcome.predicted >= 0) & (outcome.predicted != seen.labels)
        return np.asarray(wrong & (outcome.confidence() > self.above))
