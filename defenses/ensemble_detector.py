"""Several detectors as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.checks import describe
from armour.contract import Model
from armour.errors import InvalidArgument
from armour.rng import generator

from .comparing import FeatureSqueezing
from .detector import Detector, Fitted, Scores, check_fit
from .evidence import DEFENSES, Evidence
from .magnet import MagNet


@DEFENSES.register("detect-ensemble")
@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleDetector(Detector):
    """The largest score of several detectors, so that any of them raises suspicion.

    detectors: at least one. Each one's score counts from the median of the clean inputs that they are fitted
    to, in lengths from there to their 95th percentile. Raises InvalidArgument for anything else.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "broken",
        "He et al., 2017, https://arxiv.org/abs/1706.04701",
        "ensembles of weak detectors are evaded together",
    )
    backward: ClassVar[str] = "that of the detector with the largest score"

    detectors: tuple[Detector, ...] = (FeatureSqueezing(), MagNet())

    def __post_init__(self) -> None:
        given = tuple(self.detectors)
        if not given or not all(isinstance(one, Detector) for one in given):
            raise InvalidArgument(f"expected detectors, at least one, got {describe('detectors', given)}")
        object.__setattr__(self, "detectors", given)

    def fit(self, model: Model, x: np.ndarray, *, rng: int | np.random.Generator = 0) -> Fitted:
        """As Detector.fit, each of them."""
        x = check_fit(model, x)
        draws = generator(rng)
        return _Largest(model, [one.fit(model, x, rng=draws) for one in self.detectors], x)


class _Largest(Fitted):
    def __init__(self, model: Model, fitted: Sequence[Fitted], x: np.ndarray) -> None:
        self.model, self.fitted = model, fitted
        scores = [one.score(x) for one in fitted]
        self.centres = [float(np.median(score)) for score in scores]
        self.lengths = [float(np.quantile(score, 0.95) - np.median(score)) or 1.0 for score in scores]

    def _score(self, x: np.ndarray) -> Scores:
        return np.asarray(self._all([one._score(x) for one in self.fitted]).max(axis=0))

    def pull(self, x: np.ndarray) -> tuple[Scores, np.ndarray]:
        pulled = [one.pull(x) for one in self.fitted]
        scores = self._all([score for score, _ in pulled])
        most, rows = scores.argmax(axis=0), np.arange(len(x))
        lengths = np.asarray(self.lengths)[most].reshape(-1, *(1,) * (x.ndim - 1))
        gradient = np.stack([along for _, along in pulled])[most, rows] / lengths
        return scores[most, rows], gradient.astype(np.float32)

    def _all(self, scores: Sequence[Scores]) -> Scores:
        rows = zip(scores, self.centres, self.lengths, strict=True)
        return np.stack([(score - centre) / length for score, centre, length in rows])
