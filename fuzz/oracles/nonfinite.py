"""nonfinite: NaN or infinity somewhere in the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Oracle, Seen, Severity, register


@register("nonfinite")
@dataclass(frozen=True, slots=True, kw_only=True)
class NonFinite(Oracle):
    """NaN or infinity in the logits or any tapped layer, whatever the input was."""

    severity: ClassVar[Severity] = "high"
    needs_validity: ClassVar[bool] = False
    reads_layers: ClassVar[bool] = True

    def judge(self, seen: Seen) -> np.ndarray:
        return np.asarray(~seen.outcome.finite & (seen.outcome.trouble == ""))
