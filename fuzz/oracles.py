"""Oracles: when is what a model did with a mutant a failure?

Each is one row: a name, how severe a hit is, whether the mutant must be valid for it to count, and a function
of a whole batch. A failing input that several hit is a failure of the most severe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from armour.registry import Registry

from .execution import Outcome

# outcome of n mutants, their roots' labels (n,) int64 -> hit (n,) bool.
Judge = Callable[[Outcome, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """A named judgement. needs_validity: a hit counts only at or above the required validity level."""

    name: str
    severity: Literal["info", "medium", "high"]
    needs_validity: bool
    judge: Judge


ORACLES: Registry[Oracle] = Registry("oracle")
_ORDER = ("high", "medium", "info")


def in_order() -> list[Oracle]:
    """All oracles, the most severe first: the first that hits names a failure."""
    return sorted((row for _, row in ORACLES.items()), key=lambda row: _ORDER.index(row.severity))


def oracle(
    name: str, *, severity: Literal["info", "medium", "high"], needs_validity: bool = True
) -> Callable[[Judge], Judge]:
    """Decorator: register the function as an oracle."""

    def add(judge: Judge) -> Judge:
        ORACLES.register(name)(
            Oracle(name=name, severity=severity, needs_validity=needs_validity, judge=judge)
        )
        return judge

    return add


@oracle("nonfinite", severity="high", needs_validity=False)
def nonfinite(outcome: Outcome, labels: np.ndarray) -> np.ndarray:
    """NaN or infinity in the logits or any tapped layer, whatever the input was."""
    return ~outcome.finite


@oracle("label-flip", severity="medium")
def label_flip(outcome: Outcome, labels: np.ndarray) -> np.ndarray:
    """Another label than the root's, by at least 1e-4 in the logits, so that rounding cannot undo it."""
    below = outcome.gaps(labels)[np.arange(len(labels)), outcome.predicted] <= -1
    return np.asarray(below & (outcome.predicted >= 0) & (outcome.predicted != labels))
