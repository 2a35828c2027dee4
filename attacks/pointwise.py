"""Pointwise: takes back what a found input changes, value by value, by labels alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.distances import Norm
from armour.regions import F32, rows
from armour.rng import Streams

from .base import ATTACKS
from .black_box import LabelAsker
from .decision import WalkAttack, begin, straight


@ATTACKS.register("pointwise")
@dataclass(frozen=True, slots=True, kw_only=True)
class Pointwise(WalkAttack):
    """Pointwise: sets ever smaller groups of values back to the input's, as long as the criterion is met.

    It begins from noise as near as possible, and takes the values that still differ in a random order: half
    of them at once, then quarters, down to single values, and all single values again until none can be taken
    back. For l1, values that cannot be taken back whole are then moved half of the way, and half again. Where
    it ends for l0, no changed value can be left out by itself.

    queries, starts: as for WalkAttack.
    Schott et al., 2019, https://arxiv.org/abs/1805.09190, where values are tried one by one from the start.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l0", "l1")

    norm: Norm = "l0"

    def find(self, asker: LabelAsker, x: F32, *, rng: Streams) -> None:
        """As DecisionAttack.find."""
        at = begin(asker, rng.child(0), self.starts)
        if self.norm == "l1":
            straight(asker, at, asker.nearest[at], 1e-2)
        size = math.prod(x.shape[1:])
        # The order of each sample's values, how many of those are tried at once, the next one to try, whether
        # anything was taken back in this pass, and which share of the way is taken.
        order = np.argsort(rng.child(1).uniform((size,)), axis=1, kind="stable")
        point = rows(asker.nearest).copy()
        flat = rows(x)
        group = np.full(len(x), max(1, size // 2))
        place, gained, share = np.zeros(len(x), np.int64), np.zeros(len(x), bool), np.ones(len(x))
        for _ in range(asker.budget * (size + 4)):
            at = at[asker.left(at) > 0]
            if not at.size:
                break
            index = np.arange(size)
            chosen = (index >= place[at, None]) & (index < (place[at] + group[at])[:, None])
            inside = np.zeros((len(at), size), bool)
            np.put_along_axis(inside, order[at], chosen, axis=1)
            inside &= point[at] != flat[at]
            tried = np.where(inside, point[at] + share[at, None] * (flat[at] - point[at]), point[at])
            tried = np.where(share[at, None] == 1, np.where(inside, flat[at], point[at]), tried)
            some = inside.any(axis=1)
            who = at[some]
            made = asker.clipped(tried[some].reshape(-1, *x.shape[1:]))
            met = asker.met(who, made)
            point[who[met]] = rows(made[met])
            gained[who[met]] = True
            place[at] += group[at]
            done = at[place[at] >= size]
            again = (group[done] == 1) & ~gained[done]
            share[done[again]] /= 2
            group[done] = np.maximum(group[done] // 2, 1)
            place[done], gained[done] = 0, False
            at = at[share[at] > (0.5 if self.norm == "l0" else 1 / 16)]
