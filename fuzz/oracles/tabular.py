"""invariance and monotonicity: what a column of a row of features may do to the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour import checks
from armour.errors import InvalidArgument, UnsupportedError

from .base import Judge, Oracle, Place, Seen, Verdict, blamed, register
from .relations import EXPECTATIONS, probability

_MOST = 8  # other values of a column that are tried


@register("invariance")
@dataclass(frozen=True, slots=True, kw_only=True)
class Invariance(Oracle):
    """Another value in `column` changes the label: a protected attribute matters.

    values: those to try, with / between; by default those of the seeds if they are 8 or fewer, otherwise the
    least and the largest.
    """

    asks: ClassVar[bool] = True

    column: int
    values: str = ""

    def __post_init__(self) -> None:
        checks.count("column", self.column, 0)
        _numbers(self.values)

    @property
    def key(self) -> str:
        return f"{self.name}-{self.column}"

    def bind(self, place: Place) -> Judge:
        """Fixes the values to try; UnsupportedError for inputs that are no rows of features."""
        own = _column(self, self.column, place)
        seen_values = np.unique(own)
        stated = _numbers(self.values)
        values = stated or (seen_values if len(seen_values) <= _MOST else seen_values[[0, -1]]).tolist()
        same = EXPECTATIONS.get("same-label").broken

        def judge(seen: Seen) -> Verdict:
            hit, label = np.zeros(len(seen), bool), seen.outcome.predicted.copy()
            for value in values:
                rows = np.flatnonzero(
                    ~hit & (seen.outcome.predicted >= 0) & (seen.x[:, self.column] != np.float32(value))
                )
                if not len(rows):
                    continue
                part, x = seen[rows], seen.x[rows].copy()
                x[:, self.column] = np.clip(value, place.bounds.low, place.bounds.high)
                after = seen.run(x)
                broken = same(part.outcome, after, part.labels)
                hit[rows] = broken
                label[rows[broken]] = blamed(part.labels, part.outcome.predicted, after.predicted)[broken]
            return Verdict(hit, label)

        return judge


@register("monotonicity")
@dataclass(frozen=True, slots=True, kw_only=True)
class Monotonicity(Oracle):
    """The probability of `label` falls by more than `tolerance` when `column` rises.

    By `step` of the seeds' range of that column. label: -1 for the last class. falling: the probability must
    fall where the column rises, instead of rise.
    """

    asks: ClassVar[bool] = True

    column: int
    label: int = -1
    step: float = 0.1
    falling: bool = False
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        checks.count("column", self.column, 0)
        checks.count("label", self.label, -1)
        checks.positive("step", self.step)
        checks.positive("tolerance", self.tolerance)

    @property
    def key(self) -> str:
        return f"{self.name}-{self.column}"

    def bind(self, place: Place) -> Judge:
        """Fixes the step; UnsupportedError for inputs that are no rows of features."""
        own = _column(self, self.column, place)
        rise = np.float32(self.step * max(float(own.max() - own.min()), 1e-6))
        classes = place.roots.gaps.shape[1]
        label = classes - 1 if self.label < 0 else self.label
        if label >= classes:
            raise InvalidArgument(f"monotonicity: expected a label in 0..{classes - 1}, got {label}")

        def judge(seen: Seen) -> Verdict:
            x = seen.x.copy()
            x[:, self.column] = np.minimum(x[:, self.column] + rise, np.float32(place.bounds.high))
            rows = np.flatnonzero((x != seen.x).any(axis=1) & (seen.outcome.predicted >= 0))
            hit, filed = np.zeros(len(seen), bool), seen.outcome.predicted.copy()
            if len(rows):
                part, after = seen[rows], seen.run(x[rows])
                risen = probability(after, part.labels, label) - probability(part.outcome, part.labels, label)
                hit[rows] = ~(risen <= self.tolerance) if self.falling else ~(risen >= -self.tolerance)
                filed[rows] = blamed(part.labels, part.outcome.predicted, after.predicted)
            return Verdict(hit, filed)

        return judge


def _column(oracle: Oracle, column: int, place: Place) -> np.ndarray:
    x = place.roots.x
    if x.ndim != 2:
        raise UnsupportedError(
            f"{oracle.name}: expected rows of features (n, columns), got inputs {x.shape[1:]}; use a "
            "relation of --relations instead"
        )
    if column >= x.shape[1]:
        raise InvalidArgument(f"{oracle.name}: expected a column in 0..{x.shape[1] - 1}, got {column}")
    return np.asarray(x[:, column])


def _numbers(text: str) -> list[float]:
    try:
        values = [float(part) for part in text.split("/") if part]
    except ValueError:
        values = [np.nan]
    if not np.isfinite(values).all():
        raise InvalidArgument(f"invariance: expected values such as 0/1, got {text[:40]!r}")
    return values
