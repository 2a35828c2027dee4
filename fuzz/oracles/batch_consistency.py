"""batch-consistency: what a model says of an input must not depend on what else is in the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour import checks
from armour.errors import UnsupportedError

from .base import Judge, Oracle, Place, Seen, Severity, register


@register("batch-consistency")
@dataclass(frozen=True, slots=True, kw_only=True)
class BatchConsistency(Oracle):
    """Beside the darkest root other logits than beside the brightest, by more than `tolerance` of their size.

    every: of so many executions one is judged; it costs four rows.
    """

    severity: ClassVar[Severity] = "high"
    asks: ClassVar[bool] = True

    tolerance: float = 1e-4
    every: int = 512

    def __post_init__(self) -> None:
        checks.positive("tolerance", self.tolerance)
        checks.count("every", self.every)

    def bind(self, place: Place) -> Judge:
        """Judges by pairs with two fixed mates; UnsupportedError for a model of one sample at a time."""
        if place.model.batch_size == 1:
            raise UnsupportedError(
                f"batch-consistency: {place.model.name} is asked for one sample at a time, so it has no "
                "batches; leave the oracle out"
            )
        roots = place.roots.x
        level = roots.reshape(len(roots), -1).mean(axis=1, dtype=np.float64)
        mates = [roots[level.argmin()], roots[level.argmax()]]

        def judge(seen: Seen) -> np.ndarray:
            hit = np.zeros(len(seen), bool)
            for i in range(len(seen)):
                pairs = (np.stack([seen.x[i], mate]) for mate in mates)
                first, second = (seen.run(pair, pad=False).logits[0] for pair in pairs)
                hit[i] = self._differ(first, second)
            return hit

        return judge

    def _differ(self, first: np.ndarray, second: np.ndarray) -> bool:
        if not (np.isfinite(first).all() and np.isfinite(second).all()):
            return bool(np.isfinite(first).all() != np.isfinite(second).all())
        scale = max(1.0, float(np.abs(first).max()))
        return bool(np.abs(first.astype(np.float64) - second).max() > self.tolerance * scale)
