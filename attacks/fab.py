"""FAB: fast adaptive boundary attacks, for the nearest input of another class."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from armour.checks import count, fraction, positive
from armour.contract import Model
from armour.criteria import Criterion
from armour.objective import Objective
from armour.regions import F32, F64, rows
from armour.rng import Streams
from armour.tensor.core import Tensor
from armour.tensor.shape import take_along_axis

from .base import ATTACKS, MinimizationAttack, by_budget
from .clock import time_is_up
from .gradient import finite, labels_of, other_classes
from .nearest import Nearest, as_point
from .retreat import nearly, surely
from .search import Counted, Found

Rows: TypeAlias = NDArray[np.int64]
Plane: TypeAlias = tuple[F32, F32, F32]
# Values of the samples that a step looks at together: its many passes stay in the cache, and in small memory.
_VALUES = 1 << 15


@ATTACKS.register("fab")
@dataclass(frozen=True, slots=True, kw_only=True)
class FAB(MinimizationAttack):
    """Fast adaptive boundary attack: projects onto the boundary of the nearest class, time and again.

    Each step takes the logits for linear. From where it is and from x itself it goes the shortest ways inside
    the bounds to the nearest boundary, a little further, and to a point between these two ends. From an input
    that meets the criterion it first goes back towards x. The nearest of all is kept, and at last drawn
    towards x as far as it goes. Each step costs a gradient for each wrong class; towards a class that was
    asked for, one. Needs gradients.

    steps: projections per restart. restarts: runs; the first starts from x, later ones from random points
    half as far away as the nearest input found. alpha_max: largest weight of the way from x, in [0, 1].
    eta: length of the ways beyond the boundary, 1 for up to it. beta: share of the way from x that is kept
    when going back, in (0, 1]. search_steps: queries of the search between x and the nearest input found.
    Raises UnsupportedError if the model is a black box.
    Croce and Hein, 2020, https://arxiv.org/abs/1907.02044.
    """

    through_classes: ClassVar[bool] = True

    steps: int = 100
    restarts: int = 1
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9
    search_steps: int = 3

    def __post_init__(self) -> None:
        MinimizationAttack.__post_init__(self)
        count("steps", self.steps)
        count("restarts", self.restarts)
        fraction("alpha_max", self.alpha_max)
        positive("eta", self.eta)
        fraction("beta", self.beta)
        count("search_steps", self.search_steps, 0)

    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """As MinimizationAttack.run."""
        return self._within(model, x, criterion, np.zeros(len(x)), rng)

    def search(
        self,
        model: Model,
        x: F32,
        criterion: Criterion,
        budgets: tuple[float, ...],
        rng: Streams,
        due: NDArray[np.bool_],
    ) -> Iterator[Found]:
        """As Attack.search; a sample leaves once it is broken within the smallest budget it is due in."""
        limit = np.where(due, np.asarray(budgets)[:, None], np.inf).min(axis=0)
        adv = self._within(model, x, criterion, np.where(np.isfinite(limit), limit, 0), rng[:])
        yield from by_budget(Counted(adv), due)

    def _within(self, model: Model, x: F32, criterion: Criterion, limit: F64, rng: Streams) -> F32:
        """The nearest inputs found; a sample leaves once its distance is at most its limit (n,)."""
        nearest = Nearest(self.distance, x)
        goals = self._goals(model.logits(x), criterion)
        for restart in range(self.restarts):
            for number in range(goals.shape[1]):
                left = np.flatnonzero(nearest.distance > limit)
                if not left.size or time_is_up():
                    return nearest.adv
                start = x[left]
                if restart:
                    draws = rng[left].child(restart * goals.shape[1] + number)
                    start = self._start(model, start, nearest.distance[left], draws)
                self._walk(model, nearest, criterion, goals[:, number], left, start, limit)
        if not time_is_up():
            nearest.draw_in(model, criterion, np.flatnonzero(nearest.distance > limit), self.search_steps)
        return nearest.adv

    def _goals(self, logits: F32, criterion: Criterion) -> Rows:
        """(n, runs, classes): in each run the classes whose boundaries are looked at.

        None for a class that was asked for, whose boundary is with the largest other logit.
        """
        if criterion.direction < 0 or logits.shape[1] < 2:
            return np.empty((len(logits), 1, 0), np.int64)
        return other_classes(logits, labels_of(criterion))[:, None, :]

    def _start(self, model: Model, x: F32, distance: F64, draws: Streams) -> F32:
        """Random points around x, half as far away as what was found (n,)."""
        size = math.prod(x.shape[1:])
        # Where nothing was found, some other input of the model's is this near.
        radius = np.where(np.isfinite(distance), distance, self.distance.longest(size, model.bounds.span) / 4)
        delta = self.distance.sample_ball(draws, size, radius / 2)
        return as_point(x + delta.reshape(x.shape), model)

    def _walk(
        self,
        model: Model,
        nearest: Nearest,
        criterion: Criterion,
        goals: Rows,
        left: Rows,
        point: F32,
        limit: F64,
    ) -> None:
        """One run from `point` (m, ...) for the samples `left` (m,)."""
        goal, goals, x = criterion[left], goals[left], nearest.x[left]
        for step in range(self.steps + 1):
            if time_is_up():
                return
            if step == self.steps:
                nearest.offer(left, point, surely(goal, model.logits(point)))
                nearest.suggest(left, point)
                return
            value, gradient, logits = self._plane(model, point, goal, goals)
            nearest.offer(left, point, surely(goal, logits))
            met = nearly(goal, logits)
            stay = nearest.distance[left] > limit[left]
            if not stay.all():
                left, x, point, met = left[stay], x[stay], point[stay], met[stay]
                value, gradient, goal, goals = value[stay], gradient[stay], goal[stay], goals[stay]
                if not left.size:
                    return
            point = self._step(model, x, point, met, value, gradient)

    def _plane(self, model: Model, point: F32, criterion: Criterion, goals: Rows) -> Plane:
        """A value (m,) that is 0 on the nearest boundary and above 0 beyond it, its gradient, the logits."""
        if not goals.shape[1]:
            value, gradient, logits = model.gradient(point, criterion.objective("margin"))
            return value, finite(gradient), logits
        best = np.full(len(point), np.inf)
        values, gradients = np.zeros(len(point), np.float32), np.zeros_like(point)
        for goal in goals.T:
            pairs = np.stack([goal, labels_of(criterion)], axis=1)
            value, gradient, logits = model.gradient(point, Objective(gap, pairs))
            gradient = finite(gradient)
            if goals.shape[1] == 1:
                return value, gradient, logits
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                ahead = np.abs(value) / self.distance.slope(rows(gradient))
            nearer = ahead < best
            best[nearer], values[nearer], gradients[nearer] = ahead[nearer], value[nearer], gradient[nearer]
        return values, gradients, logits

    def _step(
        self, model: Model, x: F32, point: F32, met: NDArray[np.bool_], value: F32, gradient: F32
    ) -> F32:
        """Towards the plane where value + <gradient, . - point> is 0, from `point` and from x."""
        moved, size = np.empty_like(x), max(1, _VALUES // max(math.prod(x.shape[1:]), 1))
        for first in range(0, len(x), size):
            few = slice(first, first + size)
            moved[few] = self._moved(model, x[few], point[few], met[few], value[few], gradient[few])
        return moved

    def _moved(
        self, model: Model, x: F32, point: F32, met: NDArray[np.bool_], value: F32, gradient: F32
    ) -> F32:
        """The step of samples that are few enough for the cache."""
        low, high = (np.float32(end) for end in model.bounds)
        at, normal = rows(x), rows(gradient)
        # In the scale of the largest slope, so that nothing below overflows or vanishes.
        peak = np.abs(normal).max(axis=1, initial=0)
        peak[peak == 0] = 1
        with np.errstate(over="ignore"):
            normal = normal / peak[:, None]
            value = np.nan_to_num(np.nan_to_num(value) / peak)
        away = at - rows(point)
        back = np.where(met, np.float32(1 - self.beta), np.float32(0))
        rise = np.einsum("nd,nd->n", normal, away)
        away *= back[:, None]
        there = np.add(rows(point), away, out=away)
        ends, lengths = [], []
        for start, drop in ((there, -value - rise * back), (at, -value - rise)):
            along = normal * np.sign(drop)[:, None]
            way = self.distance.shortest(along, low - start, high - start, np.abs(drop))
            lengths.append(self.distance.norm(way))
            way *= np.float32(self.eta)
            way += start
            ends.append(way)
        total = lengths[0] + lengths[1]
        share = np.minimum(lengths[0] / np.where(total > 0, total, 1), self.alpha_max)
        ends[1] -= ends[0]
        ends[1] *= share.astype(np.float32)[:, None]
        ends[0] += ends[1]
        return as_point(ends[0].reshape(x.shape), model)


@ATTACKS.register("fab-t")
@dataclass(frozen=True, slots=True, kw_only=True)
class FABT(FAB):
    """Targeted FAB: one run of FAB for each of the most likely wrong classes, towards its boundary alone.

    Each step costs one gradient, however many classes there are. A class that was asked for has one run.

    targets: wrong classes, the most likely at x first; at most as many as there are. All else as for FAB.
    Raises UnsupportedError if the model is a black box.
    Croce and Hein, 2020, https://arxiv.org/abs/1907.02044 and https://arxiv.org/abs/2003.01690.
    """

    targets: int = 9

    def __post_init__(self) -> None:
        FAB.__post_init__(self)
        count("targets", self.targets)

    def _goals(self, logits: F32, criterion: Criterion) -> Rows:
        if criterion.direction < 0 or logits.shape[1] < 2:
            return FAB._goals(self, logits, criterion)
        return other_classes(logits, labels_of(criterion))[:, : self.targets, None]


def gap(logits: Tensor, pairs: Any) -> Tensor:
    """The first of two logits minus the second, (n,); pairs: (n, 2) classes."""
    both = take_along_axis(logits, pairs, 1)
    return both[:, 0] - both[:, 1]
