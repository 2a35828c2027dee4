"""RayS: the nearest boundary along rays to corners of the linf ball, by labels alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from armour.distances import Norm
from armour.regions import F32, F64, column, rows
from armour.rng import Streams

from .base import ATTACKS
from .black_box import LabelAsker, Rows
from .decision import WalkAttack, begin, bracket

_WIDTH = 1e-3  # how finely a radius is searched, as a share of the radius before


@ATTACKS.register("rays")
@dataclass(frozen=True, slots=True, kw_only=True)
class RayS(WalkAttack):
    """RayS: turns the signs of ever smaller blocks of a ray, and keeps the turn if the boundary is nearer.

    A ray moves every value up or down by the same. Each turn flips one block: the whole ray, its halves, its
    quarters, and so on, and then the small blocks again; whether the boundary is nearer there costs one query
    at the radius known, and only then the radius is halved down. It needs no slope and no settings.

    queries, starts: as for WalkAttack; without starts the first ray moves all values up.
    Chen and Gu, 2020, https://arxiv.org/abs/2006.12792.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf",)

    def find(self, asker: LabelAsker, x: F32, *, rng: Streams) -> None:
        """As DecisionAttack.find."""
        size = math.prod(x.shape[1:])
        up = np.ones((len(x), size), bool)
        if self.starts is not None:
            at = begin(asker, rng, self.starts)
            up[at] = rows(asker.nearest[at] - x[at]) >= 0
        radius = np.full(len(x), asker.model.bounds.span)
        at = np.arange(len(x))
        self._shorten(asker, at, up, radius)
        level, block = 0, 0
        for _ in range(asker.budget):
            at = at[(asker.left(at) > 0) & (radius[at] > 0)]
            if not at.size:
                break
            # Blocks of one size are as equal as they can be; the last level has one value in each.
            first, end = block * size // 2**level, (block + 1) * size // 2**level
            if first < end:
                turned = up[at]
                turned[:, first:end] ^= True
                better = self._shorten(asker, at, turned, radius)
                up[at[better]] = turned[better]
            block += 1
            if block == 2**level:
                deepest = math.ceil(math.log2(size)) if size > 1 else 0
                level, block = (level + 1 if level < deepest else deepest // 2), 0

    def _shorten(self, asker: LabelAsker, at: Rows, up: NDArray[np.bool_], radius: F64) -> NDArray[np.bool_]:
        """Ask at the radius known along these rays (m, d), and halve it down where that is met (m,)."""
        x = asker.x[at]

        def points(who: Rows, length: F64) -> F32:
            step = np.where(up[who], 1, -1).reshape(-1, *x.shape[1:]).astype(np.float32)
            return asker.clipped(x[who] + column(length.astype(np.float32), x.ndim) * step)

        # A little nearer than known: an equal ray would be searched for nothing.
        tried = radius[at] * (1 - _WIDTH)
        met = asker.met(at, points(np.arange(len(at)), tried))
        who = np.flatnonzero(met)
        found = bracket(
            asker,
            at[who],
            lambda i, length: points(who[i], length),
            np.zeros(len(who)),
            tried[who],
            _WIDTH * tried[who],
        )
        radius[at[who]] = found
        return met
