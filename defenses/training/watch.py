"""What is looked at after each epoch of adversarial training: robust accuracy, and signs of collapse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from armour import attacks
from armour.contract import Model
from armour.distances import Norm

# A rise or a fall of the one-step accuracy by less than this share is none.
STEADY = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Accuracies after one epoch: on all validation samples, and on the watched ones under FGSM and PGD."""

    clean: float
    fgsm: float
    robust: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Collapse:
    """Catastrophic overfitting: in `epoch` (from 1) accuracy under PGD is less than half of what it was in
    `since`, while that under the one-step attack has not fallen."""

    epoch: int
    since: int
    robust: tuple[float, float]
    fgsm: tuple[float, float]

    def __str__(self) -> str:
        (robust, now), (fgsm, fgsm_now) = self.robust, self.fgsm
        return (
            f"catastrophic overfitting in epoch {self.epoch}: accuracy under PGD fell from {robust:.1%} to "
            f"{now:.1%} since epoch {self.since}, while under FGSM it went from {fgsm:.1%} to {fgsm_now:.1%}"
        )


def collapse(history: Sequence[Watched]) -> Collapse | None:
    """The first collapse in the history of a run, from the best epoch before it; None without one."""
    best = 0
    for i, now in enumerate(history):
        before = history[best]
        if now.robust >= before.robust:
            best = i
        elif now.robust < before.robust / 2 and now.fgsm > before.fgsm - STEADY:
            return Collapse(
                epoch=i + 1,
                since=best + 1,
                robust=(before.robust, now.robust),
                fgsm=(before.fgsm, now.fgsm),
            )
    return None


@dataclass(frozen=True, slots=True)
class Watch:
    """A short PGD and FGSM on fixed samples x (n, ...), y (n,), from the same points each time.

    root: of the random points.
    """

    x: np.ndarray
    y: np.ndarray
    norm: Norm
    epsilon: float
    steps: int
    root: int

    def look(self, model: Model, clean: float) -> Watched:
        """The accuracies of the model as it is; clean: that on all validation samples."""
        pgd = attacks.PGD(norm=self.norm, steps=self.steps, step_size=2.5 / self.steps)
        rng = np.random.default_rng([self.root, 2])
        found = [
            attack.attack(model, self.x, self.y, self.epsilon, rng=rng).robust_accuracy[0]
            for attack in (pgd, attacks.FGSM(norm=self.norm))
        ]
        return Watched(clean=clean, robust=float(found[0]), fgsm=float(found[1]))
