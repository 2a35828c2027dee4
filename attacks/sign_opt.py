"""SignOPT: the direction in which the boundary is nearest, turned by the signs of its derivatives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.checks import count, positive
from armour.distances import Norm
from armour.regions import F32, F64, column, rows
from armour.rng import Streams

from .base import ATTACKS
from .black_box import LabelAsker, Rows
from .decision import WalkAttack, batches, begin, bracket

_BLOCK = 20  # directions of a sample that are drawn and asked together: the same at any batch size
_WIDTH = 1e-3  # how finely a distance is searched, as a share of itself
_STEPS = (4.0, 1.0, 0.25)  # step sizes tried at once, of the one that won last


@ATTACKS.register("sign-opt")
@dataclass(frozen=True, slots=True, kw_only=True)
class SignOPT(WalkAttack):
    """SignOPT: gradient descent on the distance to the boundary as a function of the direction.

    One query tells whether the boundary is nearer in a direction turned a little: the mean of many small
    turns, signed by the answers, is the estimated gradient. A step along it is kept if the boundary is nearer
    there, of three step sizes the one with the nearest.

    queries, starts: as for WalkAttack. turns: small turns asked about for each step. radius: their size, as a
    share of the direction's length. step: length of the first step, likewise.
    Cheng et al., 2020, https://arxiv.org/abs/1909.10773.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l2",)

    norm: Norm = "l2"
    turns: int = 100
    radius: float = 0.01
    step: float = 0.2

    def __post_init__(self) -> None:
        WalkAttack.__post_init__(self)
        count("turns", self.turns)
        positive("radius", self.radius)
        positive("step", self.step)

    def find(self, asker: LabelAsker, x: F32, *, rng: Streams) -> None:
        """As DecisionAttack.find."""
        at = begin(asker, rng.child(0), self.starts)
        size = math.prod(x.shape[1:])
        way = np.zeros((len(x), size), np.float32)  # of length 1
        way[at] = self._unit(rows(asker.nearest[at] - x[at]))
        long = np.zeros(len(x))  # how far along the way the boundary is
        long[at] = self._halve(asker, at, way[at], asker.distance[at])
        step = np.full(len(x), self.step)
        for turn in range(1, asker.budget):
            at = at[(asker.left(at) > 0) & (long[at] > 0) & (step[at] > 1e-4)]
            if not at.size:
                break
            slope = self._slope(asker, at, way[at], long[at], rng[at].child(turn))
            won = np.zeros(len(at))
            for factor in _STEPS:
                turned = self._unit(way[at] - (factor * step[at])[:, None].astype(np.float32) * slope)
                tried = long[at] * (1 - _WIDTH)
                met = asker.met(at, self._points(asker, at, turned, tried))
                who = np.flatnonzero(met)
                if not who.size:
                    continue
                long[at[who]] = self._halve(asker, at[who], turned[who], tried[who])
                way[at[who]], won[who] = turned[who], factor
            step[at] *= np.where(won > 0, won, 0.25)
            np.minimum(step, 1.0, out=step)

    def _points(self, asker: LabelAsker, at: Rows, way: F32, long: F64) -> F32:
        x = asker.x[at]
        push = way.reshape(x.shape) * column(long.astype(np.float32), x.ndim)
        push += x
        return asker.clipped(push)

    def _halve(self, asker: LabelAsker, at: Rows, way: F32, far: F64) -> F64:
        return bracket(
            asker,
            at,
            lambda i, long: self._points(asker, at[i], way[i], long),
            np.zeros(len(at)),
            far,
            _WIDTH * far,
        )

    def _slope(self, asker: LabelAsker, at: Rows, way: F32, long: F64, rng: Streams) -> F32:
        """(m, d) of length 1: where the boundary is soon further, by the signs of small turns."""
        total = np.zeros_like(way)
        for part in batches(len(at), _BLOCK, asker.model.batch_size):
            for block in range(-(-self.turns // _BLOCK)):
                number = min(_BLOCK, self.turns - block * _BLOCK)
                push = rng[part].child(block).uniform((_BLOCK, way.shape[1]), -1, 1)[:, :number]
                push /= np.sqrt(np.einsum("npd,npd->np", push, push))[..., None]
                who = np.repeat(np.arange(part.start, min(part.stop, len(at))), number)
                turned = self._unit(way[who] + np.float32(self.radius) * push.reshape(len(who), -1))
                there = self._points(asker, at[who], turned, long[who])
                met = asker.met(at[who], there, keep=False)
                sign = np.where(met, np.float32(-1), np.float32(1)).reshape(-1, 1, number)
                total[part] += np.matmul(sign, push)[:, 0]
        return self._unit(total)

    def _unit(self, delta: F32) -> F32:
        """(m, d) with rows of length 1; a row of zeros stays."""
        made: F32 = delta / np.maximum(self.distance.norm(delta), 1e-30).astype(np.float32)[:, None]
        return made
