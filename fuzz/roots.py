"""The seeds a campaign starts from: those the model reads correctly."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from armour.errors import NothingEvaluated

from .execution import Executor, Outcome
from .slopes import Slopes


@dataclass(frozen=True, slots=True)
class Roots:
    """R correctly classified seeds.

    x: (R, *shape) float32. labels: (R,) int64. source: (R,) int64, each one's index in the data given.
    gaps: (R, k) int64, logit of the true class less each other's, in units of 1e-4. slopes: of the model at
    the seeds, where mutators ask for them. group: (R,) int64 in a corpus that was merged from several of
    other seeds: a seed is mixed with those of its own group alone, as it was there; None for one group.
    """

    x: np.ndarray
    labels: np.ndarray
    source: np.ndarray
    gaps: np.ndarray
    slopes: Slopes | None = None
    group: np.ndarray | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def pools(self) -> np.ndarray:
        """(R,) int64: seeds of the same label and group have the same number."""
        return self.labels if self.group is None else self.labels + self.group * (int(self.labels.max()) + 1)

    @property
    def label_only(self) -> bool:
        """Every gap is the same: the model gives labels and no scores, so margins say nothing."""
        others = self.gaps[self.gaps != 0]
        return len(others) > 1 and bool((others == others[0]).all())

    @property
    def spread(self) -> float:
        """Standard deviation of the clean margins (gap to the nearest other class), in units of 1e-4, at
        least 1.
        """
        others = np.where(self.gaps == 0, np.iinfo(np.int64).max, self.gaps)
        return max(1.0, float(np.std(others.min(axis=1).astype(np.float64))))


def select(executor: Executor, x: np.ndarray, y: np.ndarray) -> tuple[Roots, Outcome]:
    """The seeds of x (n, *shape) that are given their label y (n,), and what the model did with those.

    A seed must be read correctly by at least 1e-4 in the logits, without NaN or infinity in any layer.
    NothingEvaluated if there is none.
    """
    outcome = executor.run(x)
    gaps = outcome.gaps(y)
    rows = np.arange(len(y))
    others = gaps.copy()
    others[rows, y] = np.iinfo(np.int64).max
    margin = others.min(axis=1, initial=np.iinfo(np.int64).max)
    good = outcome.finite & (outcome.predicted == y) & (margin >= 1)
    if not good.any():
        raise NothingEvaluated(
            f"expected at least one seed that the model reads correctly, got 0 of {len(y)}; check that "
            "labels, bounds and preprocessing are those the model was trained with"
        )
    kept = np.flatnonzero(good)
    roots = Roots(np.ascontiguousarray(x[kept]), y[kept], kept, gaps[kept])
    return roots, outcome[kept]


def digest(*arrays: np.ndarray) -> str:
    """Hex sha256 of arrays with their shapes and dtypes."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.str}{array.shape}|".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()
