"""Genetic: a population of inputs for each sample, bred by their scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.checks import count, fraction, positive
from armour.distances import Norm
from armour.regions import F32
from armour.rng import Streams

from .base import ATTACKS
from .black_box import Asker, ScoreAttack
from .population import Members, chance, fan, weights

# Generations without a better best after which a sample counts a plateau; what a plateau leaves of the
# mutations, and the least that is left of their rate and of their size.
_PATIENCE, _KEPT, _LEAST_RATE, _LEAST_SIZE = 20, 0.9, 0.2, 0.4


@ATTACKS.register("genetic")
@dataclass(frozen=True, slots=True, kw_only=True)
class Genetic(ScoreAttack):
    """GenAttack: evolution of a population for each sample, all populations asked about at once.

    The best member of a generation stays. Each other member of the next has two parents, drawn by their
    scores, takes every value from one of them, the fitter one more often, and is mutated in a share of its
    values. Mutations become rarer and smaller for a sample that makes no progress. Only asks for scores; a
    model that gives labels alone shows it no way.

    queries, loss: as for ScoreAttack. population: members, at least 2. mutation_rate: share of the values
    that are mutated at first, in [0, 1]. step_size: size of a mutation at first, as a fraction of epsilon (in
    l2, length of all mutations of a member). temperature: of the softmax of scores that parents are drawn by;
    in units of the loss.
    Alzantot et al., 2019, https://arxiv.org/abs/1805.11090.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    population: int = 6
    mutation_rate: float = 0.05
    step_size: float = 1.0
    temperature: float = 0.3

    def __post_init__(self) -> None:
        ScoreAttack.__post_init__(self)
        count("population", self.population, 2)
        fraction("mutation_rate", self.mutation_rate)
        positive("step_size", self.step_size)
        positive("temperature", self.temperature)

    def find(self, asker: Asker, x: F32, epsilon: float, *, rng: Streams) -> F32:
        """As ScoreAttack.find."""
        region = self.region(asker.model, x, epsilon)
        size = math.prod(x.shape[1:])
        members = Members(asker, region, self.population, self.loss)
        members.ask(members.regions().start(fan(rng.child(0), self.population)))
        generation = 0
        while members.going:
            generation += 1
            m, children = len(members.left), self.population - 1
            streams = fan(rng[members.left].child(generation), children)
            # Parents (m, children, 2), and how often the first of them is taken after.
            share = weights(members.value, self.temperature)
            drawn = streams.uniform((2,), dtype=np.float64).reshape(m, children, 2)
            parent = (share.cumsum(axis=1)[:, None, None] < drawn[..., None]).sum(axis=3)
            parent = np.minimum(parent, self.population - 1)
            row = np.arange(m)[:, None, None]
            fit = share[row, parent]
            first = np.divide(
                fit[..., 0], fit.sum(axis=2), out=np.full(fit.shape[:2], 0.5), where=fit.sum(2) > 0
            )
            flat = members.point.reshape(m, self.population, size)
            pick = chance(streams, size, first.reshape(-1)).reshape(m, children, size)
            child = np.where(pick, flat[row[..., 0], parent[..., 0]], flat[row[..., 0], parent[..., 1]])
            left = _KEPT ** (members.stalled // _PATIENCE)
            rate = np.repeat(self.mutation_rate * np.maximum(left, _LEAST_RATE), children)
            length = np.repeat(self.step_size * epsilon * np.maximum(left, _LEAST_SIZE), children)
            if self.norm == "l2":
                length /= np.sqrt(np.maximum(rate * size / 3, 1))  # a uniform number's mean square is 1/3
            noise = streams.uniform((size,), -1, 1) * length.astype(np.float32)[:, None]
            child += np.where(chance(streams, size, rate), noise, 0).reshape(m, children, size)
            tried = members.regions(children).project(child.reshape(-1, *x.shape[1:]))
            members.breed(tried)
        return members.best
