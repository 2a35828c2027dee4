"""Detectors that compare a model's answer with the one to a changed input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from armour.checks import positive
from armour.contract import Model
from armour.tensor import abs as absolute
from armour.tensor import log, softmax
from armour.tensor.core import Tensor, no_grad

from .bit_depth import BitDepth
from .defended import Defended
from .detector import Detector, Fitted, Scores, check_fit
from .evidence import DEFENSES, Evidence
from .input import InputDefense
from .spatial import SpatialSmoothing

# (logits Tensor (n, k), logits array (n, k)) -> Tensor (n,): how far the answers are apart, in either order.
Apart = Callable[[Tensor, Any], Tensor]


class Comparing(Fitted):
    """Scores by the largest distance between the answers to x and to x behind each of some input defenses."""

    def __init__(self, model: Model, changes: Sequence[InputDefense], apart: Apart) -> None:
        self.model, self.apart = model, apart
        self.behind = [Defended(model, change) for change in changes]

    def _score(self, x: np.ndarray) -> Scores:
        own = self.model._forward(x)
        with no_grad():
            found = [self.apart(Tensor(own), other._forward(x)).numpy() for other in self.behind]
        return np.asarray(np.max(found, axis=0), np.float64)

    def pull(self, x: np.ndarray) -> tuple[Scores, np.ndarray]:
        """As Fitted.pull: through the model, and through each change as its `backward` says."""
        own = self.model._forward(x)
        others = [other._forward(x) for other in self.behind]
        with no_grad():
            found = np.stack([self.apart(Tensor(own), other).numpy() for other in others])
        most = found.argmax(axis=0)
        nearest = np.stack(others)[most, np.arange(len(x))]
        gradient = self.model._pullback(x, lambda z: self.apart(z, nearest))[1].copy()
        for number, other in enumerate(self.behind):
            rows = np.flatnonzero(most == number)
            if rows.size:
                gradient[rows] += other._pullback(x[rows], partial(_apart, self.apart, own[rows]))[1]
        return found.max(axis=0).astype(np.float64), gradient


def _apart(apart: Apart, other: np.ndarray, logits: Tensor) -> Tensor:
    return apart(logits, other)


def l1(logits: Tensor, other: Any) -> Tensor:
    """(n,) sum of absolute differences of the probabilities."""
    apart: Tensor = absolute(softmax(logits) - softmax(Tensor(np.asarray(other)))).sum(axis=1)
    return apart


def jensen_shannon(logits: Tensor, other: Any, temperature: float = 1.0) -> Tensor:
    """(n,) Jensen-Shannon divergence of the probabilities of logits / temperature, in nats."""
    p, q = softmax(logits / temperature), softmax(Tensor(np.asarray(other)) / temperature)
    middle = log((p + q) / 2 + 1e-30)
    apart: Tensor = (p * (log(p + 1e-30) - middle) + q * (log(q + 1e-30) - middle)).sum(axis=1) / 2
    return apart


@DEFENSES.register("detect-squeezing")
@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSqueezing(Detector):
    """The largest L1 distance of the probabilities of x and of x squeezed: fewer levels, a median filter.

    bits, size: of BitDepth and SpatialSmoothing. Inputs that are no images are only given fewer levels.
    Xu et al., 2018, https://arxiv.org/abs/1704.01155.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "broken",
        "He et al., 2017, https://arxiv.org/abs/1706.04701",
        "adaptive attacks evade it with low distortion",
    )
    backward: ClassVar[str] = "identity through the levels, exact through the filter"

    bits: int = 4
    size: int = 2

    def fit(self, model: Model, x: np.ndarray, *, rng: int | np.random.Generator = 0) -> Comparing:
        """As Detector.fit; there is nothing to learn."""
        x = check_fit(model, x)
        changes: list[InputDefense] = [BitDepth(bits=self.bits)]
        if x.ndim == 4:
            changes.append(SpatialSmoothing(size=self.size))
        return Comparing(model, changes, l1)


@DEFENSES.register("detect-smoothing")
@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothingDetector(Detector):
    """The L1 distance of the probabilities of x and of x behind a mean filter of size by size pixels.

    As MindArmour's SpatialSmoothing, with a filter that has a gradient everywhere.
    Xu et al., 2018, https://arxiv.org/abs/1704.01155.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "broken",
        "He et al., 2017, https://arxiv.org/abs/1706.04701",
        "adaptive attacks on feature squeezing, of which it is a part, evade it with low distortion",
    )

    size: int = 3

    def fit(self, model: Model, x: np.ndarray, *, rng: int | np.random.Generator = 0) -> Comparing:
        """As Detector.fit; there is nothing to learn."""
        check_fit(model, x)
        return Comparing(model, [SpatialSmoothing(kind="mean", size=self.size)], l1)


def tempered(temperature: float) -> Apart:
    """`jensen_shannon` at that temperature."""
    positive("temperature", temperature)
    return lambda logits, other: jensen_shannon(logits, other, temperature)
