"""Gradient steps on a sphere or in a ball whose radius follows the boundary: DDN and FMN."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from armour.checks import count, fraction, positive
from armour.contract import Model
from armour.criteria import Criterion, Loss
from armour.distances import Norm
from armour.objective import Objective
from armour.projections import furthest_l2
from armour.regions import F32, F64, Array, rows
from armour.rng import Streams

from .base import ATTACKS, MinimizationAttack
from .clock import time_is_up
from .fgsm import check_loss
from .gradient import finite
from .nearest import Nearest, as_point
from .retreat import rounding, surely

_LAST_STEP = 0.01  # length of the last step, as a share of the first
_LAST_GAMMA = 0.001  # the last change of FMN's radius
_LAST_SHARE = 0.1  # the last gamma of DDN, as a share of the first
# FMN's first step, in spans of the bounds: in the other norms values have to get to the ends of their room.
_FIRST_STEP: dict[Norm, float] = {"l0": 30, "l1": 30, "l2": 10, "linf": 30}
_HEAT = 0.1  # temperature of FMN's soft margin, as a share of the margin at x


@ATTACKS.register("ddn")
@dataclass(frozen=True, slots=True, kw_only=True)
class DDN(MinimizationAttack):
    """Decoupled direction and norm: steps up the loss on a sphere around x that shrinks while they succeed.

    Each step goes along the gradient and back to the sphere, inside the bounds. Its radius falls by a share
    gamma where the criterion is met and grows by it elsewhere. The steps shorten by a cosine, and so does
    gamma to a tenth, once the radius has come below what was found (the paper's stays, and its radius ends
    five per cent to and fro about the boundary). The nearest of all is kept, and at last drawn towards x as
    far as it goes. Needs gradients.

    steps: gradient evaluations. step_size: length of the first step, in spans of the bounds. gamma: in (0,
    1). start: the first radius, in spans of the bounds. loss: "cross-entropy", "margin", "dlr", or a function
    (logits, labels) -> (n,). search_steps: queries of the search between x and the nearest input found.
    Raises UnsupportedError if the model is a black box.
    Rony et al., 2019, https://arxiv.org/abs/1811.09600.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l2",)

    norm: Norm = "l2"
    steps: int = 100
    step_size: float = 1.0
    gamma: float = 0.05
    start: float = 1.0
    loss: str | Loss = "cross-entropy"
    search_steps: int = 5

    def __post_init__(self) -> None:
        MinimizationAttack.__post_init__(self)
        count("steps", self.steps)
        positive("step_size", self.step_size)
        fraction("gamma", self.gamma)
        positive("start", self.start)
        check_loss(self.loss)
        count("search_steps", self.search_steps, 0)

    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """As MinimizationAttack.run; rng is not used."""
        nearest, everyone = Nearest(self.distance, x), np.arange(len(x))
        low, high, worst = room(model, x, nearest)
        radius = np.minimum(self.start * model.bounds.span, worst)
        objective, point, crossed = criterion.objective(self.loss), x, np.zeros(len(x), bool)
        for step in range(self.steps):
            if time_is_up():
                break
            _, gradient, logits = model.gradient(point, objective)
            met = surely(criterion, logits)
            nearest.offer(everyone, point, met)
            length = self.step_size * model.bounds.span * cosine(step, self.steps, _LAST_STEP)
            delta = rows(point - x) + np.float32(length) * unit(rows(finite(gradient)))
            crossed |= nearest.found() & ~met
            gamma = self.gamma * np.where(crossed, cosine(step, self.steps, _LAST_SHARE), 1)
            radius = np.minimum(radius * np.where(met, 1 - gamma, 1 + gamma), worst)
            delta = furthest_l2(delta, low, high, radius)
            point = as_point(x + delta.reshape(x.shape), model)
        return finish(model, nearest, criterion, point, self.search_steps)


