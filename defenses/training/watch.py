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
# Epochs without a rise after which an accuracy is stuck; and how much of that under FGSM there must be, so
# that a network which has learnt nothing yet is not called overfitted.
WAIT = 3
LEAST = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Accuracies after one epoch: on all validation samples, and on the watched ones under FGSM and PGD."""

    clean: float
    fgsm: float
    robust: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Collapse:
    """Catastrophic overfitting: robust only to the one step that it is trained against.

    In `epoch` (from 1) accuracy under PGD is less than half of what it was in `since`, or stays under half of
    that under FGSM from `since` on, while that under FGSM has not fallen. robust, fgsm: both accuracies, then
    and now.
    """

    epoch: int
    since: int
    robust: tuple[float, float]
    fgsm: tuple[float, float]

    def __str__(self) -> str:
        (robust, now), (fgsm, fgsm_now) = self.robust, self.fgsm
        how = "fell" if now < robust / 2 else "is stuck and went"
        return (
            f"catastrophic overfitting in epoch {self.epoch}: accuracy under PGD {how} from {robust:.1%} to "
            f"{now:.1%} since epoch {self.since}, while under FGSM it went from {fgsm:.1%} to {fgsm_now:.1%}"
        )


def collapse(history: Sequence[Watched], ramp: float = 0.0) -> Collapse | None:
    """The first collapse in the history of a run, None without one.

    Either accuracy under PGD falls from the best epoch before; or, where training never got it up, it is
    less than half of that under FGSM and has not risen in WAIT epochs. ramp: epochs in which the budget grew,
    which do not count for the second.
    """
    best = 0
    for i, now in enumerate(history):
        if now.robust >= history[best].robust:
            best = i
        elif now.robust < history[best].robust / 2 and now.fgsm > history[best].fgsm - STEADY:
            return _between(history, best, i)
        before = history[max(i - WAIT, 0)]
        flat = now.robust < before.robust + STEADY and now.fgsm > before.fgsm - STEADY
        if i - WAIT >= ramp and flat and now.robust < now.fgsm / 2 and now.fgsm > LEAST:
            return _between(history, i - WAIT, i)
    return None


def _between(history: Sequence[Watched], first: int, last: int) -> Collapse:
    then, now = history[first], history[last]
    return Collapse(
        epoch=last + 1, since=first + 1, robust=(then.robust, now.robust), fgsm=(then.fgsm, now.fgsm)
    )


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
