"""The nearest inputs that a search has found so far, one for each sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armour.distances import Distance
from armour.regions import F32, F64


class Nearest:
    """Keeps for each of x (n, ...) the nearest input that met the criterion.

    adv: (n, ...), where there is none yet x itself or what was suggested. distance: (n,), there infinity.
    """

    __slots__ = ("adv", "distance", "measure", "x")

    def __init__(self, measure: Distance, x: F32) -> None:
        self.measure, self.x = measure, x
        self.adv = x.copy()
        self.distance: F64 = np.full(len(x), np.inf)

    def offer(self, rows: NDArray[np.int64], adv: F32, met: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Take those of adv (m, ...), about samples `rows` (m,), that are nearer; (m,) True where taken.

        A row occurs once. met: (m,) whether it met the criterion.
        """
        taken = np.zeros(len(rows), bool)
        here = np.flatnonzero(met)
        if here.size:
            at = rows[here]
            length = self.measure.measure(self.x[at], adv[here])
            better = length < self.distance[at]
            here, at = here[better], at[better]
            self.adv[at], self.distance[at] = adv[here], length[better]
            taken[here] = True
        return taken

    def suggest(self, rows: NDArray[np.int64], adv: F32) -> None:
        """The best try for those of samples `rows` (m,) for which nothing was found."""
        none = ~np.isfinite(self.distance[rows])
        self.adv[rows[none]] = adv[none]

    def found(self) -> NDArray[np.bool_]:
        """(n,) where there is one."""
        return np.isfinite(self.distance)
