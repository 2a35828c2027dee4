"""ZOO: Adam on single coordinates, whose slopes are estimated from scores."""

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


@ATTACKS.register("zoo")
@dataclass(frozen=True, slots=True, kw_only=True)
class ZOO(ScoreAttack):
    """Zeroth-order optimisation, coordinate by coordinate, within a budget of distance.

    A step asks at both sides of the point in some coordinates of each sample, moves these as Adam does, with
    moments and a count of steps of their own for every coordinate, projects onto the region, and asks once at
    the new point. Coordinates are taken in a random order, without repetition until all are used up. The
    paper weighs distance against success by a constant that it searches for; here the budget takes that
    place, so that no question is spent on the constant. Questions inside the budget that break the sample are
    kept. Only asks for scores; a model that gives labels alone shows it no way.

    queries, loss: as for ScoreAttack; "margin" is the paper's. coordinates: how many are estimated a step, by
    two questions each. sigma: distance of the questions from the point, a fraction of the span of the bounds.
    step_size: length that Adam's first step has in one coordinate; None for epsilon in linf, and in l2 for
    0.2 of epsilon.
    Chen et al., 2017, https://arxiv.org/abs/1708.03999.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    coordinates: int = 16
    sigma: float = 0.02
    step_size: float | None = None

    def __post_init__(self) -> None:
        ScoreAttack.__post_init__(self)
        count("coordinates", self.coordinates)
        positive("sigma", self.sigma)
        if self.step_size is not None:
            positive("step_size", self.step_size)

    def find(self, asker: Asker, x: F32, epsilon: float, *, rng: Streams) -> F32:
        """As ScoreAttack.find."""
        size = math.prod(x.shape[1:])
        length = np.float32(epsilon * (self.step_size or (1.0 if self.norm == "linf" else 0.2)))
        width, adam = max(1, min(self.coordinates, size)), Adam(x)

        def move(region: Region, at: Rows, point: F32, gradient: F32, stalled: NDArray[np.int64]) -> F32:
            return region.project(point + length * adam(at, gradient))

        return climb(
            asker,
            self.region(asker.model, x, epsilon),
            Noise.coordinates(rng, size, width),
            move,
            draws=width,
            sigma=away(self.sigma, self.grid, asker.model.bounds),
            loss=self.loss,
        )
