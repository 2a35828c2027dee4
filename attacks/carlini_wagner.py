"""Carlini and Wagner's attack: a distance and a hinge on the logits, minimised by Adam inside the bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from armour.contract import Model
from armour.criteria import Criterion
from armour.distances import Norm
from armour.regions import F32, F64, column, rows
from armour.rng import Streams

from .base import ATTACKS, MinimizationAttack
from .gradient import finite
from .retreat import retreat, surely
from .weights import Weights, check_search

# tanh reaches 1 at infinity only, and values on the bounds would hardly move: it is stretched to reach the
# bounds here, and what exceeds them is clipped.
_INSIDE = 0.95
# A run of Adam is looked at so many times: a sample whose loss has not fallen by _GAIN since leaves it.
_LOOKS, _GAIN = 10, 1e-4
# linf: by this share a success lowers the size up to which a change costs nothing; halved when a run fails.
_SHRINK = 0.1
_BETA1, _BETA2, _TINY = 0.9, 0.999, 1e-8
# l2: a step of Adam is at most this many times the mean change of the nearest success.
_FINE = 20
_SEARCH = 10  # halvings of the way back


@ATTACKS.register("cw")
@dataclass(frozen=True, slots=True, kw_only=True)
class CW(MinimizationAttack):
    """Carlini and Wagner's attack: the smallest change whose logits are wrong, by Adam in tanh space.

    Minimises distance + c * max(confidence - margin, 0), where the margin is how far the logits are beyond
    the criterion's boundary. The input is written as a tanh, so that it cannot leave the bounds. c is
    searched by halves for each sample. The smallest success of all iterates is kept, and drawn back towards
    x. l2 is the squared distance over the squared span of the bounds. linf is the sum of what changes exceed
    a limit, which shrinks with each success, the next run going on from it.

    steps: of Adam for each c, a gradient each; in l2 a sample whose loss no longer falls leaves early.
    step_size: Adam's, in tanh space; smaller once a success is known to be small. search_steps: constants
    tried. confidence: margin asked for, in logits. first_weight: the first c.
    Raises UnsupportedError if the model is a black box.
    Carlini and Wagner, 2017, https://arxiv.org/abs/1608.04644.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    norm: Norm = "l2"
    steps: int = 200
    step_size: float = 0.05
    search_steps: int = 9
    confidence: float = 0.0
    first_weight: float = 1e-3

    def __post_init__(self) -> None:
        MinimizationAttack.__post_init__(self)
        check_search(
            steps=self.steps,
            step_size=self.step_size,
            search_steps=self.search_steps,
            confidence=self.confidence,
            first_weight=self.first_weight,
        )

    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """As MinimizationAttack.run; rng is not used."""
        search = _Search(self, model, x, criterion)
        weights = Weights(len(x), self.first_weight)
        for _ in range(self.search_steps):
            weights.update(search.descend(weights.value))
        found = np.isfinite(search.length)
        if not self.confidence:
            best = search.best[found]
            search.best[found] = retreat(model, criterion[found], x[found], best, _SEARCH, self.distance)
        return search.best


class _Search:
    """What is known about n samples, and the run that looks for nearer ones.

    best: (n, ...) the nearest success, or x; length: (n,) its distance, infinite without one.
    """

    def __init__(self, attack: CW, model: Model, x: F32, criterion: Criterion) -> None:
        self.attack, self.model, self.x, self.criterion = attack, model, x, criterion
        self.best, self.length = x.copy(), np.full(len(x), np.inf)
        self.middle = np.float32((model.bounds.low + model.bounds.high) / 2)
        self.reach = np.float32(model.bounds.span / 2 / _INSIDE)
        self.shrink = np.full(len(x), _SHRINK)

    def descend(self, weight: F64) -> NDArray[np.bool_]:
        """Adam with these weights (n,) of the hinge; (n,) whether the run met the criterion."""
        attack, model = self.attack, self.model
        linf = attack.norm == "linf"
        enough = np.zeros(len(weight), bool)
        at = np.arange(len(weight))
        z = np.arctanh(((self.best if linf else self.x) - self.middle) / self.reach)
        first, second = np.zeros_like(z), np.zeros_like(z)
        before = np.full(len(at), np.inf)
        every = max(1, -(-attack.steps // _LOOKS))
        for step in range(attack.steps):
            t = np.tanh(z)
            adv = np.clip(self.middle + self.reach * t, *model.bounds).astype(np.float32)
            value, gradient, logits = model.gradient(adv, self.criterion[at].objective("margin"))
            met = surely(self.criterion[at], logits) & (value >= attack.confidence)
            length = attack.distance.measure(self.x[at], adv)
            better = met & (length < self.length[at])
            self.best[at[better]], self.length[at[better]] = adv[better], length[better]
            enough[at[better if linf else met]] = True
            before[better] = np.inf

            delta = (adv - self.x[at]) / model.bounds.span
            cost, slope = self._cost(rows(delta), at)
            hinge = np.where(met, 0, np.maximum(attack.confidence - value.astype(np.float64), 0))
            if step % every == 0:
                loss = cost + weight[at] * hinge
                stay = linf | (loss < (1 - _GAIN) * before)
                if step and not stay.all():
                    at, z, first, second = at[stay], z[stay], first[stay], second[stay]
                    t, slope, gradient, met, loss = (
                        t[stay],
                        slope[stay],
                        gradient[stay],
                        met[stay],
                        loss[stay],
                    )
                    adv = adv[stay]
                    if not at.size:
                        break
                before = loss
            pull = np.where(met, 0, weight[at]).astype(np.float32)
            slope = slope.reshape(t.shape) / model.bounds.span - column(pull, t.ndim) * finite(gradient)
            slope *= self.reach * (1 - t * t)
            slope[((adv <= model.bounds.low) & (slope > 0)) | ((adv >= model.bounds.high) & (slope < 0))] = 0
            first += (1 - _BETA1) * (slope - first)
            second += (1 - _BETA2) * (slope * slope - second)
            rate = attack.step_size * (1 - _BETA2 ** (step + 1)) ** 0.5 / (1 - _BETA1 ** (step + 1))
            # Adam's steps are as long for every value: once a success is known, no longer than it calls for.
            size = self.length[at] / model.bounds.span
            share = np.minimum(1, size if linf else _FINE * size / rows(self.x).shape[1] ** 0.5)
            move = first / (np.sqrt(second) + np.float32(_TINY))
            z -= column((rate * share).astype(np.float32), z.ndim) * move
        if linf:
            self.shrink[~enough & np.isfinite(self.length)] /= 2
        return enough

    def _cost(self, delta: F32, at: NDArray[np.int64]) -> tuple[F64, F32]:
        """The distance's part of the loss (m,), and its gradient (m, d); in spans of the bounds."""
        if self.attack.norm == "l2":
            return np.einsum("nd,nd->n", delta, delta, dtype=np.float64), 2 * delta
        length = self.length[at] / self.model.bounds.span
        limit = np.where(np.isfinite(length), (1 - self.shrink[at]) * length, 1).astype(np.float32)[:, None]
        over = np.maximum(np.abs(delta) - limit, 0)
        return over.sum(axis=1, dtype=np.float64), np.sign(delta) * (over > 0)
