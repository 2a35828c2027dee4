"""What a detector is worth: against an attack that does not know it, and always against one that does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from armour.attacks import PGD
from armour.checks import count, fraction
from armour.contract import Model
from armour.criteria import Custom
from armour.distances import Norm
from armour.errors import NothingEvaluated
from armour.rng import generator
from armour.stats import Effect, Interval, wilson
from armour.tensor import losses
from armour.tensor.core import Tensor

from .detector import Detector, Watched
from .evidence import Evidence
from .roc import auc

WEIGHTS = (0.0, 0.1, 1.0, 10.0, 100.0)
MARGIN = 1.0  # beyond which the adaptive attack no longer raises the wrong logit


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What was seen of one attack.

    auc: of its wrongly labelled inputs against clean ones, with its interval. n: inputs that are labelled
    wrongly. tpr, tpr_interval: share of them above the threshold. evading: share of all inputs attacked that
    are labelled wrongly and not above it, with its interval.
    """

    auc: Effect
    n: int
    tpr: float
    tpr_interval: Interval
    evading: float
    evading_interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionResult:
    """A detector under one budget: both static (the attack does not know it) and adaptive (it does).

    threshold: set on clean inputs that are in no other figure, for the false-positive rate `fpr_wanted`. fpr,
    fpr_interval: reached on the samples before the attack. weights: how often each weight of the score in the
    adaptive attack's loss gave the best input of a sample.
    """

    detector: str
    evidence: Evidence
    norm: str
    epsilon: float
    samples: int
    threshold: float
    fpr_wanted: float
    fpr: float
    fpr_interval: Interval
    static: Detection
    adaptive: Detection
    weights: dict[float, int]

    @property
    def label(self) -> Literal["broken", "detect-only"]:
        """Broken where an attack that knows the detector clearly lowers its AUC, or it is at chance."""
        lowered = self.adaptive.auc.high < self.static.auc.low
        return "broken" if lowered or self.adaptive.auc.low <= 0.5 else "detect-only"

    def __str__(self) -> str:
        lines = [
            f"{self.detector}: {self.label} here; in print {self.evidence}",
            f"false positives {self.fpr:.1%} of {self.samples} (95 % CI {_ends(self.fpr_interval)}, wanted "
            f"{self.fpr_wanted:.1%})",
        ]
        for name, seen in (("static", self.static), ("adaptive", self.adaptive)):
            lines.append(
                f"{name:<8} AUC {seen.auc.value:.3f} (95 % CI {seen.auc.low:.3f} to {seen.auc.high:.3f}), "
                f"found {seen.tpr:.1%} of {seen.n} ({_ends(seen.tpr_interval)}), "
                f"evading {seen.evading:.1%} of {self.samples} ({_ends(seen.evading_interval)})"
            )
        return "\n".join(lines)


def detection(
    detector: Detector,
    model: Model,
    clean: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    *,
    epsilon: float | str,
    norm: Norm = "linf",
    fpr: float = 0.05,
    steps: int = 40,
    weights: Sequence[float] = WEIGHTS,
    rng: int | np.random.Generator = 0,
) -> DetectionResult:
    """Fit a detector on half of `clean`, set its threshold on the other half, and attack it on x, y.

    clean: (m, *input_shape), at least 4, none of them in x. y: (n,) labels of x. fpr: the false-positive rate
    wanted. steps: of PGD, for both attacks. The static attack is PGD on the model alone. The adaptive one
    climbs min(margin, 1) - weight * score for each weight, the score standardised by clean ones, and keeps
    for each sample the wrongly labelled input of the lowest score, the static attack's included.

    Raises NothingEvaluated if the model labels nothing rightly or no attack finds a wrong label.
    """
    fraction("fpr", fpr)
    count("steps", steps)
    draws = generator(rng)
    half = len(clean) // 2
    fitted = detector.fit(model, clean[:half], rng=draws)
    known = fitted.score(clean[half:])
    limit = fitted.threshold(clean[half:], fpr)
    x, y = model.check_input(x), model.check_labels(y, len(x))
    right = model.predict(x) == y
    x, y = x[right], y[right]
    if not len(x):
        raise NothingEvaluated("the model labels none of the inputs rightly, so there is nothing to attack")
    own = fitted.score(x)
    plain = PGD(norm=norm, steps=steps, step_size=2.5 / steps).attack(model, x, y, epsilon, rng=draws)
    best, weight = plain.adv[0].copy(), np.full(len(x), -1.0)
    wrong, lowest = plain.success[0].copy(), np.where(plain.success[0], fitted.score(plain.adv[0]), np.inf)
    static = _seen(own, lowest[wrong], limit, len(x))
    spread = float(np.quantile(known, 0.95) - np.median(known)) or 1.0
    watched = Watched(fitted, model.num_classes, float(np.median(known)), spread)
    for each in weights:
        attack = PGD(norm=norm, steps=steps, step_size=2.5 / steps)
        adv = attack.attack(watched, x, _both(y, each), epsilon, rng=draws).adv[0]
        score = np.where(model.predict(adv) != y, fitted.score(adv), np.inf)
        better = score < lowest
        best[better], lowest[better], weight[better] = adv[better], score[better], each
    wrong = np.isfinite(lowest)
    above = int((own > limit).sum())
    return DetectionResult(
        detector=str(detector),
        evidence=detector.evidence,
        norm=norm,
        epsilon=float(plain.epsilons[0]),
        samples=len(x),
        threshold=limit,
        fpr_wanted=fpr,
        fpr=above / len(x),
        fpr_interval=wilson(above, len(x)),
        static=static,
        adaptive=_seen(own, lowest[wrong], limit, len(x)),
        weights={float(each): int((weight == each).sum()) for each in weights},
    )


def _both(y: NDArray[np.int64], weight: float) -> Custom:
    """A wrong label under an unsuspicious score, which is below 0 where it is below the clean median."""

    def success(answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return np.asarray((answers[:, :-1].argmax(axis=1) != labels) & (answers[:, -1] <= 0))

    def loss(answers: Tensor, labels: np.ndarray) -> Tensor:
        gap: Tensor = losses.margin(answers[:, :-1], labels)
        return gap.clip(-np.inf, MARGIN) - weight * answers[:, -1]

    return Custom(success, loss, data=(y,), name="a wrong label, unseen")


def _seen(clean: NDArray[np.float64], scores: NDArray[np.float64], limit: float, n: int) -> Detection:
    if not len(scores):
        raise NothingEvaluated(
            "the attack finds no wrong label, so there is nothing to detect; raise epsilon"
        )
    found = int((scores > limit).sum())
    evading = len(scores) - found
    return Detection(
        auc=auc(clean, scores),
        n=len(scores),
        tpr=found / len(scores),
        tpr_interval=wilson(found, len(scores)),
        evading=evading / n,
        evading_interval=wilson(evading, n),
    )


def _ends(interval: Interval) -> str:
    return f"{interval.low:.1%} to {interval.high:.1%}"
