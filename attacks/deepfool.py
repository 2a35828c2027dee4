"""DeepFool: step by step to the nearest boundary of the model's linear approximation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from armour.checks import count, positive
from armour.contract import Model
from armour.criteria import Criterion
from armour.distances import Distance, Norm
from armour.objective import Objective
from armour.regions import F32, F64, rows
from armour.rng import Streams
from armour.tensor.core import Tensor
from armour.tensor.shape import take_along_axis

from .base import ATTACKS, MinimizationAttack
from .gradient import finite, other_classes
from .retreat import retreat, rounding, surely

# A search that goes in circles goes further beyond the boundary by this factor with each step.
_GROWTH = 1.1


@ATTACKS.register("deepfool")
@dataclass(frozen=True, slots=True, kw_only=True)
class DeepFool(MinimizationAttack):
    """DeepFool: steps to the nearest boundary of the model as it looks from where the search stands.

    Each step takes the gradients of the differences between the label's logit and the likeliest others, and
    goes to the boundary that is nearest by them: to the nearest point of it inside the bounds. A sample is
    left alone once it is broken; what the last step went too far is taken back by a search towards x. A
    targeted search goes to the boundary between the target and the class that is largest at the time.

    steps: most steps; each costs candidates - 1 gradients (1 if targeted). candidates: how many of the
    likeliest classes of x, its own included, are looked at. overshoot: share of a step that is added to it,
    so that rounding and curvature do not leave it short. search_steps: halvings of the way back.
    Raises UnsupportedError if the model is a black box.
    Moosavi-Dezfooli et al., 2016, https://arxiv.org/abs/1511.04599.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2", "l1")

    norm: Norm = "l2"
    steps: int = 50
    candidates: int = 10
    overshoot: float = 0.02
    search_steps: int = 10

    def __post_init__(self) -> None:
        MinimizationAttack.__post_init__(self)
        count("steps", self.steps)
        count("candidates", self.candidates, 2)
        positive("overshoot", self.overshoot)
        count("search_steps", self.search_steps, 0)

    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """As MinimizationAttack.run; rng is not used."""
        adv = x.copy()
        pairs, found = rivals(model, x, criterion, self.candidates), np.zeros(len(x), bool)
        left = np.arange(len(x))
        for step in range(self.steps + 1):
            if step == self.steps:
                found[left] = surely(criterion[left], model.logits(adv[left]))
                break
            met, gap, normal = nearest_boundary(model, adv[left], criterion[left], pairs[left], self.distance)
            found[left[met]] = True
            left, gap, normal = left[~met], gap[~met], normal[~met]
            if not left.size:
                break
            adv[left] = self._crossed(model, adv[left], gap, normal, step)
        adv[found] = retreat(model, criterion[found], x[found], adv[found], self.search_steps, self.distance)
        return adv

    def _crossed(self, model: Model, adv: F32, gap: F64, normal: F32, step: int) -> F32:
        """`adv` moved just across a boundary that is `gap` away along the normal.

        First as if there were no bounds, and clipped: short steps that follow the model's curves. Where that
        does not arrive, to the boundary inside the bounds, and by and by further, so as to leave circles.
        """
        late = step - self.steps // 10
        if late < 0 and self.norm != "l1":
            high = np.full_like(rows(adv), model.bounds.span)
            low = -high
        else:
            low, high = (rows(np.float32(end) - adv) for end in model.bounds)
        beyond = 1 + self.overshoot * _GROWTH ** max(late, 0)
        move = self.distance.shortest(rows(normal), low, high, gap * beyond)
        return np.clip(adv + move.reshape(adv.shape).astype(np.float32), *model.bounds)


def difference(logits: Tensor, pairs: Any) -> Tensor:
    """The second's logit minus the first's, (n,), of the two classes in each row of pairs (n, 2)."""
    two = take_along_axis(logits, pairs, 1)
    return two[:, 1] - two[:, 0]


def rivals(model: Model, x: F32, criterion: Criterion, candidates: int) -> NDArray[np.int64]:
    """(n, c, 2) the label beside each of the c likeliest other classes at x; c = 0 if targeted."""
    labels = criterion.labels
    if labels is None or criterion.direction < 0:
        return np.zeros((len(x), 0, 2), np.int64)
    others = other_classes(model.logits(x), labels)[:, : candidates - 1]
    return np.stack(np.broadcast_arrays(labels[:, None], others), axis=2)


def nearest_boundary(
    model: Model, adv: F32, criterion: Criterion, pairs: NDArray[np.int64], distance: Distance
) -> tuple[NDArray[np.bool_], F64, F32]:
    """Whether the criterion is met (n,), and the nearest boundary by the gradients at adv (n, ...).

    pairs: as from `rivals`. The boundary is `gap` (n,) in logits away along its normal (n, ...). Where one is
    crossed and the criterion wants more, the gap is how far beyond it the search is: it goes as far again.
    """
    if not pairs.shape[1]:
        value, gradient, logits = model.gradient(adv, criterion.objective("margin"))
        return surely(criterion, logits), _gap(value, logits), finite(gradient)
    met, gap = np.zeros(len(adv), bool), np.zeros(len(adv))
    normal, nearest = np.zeros_like(adv), np.full(len(adv), np.inf)
    here = np.arange(len(adv))
    for k in range(pairs.shape[1]):
        at = adv[here] if k else adv
        value, gradient, logits = model.gradient(at, Objective(difference, pairs[here, k]))
        if not k:
            met = surely(criterion, logits)
            here = np.flatnonzero(~met)
            value, gradient, logits, at = value[here], gradient[here], logits[here], at[here]
            if not here.size:
                break
        gradient, beyond = finite(gradient), _gap(value, logits)
        free = ((gradient > 0) & (at < model.bounds.high)) | ((gradient < 0) & (at > model.bounds.low))
        slope = distance.slope(rows(gradient * free))
        with np.errstate(divide="ignore"):
            away = np.where(slope > 0, np.where(value > 0, -beyond, beyond) / slope, np.inf)
        nearer = away < nearest[here]
        took = here[nearer]
        nearest[took], gap[took], normal[took] = away[nearer], beyond[nearer], gradient[nearer]
    return met, gap, normal


def _gap(value: NDArray[np.float32], logits: NDArray[np.float32]) -> F64:
    """(n,) the size of differences of logits; more than rounding, or the search would not move."""
    return np.maximum(np.abs(value.astype(np.float64)), 2 * rounding(logits))
