"""GeoDA: the boundary taken for a plane, whose normal is estimated by labels alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.checks import count, positive
from armour.distances import Norm
from armour.regions import F32, F64
from armour.rng import Streams

from .base import ATTACKS
from .black_box import LabelAsker, Rows
from .decision import WalkAttack, begin, bracket, straight
from .probes import slope

_STEP = 16  # queries that each turn keeps for its way to the boundary
_GROWTH = 1.5  # each turn has so many times the queries of the one before: 0.6 ** -(2 / 3), rounded up


@ATTACKS.register("geoda")
@dataclass(frozen=True, slots=True, kw_only=True)
class GeoDA(WalkAttack):
    """GeoDA: estimates the normal of the boundary, and goes from x along it to the boundary.

    The way is where the nearest points of planes with that normal lie inside the bounds: for l2 along the
    normal, for linf along its signs, for l1 along its largest values. Each turn begins from the nearest point
    known, with half as many queries again for the estimate, since the later ones decide.

    queries, starts: as for WalkAttack. turns: estimates that share the queries. radius: how far from the
    boundary is asked, as a share of the l2 distance from x. coarse: on images, ask about squares of pixels
    only, among which a normal is found with fewer queries (the paper keeps to low frequencies likewise).
    Rahmati et al., 2020, https://arxiv.org/abs/2003.06468.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l2", "linf", "l1")

    norm: Norm = "l2"
    turns: int = 5
    radius: float = 0.03
    coarse: bool = True

    def __post_init__(self) -> None:
        WalkAttack.__post_init__(self)
        count("turns", self.turns)
        positive("radius", self.radius)

    def find(self, asker: LabelAsker, x: F32, *, rng: Streams) -> None:
        """As DecisionAttack.find."""
        fine = self.radius / math.sqrt(math.prod(x.shape[1:]))
        at = begin(asker, rng.child(0), self.starts)
        straight(asker, at, asker.nearest[at], fine)
        shares = _GROWTH ** np.arange(self.turns)
        for turn in range(self.turns):
            at = at[(asker.left(at) > _STEP) & (asker.distance[at] > 0)]
            if not at.size:
                break
            probes = (asker.left(at) * shares[turn] / shares[turn:].sum()).astype(np.int64)
            probes = np.maximum(probes - _STEP, 1)
            every = np.full(len(at), int(self.coarse))
            normal = slope(asker, at, rng[at].child(turn + 1), probes, self.radius, every)
            self._along(asker, at, normal, fine)
        straight(asker, at, asker.nearest[at], fine)

    def _along(self, asker: LabelAsker, at: Rows, normal: F32, fine: float) -> None:
        """Go from x along the normal (m, ...) until the criterion is met, and halve down to the boundary."""
        x, bounds = asker.x[at], asker.model.bounds

        def points(who: Rows, length: F64) -> F32:
            return asker.norm.region(x[who], length, bounds).furthest(normal[who])

        # The nearest known is an end that is good enough: what does not come nearer is not looked for.
        far = asker.distance[at] * 0.999
        met = asker.met(at, points(np.arange(len(at)), far))
        who = np.flatnonzero(met)
        bracket(
            asker,
            at[who],
            lambda i, length: points(who[i], length),
            np.zeros(len(who)),
            far[who],
            fine * far[who],
        )
