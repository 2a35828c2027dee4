"""A detector that asks the model about the neighbourhood of an input."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from armour.checks import count, positive
from armour.contract import Model
from armour.rng import generator
from armour.tensor import softmax
from armour.tensor.core import Tensor, no_grad

from .detector import Detector, Fitted, Scores, check_fit
from .evidence import DEFENSES, Evidence


@DEFENSES.register("detect-region")
@dataclass(frozen=True, slots=True, kw_only=True)
class RegionBased(Detector):
    """One minus the mean probability, around an input, of the class that is answered for the input itself.

    radius: of the hypercube, as a share of the span of the bounds. draws: points in it, drawn once when the
    detector is fitted and the same for each input; what leaves the bounds is clipped. Probabilities stand
    where the paper counts votes, so that there is a gradient. Cao and Gong, 2017,
    https://arxiv.org/abs/1709.05583.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "broken",
        "He et al., 2018, https://openreview.net/forum?id=BkpiPMbA-",
        "an attack that keeps the neighbourhood wrong too (OptMargin) evades it",
    )

    radius: float = 0.1
    draws: int = 20

    def __post_init__(self) -> None:
        positive("radius", self.radius)
        count("draws", self.draws)

    def fit(self, model: Model, x: np.ndarray, *, rng: int | np.random.Generator = 0) -> Fitted:
        """As Detector.fit; only the points are drawn."""
        x = check_fit(model, x)
        reach = self.radius * model.bounds.span
        moves = generator(rng).uniform(-reach, reach, (self.draws, *x.shape[1:]))
        return _Around(model, moves.astype(np.float32))


class _Around(Fitted):
    def __init__(self, model: Model, moves: np.ndarray) -> None:
        self.model, self.moves = model, moves

    def _score(self, x: np.ndarray) -> Scores:
        answer = self.model._forward(x).argmax(axis=1)
        total = np.zeros(len(x))
        with no_grad():
            for move in self.moves:
                logits = self.model._forward(self.model.bounds.clip(x + move))
                total += _probability(answer, Tensor(logits)).numpy()
        return 1 - total / len(self.moves)

    def pull(self, x: np.ndarray) -> tuple[Scores, np.ndarray]:
        answer = self.model._forward(x).argmax(axis=1)
        total, gradient = np.zeros(len(x)), np.zeros_like(x)
        low, high = self.model.bounds
        for move in self.moves:
            at = x + move
            value, slope, _ = self.model._pullback(self.model.bounds.clip(at), partial(_probability, answer))
            total += value
            gradient -= slope * ((at >= low) & (at <= high))
        return 1 - total / len(self.moves), gradient / np.float32(len(self.moves))


def _probability(answer: Any, logits: Tensor) -> Tensor:
    """(n,) the probability of each answer (n,) by logits (n, k)."""
    own = np.eye(logits.shape[1], dtype=logits.dtype)[answer]
    found: Tensor = (softmax(logits) * own).sum(axis=1)
    return found
