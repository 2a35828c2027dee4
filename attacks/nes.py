"""NES: projected ascent along gradients estimated from scores."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armour.checks import count, fraction, positive
from armour.regions import F32, Region
from armour.rng import Streams

from .base import ATTACKS
from .black_box import Asker, Rows, ScoreAttack
from .estimation import Noise, away, climb

# Steps without a larger objective after which a sample's steps are halved, and the least they come to.
_PATIENCE, _LEAST = 5, 0.05


@ATTACKS.register("nes")
@dataclass(frozen=True, slots=True, kw_only=True)
class NES(ScoreAttack):
    """Natural evolution strategies under a budget of queries: PGD on an estimated gradient.

    A step asks at pairs of opposite points, normally distributed about the current one, moves along the mean
    of the differences with momentum, and asks once at the new point. The steps of a sample are halved when
    its objective has not grown for a while. Questions inside the budget that break the sample are kept. Only
    asks for scores; a model that gives labels alone shows it no way.

    queries, loss: as for ScoreAttack. draws: pairs of questions a step. sigma: standard deviation of the
    questions about the point, a fraction of the span of the bounds. step_size: length of a step, as a
    fraction of epsilon. momentum: share of the earlier direction in the next one, in [0, 1].
    Ilyas et al., 2018, https://arxiv.org/abs/1804.08598.
    """

    draws: int = 20
    sigma: float = 0.01
    step_size: float = 0.2
    momentum: float = 0.5

    def __post_init__(self) -> None:
        ScoreAttack.__post_init__(self)
        count("draws", self.draws)
        positive("sigma", self.sigma)
        positive("step_size", self.step_size)
        fraction("momentum", self.momentum)

    def find(self, asker: Asker, x: F32, epsilon: float, *, rng: Streams) -> F32:
        """As ScoreAttack.find."""
        velocity = np.zeros_like(x)
        length = np.full(len(x), self.step_size)

        def move(region: Region, at: Rows, point: F32, gradient: F32, stalled: NDArray[np.int64]) -> F32:
            halved = (stalled > 0) & (stalled % _PATIENCE == 0)
            length[at] = np.where(halved, np.maximum(length[at] / 2, _LEAST * self.step_size), length[at])
            velocity[at] = self.momentum * velocity[at] + (1 - self.momentum) * gradient
            return region.step(point, velocity[at], length[at])

        return climb(
            asker,
            self.region(asker.model, x, epsilon),
            Noise.normal(rng, math.prod(x.shape[1:])),
            move,
            draws=self.draws,
            sigma=away(self.sigma, self.grid, asker.model.bounds),
            loss=self.loss,
        )
