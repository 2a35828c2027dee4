"""Random noise within a budget: what an attack has to be better than."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.distances import Norm
from armour.regions import F32, Region
from armour.rng import Streams

from .base import ATTACKS
from .black_box import Asker, ScoreAttack


@ATTACKS.register("noise")
@dataclass(frozen=True, slots=True, kw_only=True)
class Noise(ScoreAttack):
    """Random points at the edge of the budget, one after the other, until one breaks the sample.

    Each is the furthest point of the region along a random direction, so that none of the budget is lost at
    the bounds: for linf a random corner, for l2 a random direction cut to the bounds, for l1 and l0 a few
    values, taken to their bounds. It learns nothing from the answers: an attack that finds little more has
    found nothing. Only asks for scores, and only to hand back the best try.

    queries: points for each sample. loss: as for ScoreAttack; says which try is the best.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2", "l1", "l0")

    queries: int = 100

    def find(self, asker: Asker, x: F32, epsilon: float, *, rng: Streams) -> F32:
        """As ScoreAttack.find."""
        region = self.region(asker.model, x, epsilon)
        best, value = x.copy(), np.full(len(x), -np.inf, np.float32)
        left = np.arange(len(x))
        for query in range(self.queries):
            if not left.size:
                break
            tried = self._point(region[left], rng[left].child(query))
            now, met = asker.scores(left, tried, self.loss)
            better = met | (now > value[left])
            best[left[better]], value[left[better]] = tried[better], now[better]
            left = left[~met]
        return best

    def _point(self, region: Region, streams: Streams) -> F32:
        direction: F32 = streams.normal(region.x.shape[1:])
        if self.norm != "l0":
            return region.furthest(direction)
        ends = np.where(direction > 0, region.high, region.low)
        # As many values as the budget allows, chosen at random: those with the largest draws.
        chosen = self.distance.nearest(
            direction.reshape(len(direction), -1),
            np.full((len(direction), direction[0].size), -np.inf, np.float32),
            np.full((len(direction), direction[0].size), np.inf, np.float32),
            region.epsilon,
        )
        return np.where(chosen.reshape(direction.shape) != 0, ends, region.x)