@ATTACKS.register("fmn")
@dataclass(frozen=True, slots=True, kw_only=True)
class FMN(MinimizationAttack):
    """Fast minimum norm: steps up the margin in a ball around x whose radius follows the boundary.

    Until the criterion is first met, the ball reaches to where the boundary is by the gradient, and by and by
    further. Then its radius falls by a share gamma from the nearest input found where the criterion is met,
    and grows by it elsewhere. Each step goes along the gradient and to the nearest point of the ball inside
    the bounds. Steps and gamma shorten by a cosine. The nearest of all is kept, and at last drawn towards x
    as far as it goes. The paper's margin would settle at once for the class that is likeliest at x, whose
    boundary is often not the nearest: in the first half of the steps it is a soft one, in which every class
    that could win has its part. Needs gradients.

    steps: gradient evaluations. step_size: length of the first step, in spans of the bounds; None for 10 in
    l2 and 30 in the other norms. gamma: in (0, 1). search_steps: queries of the search between x and the
    nearest input found.
    Raises UnsupportedError if the model is a black box.
    Pintor et al., 2021, https://arxiv.org/abs/2102.12827.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l0", "l1", "l2", "linf")

    norm: Norm = "l2"
    steps: int = 100
    step_size: float | None = None
    gamma: float = 0.05
    search_steps: int = 5

    def __post_init__(self) -> None:
        MinimizationAttack.__post_init__(self)
        count("steps", self.steps)
        if self.step_size is not None:
            positive("step_size", self.step_size)
        fraction("gamma", self.gamma)
        count("search_steps", self.search_steps, 0)

    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """As MinimizationAttack.run; rng is not used."""
        nearest, everyone = Nearest(self.distance, x), np.arange(len(x))
        low, high, worst = room(model, x, nearest)
        radius = np.ones(len(x)) if self.norm == "l0" else np.full(len(x), np.inf)
        margin, point = criterion.objective("margin"), x
        first = _FIRST_STEP[self.norm] if self.step_size is None else self.step_size
        soft = criterion.objective("soft-margin", _heat(margin, model.logits(x)))
        for step in range(self.steps):
            if time_is_up():
                break
            _, gradient, logits = model.gradient(point, soft if 2 * step < self.steps else margin)
            value, gradient, met = margin.values(logits), finite(gradient), surely(criterion, logits)
            nearest.offer(everyone, point, met)
            gamma = self.gamma * cosine(step, self.steps, min(1, _LAST_GAMMA / max(self.gamma, 1e-9)))
            if self.norm == "l0":
                radius = _fewer(radius, nearest.distance, met, gamma)
            else:
                ahead = np.abs(np.nan_to_num(value)) / np.maximum(self.distance.slope(rows(gradient)), 1e-300)
                # A little further with each step: a search that ended on the boundary would not have met it.
                reach = (self.distance.measure(x, point) + ahead) * (1 + self.gamma) ** (step + 1)
                outside = np.where(nearest.found(), radius * (1 + gamma), reach)
                inside = np.minimum(radius * (1 - gamma), nearest.distance)
                radius = np.where(met, inside, outside)
            radius = np.minimum(radius, worst)
            length = first * model.bounds.span * cosine(step, self.steps, _LAST_STEP)
            delta = rows(point - x) + np.float32(length) * unit(rows(gradient))
            delta = self.distance.nearest(delta, low, high, radius)
            point = as_point(x + delta.reshape(x.shape), model)
        return finish(model, nearest, criterion, point, self.search_steps)


def _heat(margin: Objective, logits: F32) -> F32:
    """(n,) temperatures for the soft margin, above 0: a share of the margin of logits (n, k)."""
    heat = np.maximum(_HEAT * np.abs(margin.values(logits)), rounding(logits))
    return np.where(np.isfinite(heat) & (heat > 0), heat, 1).astype(np.float32)


def _fewer(radius: F64, best: F64, met: NDArray[np.bool_], gamma: float) -> F64:
    """The next number of changed values: at least one less than now, or one more."""
    less = np.minimum(np.minimum(radius - 1, np.floor(radius * (1 - gamma))), best)
    return np.maximum(np.where(met, less, np.maximum(radius + 1, np.floor(radius * (1 + gamma)))), 1)


def room(model: Model, x: F32, nearest: Nearest) -> tuple[Array, Array, F64]:
    """How far each value may go, down and up (n, d), and the length of the longest way there is (n,)."""
    low, high = (rows(np.float32(end) - x) for end in model.bounds)
    return low, high, nearest.measure.norm(np.maximum(-low, high).astype(np.float64))


def unit(gradient: Array) -> Array:
    """Rows (n, d) of length 1 in l2; zeros stay zeros."""
    peak = np.abs(gradient).max(axis=1, initial=0)
    scaled = gradient / np.where(peak > 0, peak, 1)[:, None]
    length = np.sqrt(np.einsum("nd,nd->n", scaled, scaled))
    scaled /= np.where(length > 0, length, 1)[:, None]
    return scaled


def cosine(step: int, steps: int, last: float) -> float:
    """From 1 at step 0 to `last` at `steps`."""
    return last + (1 - last) * (1 + math.cos(math.pi * step / steps)) / 2


def finish(model: Model, nearest: Nearest, criterion: Criterion, point: F32, search_steps: int) -> F32:
    """Look at the last point too, draw in what was found, and hand it back."""
    everyone = np.arange(len(point))
    nearest.offer(everyone, point, surely(criterion, model.logits(point)))
    nearest.suggest(everyone, point)
    nearest.draw_in(model, criterion, everyone, search_steps)
    return nearest.adv
