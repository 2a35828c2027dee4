"""SparseFool: the sparsest way across the boundary that DeepFool finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.checks import count, positive
from armour.contract import Model
from armour.criteria import Criterion
from armour.distances import Norm, distance
from armour.regions import F32, rows
from armour.rng import Streams

from .base import ATTACKS, MinimizationAttack
from .deepfool import DeepFool
from .gradient import finite
from .retreat import surely


@ATTACKS.register("sparsefool")
@dataclass(frozen=True, slots=True, kw_only=True)
class SparseFool(MinimizationAttack):
    """SparseFool: to the plane at DeepFool's boundary point, by the fewest values, again and again.

    From where a sample stands, DeepFool finds a point beyond the nearest boundary, and its slope there makes
    a plane. The values along which that is steepest go to their bounds, one after the other, until the plane
    is crossed. In the end changes that turn out not to be needed are undone, the least steep first.

    steps: planes crossed at most. sparsity: how far beyond the boundary point the plane is put, as a multiple
    of the way to it, at or above 1: more is found in fewer steps, with more values. candidates: as for
    DeepFool, whose steps cost candidates - 1 gradients each.
    Raises UnsupportedError if the model is a black box.
    Modas et al., 2019, https://arxiv.org/abs/1811.02248.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l0", "l1")

    norm: Norm = "l0"
    steps: int = 20
    sparsity: float = 1.0
    candidates: int = 4

    def __post_init__(self) -> None:
        MinimizationAttack.__post_init__(self)
        count("steps", self.steps)
        positive("sparsity", self.sparsity)
        count("candidates", self.candidates, 2)

    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """As MinimizationAttack.run; rng is not used."""
        inner = DeepFool(norm="l2", steps=10, candidates=self.candidates, search_steps=3)
        adv, left, normal = x.copy(), np.arange(len(x)), np.zeros_like(x)
        for _ in range(self.steps):
            here, goal = adv[left], criterion[left]
            beyond = inner.run(model, here, goal, rng=rng[left])
            _, slope, _ = model.gradient(beyond, goal.objective("margin"))
            slope = finite(slope)
            gain = self.sparsity * np.einsum("nd,nd->n", rows(slope), rows(beyond - here), dtype=np.float64)
            low, high = (rows(np.float32(end) - here) for end in model.bounds)
            move = distance("l1").shortest(rows(slope), low, high, gain * (1 + inner.overshoot))
            adv[left] = np.clip(here + move.reshape(here.shape).astype(np.float32), *model.bounds)
            normal[left] = slope
            left = left[~surely(goal, model.logits(adv[left]))]
            if not left.size:
                break
        found = np.ones(len(x), bool)
        found[left] = False
        adv[found] = thinned(model, criterion[found], x[found], adv[found], normal[found])
        return adv


def thinned(model: Model, criterion: Criterion, x: F32, adv: F32, slope: F32) -> F32:
    """`adv` (n, ...) without changes that the criterion does not need: those that gain least along the slope.

    How many of them can be undone is found by halving, a query each.
    """
    gain = rows(np.where(adv == x, -np.inf, slope * (adv - x)))
    order = np.argsort(gain, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[1]), order.shape), axis=1)
    fewest, most = np.count_nonzero(rows(adv == x), axis=1), np.full(len(x), gain.shape[1])
    best = adv.copy()
    for _ in range(int(np.ceil(np.log2(max(gain.shape[1], 2))))):
        undone = (fewest + most + 1) // 2
        tried = np.where((rank < undone[:, None]).reshape(x.shape), x, adv)
        met = surely(criterion, model.logits(tried)) if len(x) else np.zeros(0, bool)
        best[met] = tried[met]
        fewest, most = np.where(met, undone, fewest), np.where(met, most, undone - 1)
        most = np.maximum(most, fewest)
    return best
