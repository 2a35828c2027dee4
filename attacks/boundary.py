"""Boundary: a random walk along the boundary towards the input, by labels alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.checks import positive
from armour.distances import Norm
from armour.regions import F32, F64, rows
from armour.rng import Streams

from .base import ATTACKS
from .black_box import LabelAsker, Rows
from .decision import WalkAttack, begin, dot, straight

_EVERY = 10  # every so many turns the sideways step is asked about by itself
_ASIDE = 0.5  # share of sideways steps that shall stay outside: half do where the boundary is straight
_NEARER = 0.25  # share of whole steps that shall stay outside
_RATE = 0.1  # how fast the step sizes follow those shares
_SMALLEST = 1e-5  # step sizes below which nothing is left to find


@ATTACKS.register("boundary")
@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary(WalkAttack):
    """Boundary attack: random steps sideways and a little nearer, kept where they meet the criterion.

    Each query is one step: a random direction on the sphere around x, then a share of the way to x. Both step
    sizes grow and shrink for each sample so that half of the sideways steps and a quarter of the whole steps
    are kept. It needs many queries; HopSkipJump and its relatives need fewer.

    queries, starts: as for WalkAttack. aside: first step sideways, as a share of the distance. nearer: first
    step towards x, likewise.
    Brendel et al., 2018, https://arxiv.org/abs/1712.04248.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l2",)

    norm: Norm = "l2"
    queries: int = 5000
    aside: float = 0.1
    nearer: float = 0.05

    def __post_init__(self) -> None:
        WalkAttack.__post_init__(self)
        positive("aside", self.aside)
        positive("nearer", self.nearer)

    def find(self, asker: LabelAsker, x: F32, *, rng: Streams) -> None:
        """As DecisionAttack.find."""
        at = begin(asker, rng.child(0), self.starts)
        straight(asker, at, asker.nearest[at], 1e-2)
        aside, nearer = np.full(len(x), self.aside), np.full(len(x), self.nearer)
        for turn in range(1, asker.budget):
            at = at[(asker.left(at) > 0) & (asker.distance[at] > 0) & (nearer[at] > _SMALLEST)]
            if not at.size:
                break
            around = _sideways(asker, at, aside[at], rng[at].child(turn))
            if turn % _EVERY == 1:
                # Not a step: it is as far away as before, and only rounding could make it nearer.
                whole = asker.clipped(x[at] + around.reshape(-1, *x.shape[1:]))
                met = asker.met(at, whole, keep=False)
                aside[at] *= np.exp(_EVERY * _RATE / 2 * (met - _ASIDE))
            around *= (1 - np.minimum(nearer[at], 0.5))[:, None].astype(np.float32)
            met = asker.met(at, asker.clipped(x[at] + around.reshape(-1, *x.shape[1:])))
            nearer[at] *= np.exp(_RATE * (met - _NEARER))
            np.minimum(aside, 1.0, out=aside)


def _sideways(asker: LabelAsker, at: Rows, step: F64, streams: Streams) -> F32:
    """(m, d) differences from x of the nearest inputs, turned by a random step of that size."""
    away = rows(asker.nearest[at] - asker.x[at])
    length = asker.distance[at]
    away /= length[:, None].astype(np.float32)
    push = streams.normal((math.prod(asker.x.shape[1:]),))
    push -= dot(push, away)[:, None] * away
    push *= (step / np.maximum(np.sqrt(dot(push, push)), 1e-30))[:, None].astype(np.float32)
    away += push
    away *= (length / np.sqrt(1 + step**2))[:, None].astype(np.float32)
    return away
