"""PSO: a swarm of inputs for each sample, drawn to the best that its particles and the swarm have seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from armour.checks import count, non_negative
from armour.distances import Norm
from armour.regions import F32, Region
from armour.rng import Streams

from .base import ATTACKS
from .black_box import Asker, ScoreAttack
from .layout import cells, planes
from .population import Members, fan

# Moves of a swarm without a better best after which it is spread anew, and such spreads after which the side
# of the blocks is halved.
_PATIENCE, _SPREADS = 1, 12


@ATTACKS.register("pso")
@dataclass(frozen=True, slots=True, kw_only=True)
class PSO(ScoreAttack):
    """Particle swarm optimisation, a swarm for each sample, all of them asked about at once.

    Particles start at the ends of the budget, a random one in each square block of each channel. Their
    velocities turn towards the best that the particle and that the swarm have seen. A swarm that makes no
    progress is spread about its best: in every particle one block at a random place is moved to an end of the
    budget; and blocks are halved. Only asks for scores; a model that gives labels alone shows it no way.

    queries, loss: as for ScoreAttack. population: particles, at least 2. inertia: share of its velocity that
    a particle keeps, at first; it falls to 0 as questions are used up. pull: how strongly particles are drawn
    to their own and to the swarm's best. block: side of the first blocks, in pixels.
    Mosli et al., 2019, https://arxiv.org/abs/1909.07490.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    population: int = 6
    inertia: float = 0.7
    pull: float = 1.5
    block: int = 8

    def __post_init__(self) -> None:
        ScoreAttack.__post_init__(self)
        count("population", self.population, 2)
        non_negative("inertia", self.inertia)
        non_negative("pull", self.pull)
        count("block", self.block)

    def find(self, asker: Asker, x: F32, epsilon: float, *, rng: Streams) -> F32:
        """As ScoreAttack.find."""
        region, k = self.region(asker.model, x, epsilon), self.population
        shape = planes(x.shape[1:])
        swarm = Members(asker, region, k, self.loss)
        cell, number = cells(shape, self.block)
        up = fan(rng.child(0), k).uniform((number,)) < 0.5
        ends = np.where(up, np.float32(1), np.float32(-1))[:, cell].reshape(-1, *x.shape[1:])
        stay = swarm.ask(swarm.regions().furthest(ends))
        own, own_value = swarm.point.copy(), swarm.value.copy()
        velocity = np.zeros_like(own)
        spreads = np.zeros(len(x), np.int64)[stay]
        turn = 0
        while swarm.going:
            turn += 1
            streams = fan(rng[swarm.left].child(turn), k)
            best = swarm.best[swarm.left][:, None]
            pulls = streams.uniform((2, best[0].size), 0, self.pull).reshape(*own.shape[:2], 2, *x.shape[1:])
            share = self.inertia * int(asker.left(swarm.left[:1])[0]) / self.queries
            velocity = share * velocity + pulls[:, :, 0] * (own - swarm.point)
            velocity = (velocity + pulls[:, :, 1] * (best - swarm.point)).astype(np.float32)
            tried = swarm.point + velocity
            spread = (swarm.stalled > 0) & (swarm.stalled % _PATIENCE == 0)
            if spread.any():
                side = np.maximum(self.block >> np.minimum(spreads // _SPREADS, 30), 1)
                spreads += spread
                some, middle = np.repeat(swarm.left[spread], k), np.repeat(best[spread], k, axis=1)
                tried[spread] = _moved(
                    middle.reshape(-1, *x.shape[1:]),
                    region[some],
                    streams[np.repeat(spread, k)],
                    np.repeat(side[spread], k),
                ).reshape(middle.shape)
            before = swarm.point
            tried = swarm.regions().project(tried.reshape(-1, *x.shape[1:]))
            velocity = np.where(
                spread.reshape(-1, *(1,) * (own.ndim - 1)), 0, tried.reshape(own.shape) - before
            )
            stay = swarm.ask(tried)
            own, own_value, velocity, spreads = own[stay], own_value[stay], velocity[stay], spreads[stay]
            better = (swarm.value > own_value) | spread[stay][:, None]
            own[better], own_value[better] = swarm.point[better], swarm.value[better]
        return swarm.best


def _moved(point: F32, region: Region, streams: Streams, side: NDArray[np.int64]) -> F32:
    """Points (m, ...), in each of which one block of `side` (m,) is moved to an end of the budget."""
    m, (c, height, width) = len(point), planes(point.shape[1:])
    tall, wide = np.minimum(side, height), np.minimum(side, width)
    place = streams.uniform((2,), dtype=np.float64)
    top = np.floor(place[:, 0] * (height - tall + 1)).astype(np.int64)[:, None]
    start = np.floor(place[:, 1] * (width - wide + 1)).astype(np.int64)[:, None]
    r, s = np.arange(height), np.arange(width)
    here = ((r >= top) & (r < top + tall[:, None]))[:, :, None] & (
        (s >= start) & (s < start + wide[:, None])
    )[:, None]
    up = np.where(streams.uniform((c,)) < 0.5, np.float32(1), np.float32(-1))
    along = (here[:, None] * up[:, :, None, None]).astype(np.float32).reshape(point.shape)
    ends = region.furthest(along)
    return np.where(along == 0, point, ends).reshape(m, *point.shape[1:])
