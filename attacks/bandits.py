"""Bandits: a guess of the gradient, carried from step to step and shared by neighbouring pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.checks import count, positive
from armour.distances import Norm
from armour.regions import F32, rows
from armour.rng import Streams

from .base import ATTACKS
from .black_box import Asker, ScoreAttack
from .clock import time_is_up
from .estimation import away, inner, inside
from .layout import cells, planes


@ATTACKS.register("bandits")
@dataclass(frozen=True, slots=True, kw_only=True)
class Bandits(ScoreAttack):
    """Bandit optimisation with priors over time and data.

    Each sample has a guess of its gradient, one number for each square tile of a channel. A step asks two
    questions, near the point along the guess with a random change added and taken away; the guess moves along
    the change by their difference, as in online learning (exponentiated gradients in linf), the point along
    the guess; and one question is asked at the new point. Differences are measured by their root mean square
    so far, so that neither the units nor the scale of the scores matter. Questions inside the budget that
    break the sample are kept. Only asks for scores; a model that gives labels alone shows it no way.

    queries, loss: as for ScoreAttack. tile: side of the tiles, in pixels; 1 for no prior over data. sigma:
    distance of the questions from the point, as root mean square over the values, a fraction of the span of
    the bounds. exploration: size of the random change beside the guess. step_size: length of a step, as a
    fraction of epsilon.
    Ilyas et al., 2019, https://arxiv.org/abs/1807.07978.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    tile: int = 2
    sigma: float = 0.01
    exploration: float = 0.1
    step_size: float = 0.1

    def __post_init__(self) -> None:
        ScoreAttack.__post_init__(self)
        count("tile", self.tile)
        positive("sigma", self.sigma)
        positive("exploration", self.exploration)
        positive("step_size", self.step_size)

    def find(self, asker: Asker, x: F32, epsilon: float, *, rng: Streams) -> F32:
        """As ScoreAttack.find."""
        region = self.region(asker.model, x, epsilon)
        cell, number = cells(planes(x.shape[1:]), self.tile)
        apart = np.float32(away(self.sigma, self.grid, asker.model.bounds))
        point, best = x.copy(), x.copy()
        value = np.full(len(x), -np.inf, np.float32)
        guess = np.zeros((len(x), number), np.float32)
        square, steps = np.zeros(len(x), np.float64), 0
        left = np.arange(len(x))
        while left.size and not time_is_up() and int(asker.left(left[:1])[0]) >= 3:
            part = region[left]
            low, high = inner(part, 2 * float(apart))
            change = rng[left].child(steps).normal((number,))
            # Two questions (m, 2, d) along the guess and the change, about one point.
            middle, prior = np.clip(rows(point[left]), low, high), self._prior(guess[left])
            sides = [prior + self.exploration * change, prior - self.exploration * change]
            asked = np.stack([middle + apart * _scaled(side)[:, cell] for side in sides], axis=1)
            np.maximum(asked, rows(part.low)[:, None], out=asked)
            np.minimum(asked, rows(part.high)[:, None], out=asked)
            questions = asked.reshape(-1, *x.shape[1:])
            owner = np.repeat(np.arange(len(left)), 2)
            scores, met = asker.scores(left[owner], questions, self.loss)
            hits = np.flatnonzero(met)
            hits = hits[inside(part, owner[hits], questions[hits])]
            whose, place = np.unique(owner[hits], return_index=True)
            best[left[whose]] = questions[hits[place]]
            stay = np.ones(len(left), bool)
            stay[whose] = False
            pair, steps = scores.reshape(-1, 2).astype(np.float64), steps + 1
            with np.errstate(invalid="ignore"):
                slope = pair[:, 0] - pair[:, 1]
            slope = np.where(np.isfinite(slope), slope, 0.0)
            square[left] += slope**2
            usual = np.sqrt(square[left] / steps)
            slope = np.divide(slope, usual, out=np.zeros_like(slope), where=usual > 0)
            guess[left] += (_RATE * slope[:, None] * change).astype(np.float32)
            left, part = left[stay], part[stay]
            if not left.size:
                break
            along = self._prior(guess[left])[:, cell].reshape(-1, *x.shape[1:])
            tried = part.step(point[left], along, self.step_size)
            now, met = asker.scores(left, tried, self.loss)
            point[left] = tried
            better = met | (now > value[left])
            best[left[better]], value[left[better]] = tried[better], now[better]
            left = left[~met]
        return best

    def _prior(self, guess: F32) -> F32:
        """The guesses (m, tiles): exponentiated gradients keep those of linf in (-1, 1)."""
        return np.tanh(guess) if self.norm == "linf" else guess


# How far a usual difference moves the guess along the change.
_RATE = 0.1


def _scaled(direction: F32) -> F32:
    """(m, tiles) with a root mean square of 1."""
    root: F32 = np.sqrt(np.mean(direction**2, axis=1, keepdims=True), dtype=np.float32)
    root[root == 0] = 1
    return direction / root
