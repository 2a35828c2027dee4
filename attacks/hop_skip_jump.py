"""HopSkipJump: the nearest input across the boundary, by labels alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.checks import count, fraction, positive
from armour.distances import Norm
from armour.regions import F32, F64, column, rows
from armour.rng import Streams

from .base import ATTACKS
from .black_box import LabelAsker, Rows
from .decision import WalkAttack, begin, bracket, dot, straight
from .probes import slope

_LEAST = 12  # queries below which no further turn is begun
_SAVED = 8  # queries that a turn keeps for its step
# Until these shares of the queries are spent, probes are smooth: all of them, and then every other one.
_SMOOTH = (0.25, 0.6)
_SIZES = (2.0, 1.0, 0.5)  # linf: step sizes raced, as multiples of the one that won last
_DROPS = tuple(0.004 * 3.0**k for k in range(6))  # linf: shares of the distance to save, one after the other


@ATTACKS.register("hop-skip-jump")
@dataclass(frozen=True, slots=True, kw_only=True)
class HopSkipJump(WalkAttack):
    """HopSkipJump: estimates the slope of the boundary from labels, and steps along it.

    Each turn asks about random points around the nearest input known, takes the mean of their directions,
    signed by the answers, for the slope, and looks for the step that brings it nearest: in l2 on the half
    circle over the way to x in the plane of the slope, where a straight boundary's nearest point lies; in
    linf by three step sizes that race each other, clipped to ever shorter distances. A sample never goes
    back. Its queries are spent to the last: further turns cost more probes, and the last ends the search for
    its step early.

    queries, starts: as for WalkAttack. probes: points asked about in the first turn; turn t asks about
    sqrt(t) times as many. radius: how far from the nearest input they lie, as a share of its l2 distance from
    x. memory: share, in [0, 1], of the old slopes that is kept when the search has moved on; 0 for each turn
    by itself. smooth: on images, early probes are coarse (squares of pixels), which finds a slope sooner;
    False for probes of single pixels throughout.
    Chen et al., 2020, https://arxiv.org/abs/1904.02144. The half circle: Reza et al., 2023,
    https://arxiv.org/abs/2308.03163; coarse probes: Li et al., 2020, https://arxiv.org/abs/2005.14137.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l2", "linf")

    norm: Norm = "l2"
    probes: int = 50
    radius: float = 0.03
    memory: float = 0.5
    smooth: bool = True

    def __post_init__(self) -> None:
        WalkAttack.__post_init__(self)
        count("probes", self.probes)
        positive("radius", self.radius)
        fraction("memory", self.memory)

    def find(self, asker: LabelAsker, x: F32, *, rng: Streams) -> None:
        """As WalkAttack.find."""
        fine = self.radius / math.sqrt(math.prod(x.shape[1:]))  # what a probe moves along the slope
        at = begin(asker, rng.child(0), self.starts)
        straight(asker, at, asker.nearest[at], fine)
        slopes, size = np.zeros_like(x), np.full(len(x), 0.5)
        step = _turn if self.norm == "l2" else _race
        for turn in range(1, asker.budget):
            at = at[(asker.left(at) >= _LEAST) & (asker.distance[at] > 0)]
            if not at.size:
                break
            probes = np.minimum(int(self.probes * math.sqrt(turn)), asker.left(at) - _SAVED)
            spent = asker.used[at] / asker.budget
            every = np.where(spent < _SMOOTH[0], 1, np.where(spent < _SMOOTH[1], 2, 0)) * self.smooth
            found = slope(asker, at, rng[at].child(turn), probes, self.radius, every)
            found *= column(np.sqrt(probes).astype(np.float32), x.ndim)
            slopes[at] += found
            before = asker.distance[at]
            size[at] = step(asker, at, slopes[at], size[at], fine)
            slopes[at[asker.distance[at] < before]] *= np.float32(self.memory)
        straight(asker, at, asker.nearest[at], fine / 8)


def _turn(asker: LabelAsker, at: Rows, slopes: F32, angle: F64, fine: float) -> F64:
    """The l2 step: the largest angle on the half circle that meets the criterion; a guess for the next, (m,).

    A point at that angle from the nearest input lies at its cosine of the distance from x.
    """
    x, length = rows(asker.x[at]), asker.distance[at]
    along = (rows(asker.nearest[at]) - x) / length[:, None].astype(np.float32)
    side = rows(slopes) - dot(rows(slopes), along)[:, None] * along
    side /= np.maximum(np.sqrt(dot(side, side)), 1e-30)[:, None]

    def points(who: Rows, angle: F64) -> F32:
        reach = length[who] * np.cos(angle)
        made = x[who] + (reach * np.cos(angle))[:, None].astype(np.float32) * along[who]
        made += (reach * np.sin(angle))[:, None].astype(np.float32) * side[who]
        return asker.clipped(made.reshape(-1, *asker.x.shape[1:]))

    no = np.clip(1.4 * angle, 0.01, 1.0)
    yes = np.zeros(len(at))
    who = np.arange(len(at))
    for _ in range(7):
        met = asker.met(at[who], points(who, no[who]))
        who = who[met]
        if not who.size:
            break
        yes[who] = no[who]
        no[who] = np.minimum(1.6 * yes[who], (yes[who] + np.pi / 2) / 2)
    width = np.clip(fine / no, 2e-3, 0.05)
    yes = bracket(asker, at, points, no, yes, width)
    return np.maximum(yes, angle / 3)


def _race(asker: LabelAsker, at: Rows, slopes: F32, size: F64, fine: float) -> F64:
    """The linf step: the step size that saves most of the distance; the size that won, (m,)."""
    x, edge, length, norm = asker.x[at], asker.nearest[at], asker.distance[at], asker.norm
    low, high = (np.float32(end) for end in tuple(asker.model.bounds))
    push = norm.steepest(rows(slopes), rows(low - edge), rows(high - edge)).reshape(x.shape)
    push = push * column(length.astype(np.float32), x.ndim)

    def points(who: Rows, long: F64, drop: F64) -> F32:
        far = asker.clipped(edge[who] + column(long.astype(np.float32), x.ndim) * push[who])
        share = (1 - drop) * length[who] / np.maximum(norm.measure(x[who], far), 1e-30)
        return asker.clipped(norm.toward(x[who], far, share))

    sizes = size[:, None] * np.asarray(_SIZES)
    alive = np.ones(sizes.shape, bool)
    won, yes, no = np.full(len(at), -1), np.zeros(len(at)), np.zeros(len(at))
    for drop in _DROPS:
        who, which = np.nonzero(alive)
        if not who.size:
            break
        alive[who, which] = asker.met(at[who], points(who, sizes[who, which], np.full(len(who), drop)))
        running, hit = np.unique(who), np.asarray(alive.any(axis=1))
        no[running[~hit[running]]] = drop
        won[hit], yes[hit] = alive[hit].argmax(axis=1), drop
    who = np.flatnonzero((won >= 0) & (no > yes))
    long = sizes[who, won[who]]
    width = np.full(len(who), fine)
    bracket(asker, at[who], lambda i, drop: points(who[i], long[i], drop), no[who], yes[who], width)
    return np.where(won >= 0, size * np.asarray(_SIZES)[won], np.maximum(size / 4, 1e-4))
