"""One-pixel attack: differential evolution of a few pixels' places and values, by scores alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from armour.checks import count
from armour.distances import Norm
from armour.regions import F32
from armour.rng import Streams

from .base import ATTACKS
from .black_box import Asker, OwnLimitsScoreAttack

# Weight of the difference of two members that is added to a third, as in the paper.
_WEIGHT = 0.5
# The first values are normal around the middle of the bounds, this share of the span wide.
_SPREAD = 0.5


@ATTACKS.register("one-pixel")
@dataclass(frozen=True, slots=True, kw_only=True)
class OnePixel(OwnLimitsScoreAttack):
    """One-pixel attack: the places and values of a few pixels that change the answer, by evolution.

    Each sample has a population of candidates. A child is a member plus half the difference of two others,
    and takes its parent's place if the margin has grown. Children that leave the image or the bounds are
    brought back to the edge. A pixel is all channels of one place; inputs that are no images are a row of
    places. A sample is left alone once it is broken; of one that is not, the best candidate is handed back.

    queries: most questions for each sample. pixels: how many of them change. population: candidates of each
    sample. norm: measures only; every channel counts in l0.
    Su et al., 2019, https://arxiv.org/abs/1710.08864.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l0", "l1", "l2", "linf")

    norm: Norm = "l0"
    queries: int = 10000
    pixels: int = 1
    population: int = 100

    def __post_init__(self) -> None:
        OwnLimitsScoreAttack.__post_init__(self)
        count("pixels", self.pixels)
        count("population", self.population, 4)

    def find(self, asker: Asker, x: F32, *, rng: Streams) -> F32:
        """As OwnLimitsScoreAttack.find."""
        channels, places = _layout(x)
        bounds, members = asker.model.bounds, self.population
        best, top = x.copy(), np.full(len(x), -np.inf, np.float32)
        shape = (members, self.pixels)
        # Places and values in shares: of the number of places, and of the bounds' span.
        first = rng.child(0)
        place = first.uniform(shape)
        value = 0.5 + _SPREAD * first.normal((*shape, channels))
        people = np.concatenate([place[..., None], np.clip(value, 0, 1)], axis=3).astype(np.float32)
        worth = np.full((len(x), members), -np.inf, np.float32)
        left, children = np.arange(len(x)), people
        for generation in range(-(-self.queries // members)):
            going = np.ones(len(left), bool)
            for k in range(members):
                at = np.flatnonzero(going)
                at = at[asker.left(left[at]) > 0]
                if not at.size:
                    break
                here, one = left[at], children[at, k]
                adv = _painted(x[here], one, places, bounds.low, bounds.span)
                score, met = asker.scores(here, adv)
                better = met | (score > top[here])
                best[here[better]], top[here[better]] = adv[better], score[better]
                kept = at[score >= worth[here, k]]
                people[left[kept], k], worth[left[kept], k] = (
                    children[kept, k],
                    score[score >= worth[here, k]],
                )
                going[at[met]] = False
            left = left[going & (asker.left(left) > 0)]
            if not left.size:
                break
            children = _children(people[left], rng[left].child(generation + 1))
        return best


def _children(people: F32, streams: Streams) -> F32:
    """(n, m, ...) for each member one of three others: a + (b - c) / 2, inside the unit box."""
    n, members = people.shape[:2]
    order = np.argsort(streams.uniform((members, members - 1)), axis=2)[:, :, :3]
    others = order + (order >= np.arange(members)[:, None])
    a, b, c = (people[np.arange(n)[:, None], others[:, :, i]] for i in range(3))
    return np.clip(a + np.float32(_WEIGHT) * (b - c), 0, 1)


def _painted(x: F32, one: F32, places: int, low: float, span: float) -> F32:
    """x (n, ...) with the pixels of one candidate each, (n, pixels, 1 + channels)."""
    n, pixels, width = one.shape
    adv = x.reshape(n, width - 1, places).copy()
    at = np.minimum((one[:, :, 0] * places).astype(np.int64), places - 1)
    values = np.float32(low) + np.float32(span) * one[:, :, 1:]
    for k in range(pixels):
        adv[np.arange(n), :, at[:, k]] = values[:, k]
    return adv.reshape(x.shape)


def _layout(x: NDArray[np.float32]) -> tuple[int, int]:
    """Channels and places of inputs (n, c, h, w); one channel for other inputs."""
    channels = x.shape[1] if x.ndim == 4 else 1
    return channels, math.prod(x.shape[1:]) // channels
