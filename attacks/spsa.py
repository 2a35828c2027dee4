"""SPSA: Adam on gradients estimated from scores by simultaneous perturbation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from armour.checks import count, positive
from armour.distances import Norm
from armour.regions import F32, Region
from armour.rng import Streams

from .base import ATTACKS
from .black_box import Asker, Rows, ScoreAttack
from .estimation import Adam, Noise, away, climb


@ATTACKS.register("spsa")
@dataclass(frozen=True, slots=True, kw_only=True)
class SPSA(ScoreAttack):
    """Simultaneous perturbation stochastic approximation under a budget of queries.

    A step asks at pairs of opposite points, each a random sign away from the current one in every value,
    moves as Adam does along the mean of the differences, projects onto the region, and asks once at the new
    point. Questions inside the budget that break the sample are kept. Only asks for scores; a model that
    gives labels alone shows it no way.

    queries, loss: as for ScoreAttack. draws: pairs of questions a step. sigma: distance of the questions from
    the point in every value, a fraction of the span of the bounds. step_size: length that Adam's first step
    has, as a fraction of epsilon.
    Uesato et al., 2018, https://arxiv.org/abs/1802.05666.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    draws: int = 20
    sigma: float = 0.01
    step_size: float = 0.2

    def __post_init__(self) -> None:
        ScoreAttack.__post_init__(self)
        count("draws", self.draws)
        positive("sigma", self.sigma)
        positive("step_size", self.step_size)

    def find(self, asker: Asker, x: F32, epsilon: float, *, rng: Streams) -> F32:
        """As ScoreAttack.find."""
        adam = Adam(x)
        # Adam's steps are near 1 in every value: a vector of ones is this long.
        unit = self.distance.longest(math.prod(x.shape[1:]), 1.0)

        def move(region: Region, at: Rows, point: F32, gradient: F32, stalled: NDArray[np.int64]) -> F32:
            return region.project(point + adam(at, gradient) * np.float32(self.step_size * epsilon / unit))

        return climb(
            asker,
            self.region(asker.model, x, epsilon),
            Noise.signs(rng, math.prod(x.shape[1:])),
            move,
            draws=self.draws,
            sigma=away(self.sigma, self.grid, asker.model.bounds),
            loss=self.loss,
        )
