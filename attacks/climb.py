"""The ascent of Auto-PGD from one starting point: its steps, checkpoints and halvings. apgd.py uses it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from armour.contract import Model
from armour.criteria import Criterion
from armour.objective import Objective
from armour.regions import F32, Region, rows

from .clock import time_is_up
from .gradient import look, pull

Found = tuple[F32, F32, NDArray[np.bool_]]
_MOMENTUM = np.float32(0.75)  # share of the new step; the rest is the one before
_SPARSER = 1.5  # an l1 step moves so many times fewer coordinates than the best point has moved
_SHORTEST = 10.0  # and is at least so many times shorter than the first


def climb(
    model: Model,
    region: Region,
    criterion: Criterion,
    objective: Objective,
    start: F32,
    *,
    steps: int,
    rho: float,
    eot: int = 1,
    leave: bool = True,
) -> Found:
    """Go up the objective from `start` (n, ...) inside the region, by Auto-PGD.

    leave: a sample leaves as soon as an iterate meets the criterion; False to climb to the end. steps, rho,
    eot: as for APGD. Returns for each sample the iterate that met the criterion, or else the one with the
    largest objective; that objective (n,); and whether it met it (n,).
    """
    n = len(start)
    found, found_value, met = start.copy(), np.full(n, -np.inf, np.float32), np.zeros(n, bool)
    at, point, before = np.arange(n), start, start
    value, slope, now = pull(model, point, criterion, objective, eot)
    best, best_slope = point.copy(), slope.copy()
    best_value = np.where(np.isnan(value), np.float32(-np.inf), value)
    rule = _Sparse(region, start, steps) if region.distance.name == "l1" else _Halved(best_value, steps, rho)
    for step in range(steps + 1):
        if step:
            point, before = rule.step(region, point, before, slope, first=step == 1), point
            last = value
            if step < steps:
                value, slope, now = pull(model, point, criterion, objective, eot)
            else:
                value, now = look(model, point, criterion, objective, eot)
            better = value > best_value
            best_value[better] = value[better]
            if leave:
                better |= now
            best[better] = point[better]
            if step < steps:
                best_slope[better] = slope[better]
            rule.gains += value > last
        if leave and now.any():
            met[at[now]], found[at[now]], found_value[at[now]] = True, point[now], value[now]
            stay = ~now
            at, point, before, slope, value = at[stay], point[stay], before[stay], slope[stay], value[stay]
            best, best_slope, best_value = best[stay], best_slope[stay], best_value[stay]
            region, criterion, objective = region[stay], criterion[stay], objective[stay]
            rule.keep(stay)
        if step == steps or not at.size or time_is_up():
            break
        back = rule.check(step, region, best, best_value)
        if back is not None and back.any():
            point[back], slope[back] = best[back], best_slope[back]
    found[at], found_value[at] = best, best_value
    return found, found_value, met


class _Rule(ABC):
    """How long steps are, sample by sample, and at which of them that is looked at again."""

    _state: ClassVar[tuple[str, ...]]
    gains: NDArray[np.int64]  # (n,) iterates since the last checkpoint above the one before

    @abstractmethod
    def step(self, region: Region, point: F32, before: F32, slope: F32, *, first: bool) -> F32:
        """The next iterates, in new memory."""

    @abstractmethod
    def check(self, step: int, region: Region, best: F32, best_value: F32) -> NDArray[np.bool_] | None:
        """The samples (n,) that go back to their best point after that step; None if it is no checkpoint."""

    def keep(self, stay: NDArray[np.bool_]) -> None:
        """Go on with some of the samples."""
        for name in self._state:
            setattr(self, name, getattr(self, name)[stay])


class _Halved(_Rule):
    """linf and l2: momentum; steps halved where the search oscillates or stands still."""

    _state = ("length", "gains", "halved", "value")

    def __init__(self, value: F32, steps: int, rho: float) -> None:
        n = len(value)
        self.rho, self.length, self.value = rho, np.full(n, 2.0), value.copy()
        self.gains, self.halved = np.zeros(n, np.int64), np.ones(n, bool)
        self.gap = self.next = max(int(0.22 * steps), 1)
        self.least, self.shrink = max(int(0.06 * steps), 1), max(int(0.03 * steps), 1)

    def step(self, region: Region, point: F32, before: F32, slope: F32, *, first: bool) -> F32:
        moved = region.step(point, slope, self.length)
        if first:
            return moved
        # point + 3/4 of the step to there + 1/4 of the step before.
        moved *= _MOMENTUM
        moved += (2 - 2 * _MOMENTUM) * point
        moved -= (1 - _MOMENTUM) * before
        return region.project(moved)

    def check(self, step: int, region: Region, best: F32, best_value: F32) -> NDArray[np.bool_] | None:
        if step != self.next:
            return None
        back = (self.gains <= self.rho * self.gap) | (~self.halved & (self.value >= best_value))
        self.length[back] /= 2
        self.gains[:] = 0
        self.halved, self.value = back, best_value.copy()
        self.gap = max(self.gap - self.shrink, self.least)
        self.next += self.gap
        return back


class _Sparse(_Rule):
    """l1: steps along the steepest coordinates, the fewer the sparser the best point has become."""

    _state = ("length", "gains", "moved")

    def __init__(self, region: Region, start: F32, steps: int) -> None:
        self.length, self.gains = np.ones(len(start)), np.zeros(len(start), np.int64)
        self.moved = _changed(region, start)
        self.gap = self.next = max(int(0.04 * steps), 1)

    def step(self, region: Region, point: F32, before: F32, slope: F32, *, first: bool) -> F32:
        keep = np.maximum((self.moved / _SPARSER).astype(np.int64), 1)
        return region.moved(point, region.distance.sparsest(rows(slope), keep), self.length)

    def check(self, step: int, region: Region, best: F32, best_value: F32) -> NDArray[np.bool_] | None:
        if step != self.next:
            return None
        self.next += self.gap
        moved = _changed(region, best)
        back: NDArray[np.bool_] = moved < 0.95 * self.moved
        self.length = np.where(back, 1.0, np.maximum(self.length / _SPARSER, 1 / _SHORTEST))
        self.moved = moved
        return back


def _changed(region: Region, adv: F32) -> NDArray[np.int64]:
    """(n,) values that differ from x."""
    changed: NDArray[np.int64] = np.count_nonzero(rows(adv) != rows(region.x), axis=1)
    return changed
