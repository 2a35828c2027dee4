"""SimBA: one direction of an orthonormal basis after the other, by scores alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from armour.checks import one_of, positive
from armour.distances import Norm
from armour.regions import F32, rows
from armour.rng import Streams

from .base import ATTACKS
from .black_box import Asker, Rows, ScoreAttack
from .clock import time_is_up
from .estimation import ROUNDING
from .layout import planes

Basis: TypeAlias = Literal["pixel", "dct"]


@ATTACKS.register("simba")
@dataclass(frozen=True, slots=True, kw_only=True)
class SimBA(ScoreAttack):
    """Simple black-box attack: steps along the directions of a basis, kept if the objective has grown.

    Each sample takes the directions in a random order of its own, without repetition until all are used up:
    a step forward, and if that is no better, a step backward. What leaves the budget is projected onto it;
    a step that then changes nothing is not asked about. Only asks for scores; a model that gives labels
    alone shows it no way.

    queries, loss: as for ScoreAttack. basis: "pixel", single values; or "dct", the cosine functions of each
    channel, those of the lowest eighth of the frequencies first, then those of the next. step_size: length of
    a step as a fraction of epsilon; None for 1 in linf and 0.2 in l2.
    Guo et al., 2019, https://arxiv.org/abs/1905.07121.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    basis: Basis = "pixel"
    step_size: float | None = None

    def __post_init__(self) -> None:
        ScoreAttack.__post_init__(self)
        one_of("basis", self.basis, ("pixel", "dct"))
        if self.step_size is not None:
            positive("step_size", self.step_size)

    def find(self, asker: Asker, x: F32, epsilon: float, *, rng: Streams) -> F32:
        """As ScoreAttack.find."""
        region = self.region(asker.model, x, epsilon)
        shape = planes(x.shape[1:])
        length = epsilon * (self.step_size or (1.0 if self.norm == "linf" else 0.2))
        best, value = x.copy(), np.full(len(x), -np.inf, np.float32)
        order = self._order(shape, rng.child(0))
        # What each sample is at: how many directions are behind it, the sign, and steps that led nowhere.
        turn, sign = np.zeros(len(x), np.int64), np.ones(len(x), np.float32)
        idle = np.zeros(len(x), np.int64)
        # The score of the input itself is the first that a step has to exceed.
        left = np.arange(len(x))
        value[left], met = asker.scores(left, best, self.loss)
        left = left[~met]
        while left.size and not time_is_up():
            left = left[(asker.left(left) > 0) & (idle[left] < 2 * order.shape[1])]
            if not left.size:
                break
            number = order[left, turn[left] % order.shape[1]]
            move = directions(self.basis, shape, number)
            if self.norm == "linf":
                move /= np.abs(move).max(axis=1, keepdims=True, initial=1e-30)
            move *= (sign[left] * np.float32(length))[:, None]
            tried = region[left].project(best[left] + move.reshape(len(left), *x.shape[1:]))
            moved = rows(tried != best[left]).any(axis=1)
            asked = left[moved]
            now, met = asker.scores(asked, tried[moved], self.loss)
            least = np.where(np.isfinite(value[asked]), ROUNDING * np.abs(value[asked]), np.float32(0))
            better = met | (now > value[asked] + least)
            kept = asked[better]
            best[kept], value[kept] = tried[moved][better], now[better]
            idle[left] = np.where(moved, 0, idle[left] + 1)
            done = sign[left] < 0  # both ways were tried
            done[np.flatnonzero(moved)[better]] = True
            turn[left[done]] += 1
            sign[left] = np.where(done, np.float32(1), np.float32(-1))
            broken = np.zeros(len(x), bool)
            broken[asked[met]] = True
            left = left[~broken[left]]
        return best

    def _order(self, shape: tuple[int, int, int], streams: Streams) -> Rows:
        """(n, k) the directions of each sample, in turn; no more than it has questions for."""
        size = math.prod(shape)
        key = streams.uniform((size,), dtype=np.float64)
        if self.basis == "dct":
            _, i, j = np.unravel_index(np.arange(size), shape)
            # Frequencies in eighths of each side, the higher of the two.
            key += np.maximum(8 * i // shape[1], 8 * j // shape[2])
        return np.argsort(key, axis=1, kind="stable")[:, : self.queries].astype(np.int32)


def directions(basis: Basis, shape: tuple[int, int, int], number: NDArray[np.integer]) -> F32:
    """(m, c * h * w) the basis' directions of these numbers (m,), each of Euclidean length 1."""
    c, i, j = np.unravel_index(number, shape)
    made = np.zeros((len(number), *shape), np.float32)
    at = np.arange(len(number))
    if basis == "pixel":
        made[at, c, i, j] = 1
    else:
        made[at, c] = _cosines(shape[1], i)[:, :, None] * _cosines(shape[2], j)[:, None, :]
    return rows(made)


def _cosines(size: int, frequency: NDArray[np.integer]) -> F32:
    """(m, size) orthonormal cosine functions (DCT-II) of these frequencies (m,)."""
    angle = np.pi / size * (np.arange(size) + 0.5)
    weight = np.where(frequency == 0, math.sqrt(1 / size), math.sqrt(2 / size))
    return np.asarray(weight[:, None] * np.cos(frequency[:, None] * angle), np.float32)
