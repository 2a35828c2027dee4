"""What minimum-norm attacks share: whether a criterion is met beyond rounding, and the way back to x."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armour.contract import Model
from armour.criteria import Criterion
from armour.distances import Distance
from armour.regions import F32

# A logit's share below which it is no larger than another: in another batch both are rounded otherwise.
TIE = 1e-5


def surely(criterion: Criterion, logits: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether the criterion is met (n,), and would be if the label's logit (n, k) were rounded otherwise.

    A search that ends on the boundary itself would find its result refused when the model is asked again.
    """
    met = criterion(logits)
    if met.any():
        met &= criterion(_rounded(criterion, logits, against=True))
    return met


def nearly(criterion: Criterion, logits: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether the criterion is met (n,), or would be if the label's logit (n, k) were rounded otherwise.

    A search that goes back from where it is met, and asks for surely(), would stay on the boundary for ever.
    """
    met = criterion(logits)
    return met if met.all() else met | criterion(_rounded(criterion, logits, against=False))


def _rounded(criterion: Criterion, logits: NDArray[np.float32], against: bool) -> NDArray[np.float32]:
    """The logits with the label's own moved by what rounding may do, against the criterion or for it."""
    if criterion.labels is None:
        return logits
    nudge = rounding(logits)
    moved = logits.copy()
    sign = 1 if (criterion.direction >= 0) == against else -1
    moved[np.arange(len(logits)), criterion.labels] += sign * np.where(np.isfinite(nudge), nudge, 0)
    return moved


def rounding(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) the difference of logits (n, k) that is none."""
    return np.asarray(TIE * np.abs(logits).max(axis=1), np.float32)


def retreat(model: Model, criterion: Criterion, x: F32, adv: F32, steps: int, distance: Distance) -> F32:
    """The point nearest to x (n, ...), of those tried on the way of `distance`, that meets the criterion.

    Every adv must meet it surely. The way is halved `steps` times, at a query each.
    """
    best = adv.copy()
    short, far = np.zeros(len(x)), np.ones(len(x))  # shares of the way: one fails, the other meets it
    low, high = np.minimum(x, adv), np.maximum(x, adv)
    for _ in range(steps if len(x) else 0):
        share = (short + far) / 2
        tried = np.clip(distance.toward(x, adv, share), low, high)
        met = surely(criterion, model.logits(tried))
        best[met] = tried[met]
        far[met], short[~met] = share[met], share[~met]
    return best
