"""Populations of inputs, one for each sample, whose members are asked about together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armour.criteria import Loss
from armour.regions import F32, F64, Region
from armour.rng import Streams

from .black_box import Asker
from .clock import time_is_up


class Members:
    """The populations of the samples that are still unbroken and have questions left.

    left: (m,) their numbers. point: (m, k, ...) members in the region. value: (m, k) their objectives.
    stalled: (m,) rounds since the best objective grew. best: (n, ...) for every sample the member that broke
    it, or else the best.
    """

    def __init__(self, asker: Asker, region: Region, members: int, loss: str | Loss) -> None:
        self.asker, self.region, self.members, self.loss = asker, region, members, loss
        n = len(region)
        self.left = np.arange(n)
        self.best = region.x.copy()
        self.top = np.full(n, -np.inf, np.float32)
        self.point = np.repeat(region.x[:, None], members, axis=1)
        self.value = np.full((n, members), -np.inf, np.float32)
        self.stalled = np.zeros(n, np.int64)

    @property
    def going(self) -> bool:
        """Whether there is anything left to ask, and time for it."""
        if not len(self.left) or time_is_up():
            return False
        return int(self.asker.left(self.left[:1])[0]) > 0

    def regions(self, each: int | None = None) -> Region:
        """The region of each member, or of `each` members a sample: (m * each, ...)."""
        return self.region[np.repeat(self.left, self.members if each is None else each)]

    def scores(self, tried: F32) -> tuple[F32, NDArray[np.bool_]]:
        """Objectives (m, k) of members (m * k, ...), and whether they meet the criterion.

        Where questions run out, the last members of each sample are not asked: -inf. What is better than the
        best of its sample is kept.
        """
        m = len(self.left)
        k = len(tried) // m
        asked = min(k, int(self.asker.left(self.left[:1])[0]))
        tried = tried.reshape(m, k, *tried.shape[1:])
        questions = tried[:, :asked].reshape(-1, *tried.shape[2:])
        some, broken = self.asker.scores(np.repeat(self.left, asked), questions, self.loss)
        value, met = np.full((m, k), -np.inf, np.float32), np.zeros((m, k), bool)
        value[:, :asked], met[:, :asked] = some.reshape(m, asked), broken.reshape(m, asked)
        # A member that meets the criterion comes before any other, whatever its objective.
        first = np.where(met.any(axis=1), met.argmax(axis=1), value.argmax(axis=1))
        row = np.arange(m)
        grown = met.any(axis=1) | (value[row, first] > self.top[self.left])
        here = self.left[grown]
        self.best[here], self.top[here] = tried[row, first][grown], value[row, first][grown]
        self.stalled = np.where(grown, 0, self.stalled + 1)
        return value, met

    def ask(self, tried: F32) -> NDArray[np.bool_]:
        """Take these members (m * k, ...) for the population; (m,) True for the samples that stay."""
        value, met = self.scores(tried)
        self.point, self.value = tried.reshape(len(self.left), -1, *tried.shape[1:]), value
        return self.keep(~np.asarray(met.any(axis=1)))

    def breed(self, children: F32) -> None:
        """The best member of each population, and these children (m * (k - 1), ...), are the next one."""
        row, elite = np.arange(len(self.left)), self.value.argmax(axis=1)
        top, value = self.point[row, elite][:, None], self.value[row, elite][:, None]
        now, met = self.scores(children)
        children = children.reshape(len(row), -1, *children.shape[1:])
        self.point = np.concatenate([top, children], axis=1)
        self.value = np.concatenate([value, now], axis=1)
        self.keep(~np.asarray(met.any(axis=1)))

    def keep(self, stay: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Go on with these samples (m,) alone."""
        self.left, self.stalled = self.left[stay], self.stalled[stay]
        self.point, self.value = self.point[stay], self.value[stay]
        return stay


def fan(streams: Streams, members: int) -> Streams:
    """Streams for each of `members` of each sample, (n * members,)."""
    keys = np.stack([streams.child(number).keys for number in range(members)], axis=1)
    return Streams(keys.reshape(-1))


def weights(value: F32, temperature: float) -> F64:
    """(m, k) the softmax of value / temperature, even where no value is a number."""
    top = value.max(axis=1, keepdims=True).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where(np.isfinite(top), value - top, 0.0) / temperature
    share: F64 = np.exp(gap)
    share /= share.sum(axis=1, keepdims=True)
    return share


def chance(streams: Streams, size: int, probability: F64) -> NDArray[np.bool_]:
    """(n, size) True with these probabilities (n,)."""
    return np.asarray(streams.uniform((size,)) < probability[:, None])
