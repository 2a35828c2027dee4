"""Detectors: what is fitted to clean inputs, and then says of each input how suspicious it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from armour.checks import describe
from armour.contract import LossFn, Model, input_gradient
from armour.errors import InvalidArgument
from armour.tensor.core import Tensor

from .evidence import Evidence
from .roc import threshold

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector(ABC):
    """Settings of a detector; `fit` gives one that scores.

    evidence: how well it holds, and who says so. backward: "exact", or what stands in for the gradient of its
    score.
    """

    evidence: ClassVar[Evidence]
    backward: ClassVar[str] = "exact"

    @abstractmethod
    def fit(self, model: Model, x: np.ndarray, *, rng: int | np.random.Generator = 0) -> Fitted:
        """A detector of inputs that are unlike the clean x (n, *input_shape), with at least 2 of them."""


class Fitted(ABC):
    """A detector that has seen clean inputs of a model."""

    model: Model

    @abstractmethod
    def pull(self, x: np.ndarray) -> tuple[Scores, np.ndarray]:
        """Scores (n,) of checked x (n, *input_shape), and their gradient like x, or what stands in for it."""

    def score(self, x: np.ndarray) -> Scores:
        """(n,) float64, higher for what is more suspicious; each sample by itself."""
        x = self.model.check_input(x)
        size = self.model.batch_size
        parts = [self._score(x[i : i + size]) for i in range(0, len(x), size)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def threshold(self, x: np.ndarray, rate: float = 0.05) -> float:
        """The score that at most a share `rate` of these clean inputs is above; use others for the report."""
        return threshold(self.score(x), rate)

    def _score(self, x: np.ndarray) -> Scores:
        return self.pull(x)[0]


class Watched(Model):
    """A model whose answers (n, classes + 1) end in a detector's score, for attacks that know the detector.

    centre, scale: the score counts as (score - centre) / scale. It has no labels: attack it with a
    criteria.Custom. Gradients of losses of both go back through both.
    """

    def __init__(self, detector: Fitted, classes: int, centre: float = 0.0, scale: float = 1.0) -> None:
        model = detector.model
        super().__init__(
            bounds=model.bounds,
            input_shape=model.input_shape,
            output_shape=(classes + 1,),
            name=f"{model.name}, watched",
            batch_size=model.batch_size,
        )
        self.model, self.detector, self.centre, self.scale = model, detector, centre, scale
        self.counter = model.counter

    @property
    def can_grad(self) -> bool:
        return self.model.can_grad

    @property
    def fingerprint(self) -> str:
        return self.model.fingerprint

    def _forward(self, x: np.ndarray) -> np.ndarray:
        return self._joined(self.model._forward(x), self.detector._score(x))

    def _pullback(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        score, along = self.detector.pull(x)
        answers = self._joined(self.model._forward(x), score)
        top = Tensor(answers, requires_grad=True)
        value = loss_fn(top)
        slope = input_gradient(value, top).numpy()
        weights = slope[:, :-1]
        gradient = self.model._pullback(x, lambda z: (z * weights).sum(axis=1))[1]
        last = (slope[:, -1] / self.scale).reshape(-1, *(1,) * (x.ndim - 1))
        return value.numpy(), (gradient + last * along).astype(np.float32), answers

    def _joined(self, logits: np.ndarray, score: Scores) -> np.ndarray:
        shown = (score - self.centre) / self.scale
        return np.concatenate([logits, shown[:, None].astype(np.float32)], axis=1)


def check_fit(model: Model, x: np.ndarray) -> np.ndarray:
    """x as the model takes it; InvalidArgument for fewer than 2 samples or a model without classes."""
    model._need_classes()
    x = model.check_input(x)
    if len(x) < 2:
        raise InvalidArgument(
            f"expected at least 2 clean inputs to fit a detector to, got {describe('x', x)}"
        )
    return x
