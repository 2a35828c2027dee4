"""The archive of margin niches: for each root and other class, the descendant that comes nearest to it.

A small MAP-Elites archive (Mouret and Clune, 2015, https://arxiv.org/abs/1504.04909) whose cells are (root,
class) and whose quality is the gap between the true logit and the class's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from armour.bounds import Bounds

from .kinds import Kind, of_shape
from .partners import Partners
from .recipe import Recipe, Step, apply_steps
from .roots import Roots

_NEVER = np.iinfo(np.int64).max
_REBUILT = 256  # inputs rebuilt from their recipes at once
_HELD = 1 << 26  # values of inputs, and of references, that are held; the rest is rebuilt when asked for


class Archive:
    """Smallest gap of each niche, and the valid, still correct descendant that attains it.

    gaps: (R, k) int64 in units of 1e-4, the root's own at first. picks: (R, k) float64, how often a niche was
    chosen, halved when it improves. open: (R, k) bool, not yet solved; a niche is solved when a failure of
    its root is given its class. holder: (R, k) int64, place of the descendant in the pool, -1 for the root
    itself.
    """

    def __init__(
        self, roots: Roots, delta: int, kind: Kind | None = None, bounds: Bounds | None = None
    ) -> None:
        count, classes = roots.gaps.shape
        self.roots = roots
        self.bounds = bounds or Bounds(0, 1)
        self.kind = kind or of_shape(roots.x.shape[1:])
        self.delta = max(1, delta)
        self.gaps = roots.gaps.copy()
        self.picks = np.zeros((count, classes))
        self.open = np.ones((count, classes), bool)
        self.open[np.arange(count), roots.labels] = False
        self.holder = np.full((count, classes), -1, np.int64)
        self._best = np.full(count * classes, _NEVER)
        self._uses = np.zeros(0, np.int64)
        self._x = roots.x[:0].copy()
        self._ref = roots.x[:0].copy()
        self._steps: list[tuple[Step, ...]] = []
        self._texts: list[str] = []  # of the steps, made when they are first asked for
        self._most = max(1, _HELD // max(1, roots.x[:1].size))  # places that hold their inputs

    def parents(
        self, root: np.ndarray, label: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, list[tuple[Step, ...]]]:
        """Inputs, references and steps of the holders of niches (root, label), each (n,)."""
        place = self.holder[root, label]
        x, ref = self.roots.x[root], self.roots.x[root]
        steps = [self._steps[p] if p >= 0 else () for p in place.tolist()]
        held = (place >= 0) & (place < self._most)
        x[held], ref[held] = self._x[place[held]], self._ref[place[held]]
        rest = np.flatnonzero(place >= self._most)
        if len(rest):
            x[rest], ref[rest] = self._rebuild(root[rest], [steps[i] for i in rest.tolist()], self.bounds)
        return x, ref, steps

    def improve(
        self,
        root: np.ndarray,
        gaps: np.ndarray,
        x: np.ndarray,
        ref: np.ndarray,
        steps: Sequence[tuple[Step, ...]],
    ) -> np.ndarray:
        """Offer n valid, still correct descendants; (n,) bool, which of them now hold a niche.

        A niche goes to the smallest gap, the earlier descendant on ties, if that is below its gap by more
        than delta.
        """
        n, classes = gaps.shape
        if n == 0:
            return np.zeros(0, bool)
        cells = root[:, None] * classes + np.arange(classes)
        keys = gaps * n + np.arange(n)[:, None]
        np.minimum.at(self._best, cells.reshape(-1), keys.reshape(-1))
        touched = np.unique(cells)
        best = self._best[touched]
        self._best[touched] = _NEVER
        better = self.open.reshape(-1)[touched] & (best // n < self.gaps.reshape(-1)[touched] - self.delta)
        won, winner = touched[better], (best % n)[better]
        rows = np.unique(winner)
        places = self._store(x[rows], ref[rows], [steps[i] for i in rows.tolist()])
        self._release(won)
        self.holder.reshape(-1)[won] = places[np.searchsorted(rows, winner)]
        np.add.at(self._uses, self.holder.reshape(-1)[won], 1)
        self.gaps.reshape(-1)[won] = (best // n)[better]
        self.picks.reshape(-1)[won] /= 2
        holds = np.zeros(n, bool)
        holds[rows] = True
        return holds

    def solve(self, root: np.ndarray, label: np.ndarray) -> None:
        """Close the niches (root, label), each (n,)."""
        cells = np.unique(root * self.open.shape[1] + label)
        self.open.reshape(-1)[cells] = False
        self._release(cells)
        self.holder.reshape(-1)[cells] = -1

    def arrays(self) -> dict[str, np.ndarray]:
        """The state as arrays; descendants are their recipes."""
        # Places in the pool depend on history; numbering by first use makes equal states equal arrays.
        cells = np.flatnonzero(self.holder >= 0)
        places, first = np.unique(self.holder.reshape(-1)[cells], return_index=True)
        order = np.argsort(first)
        number = np.full(len(self._uses) + 1, -1, np.int64)
        number[places[order]] = np.arange(len(places))
        owners = cells[first[order]] // self.holder.shape[1]
        pairs = list(zip(owners.tolist(), places[order].tolist(), strict=True))
        for _, place in pairs:
            if not self._texts[place]:
                self._texts[place] = ";".join(map(str, self._steps[place]))
        texts = [f"root={root};{self._texts[place]}" for root, place in pairs]
        return {
            "gaps": self.gaps,
            "picks": self.picks,
            "open": self.open,
            "holder": number[self.holder],
            "recipes": np.frombuffer("\n".join(texts).encode(), np.uint8),
        }

    def restore(self, arrays: dict[str, np.ndarray], bounds: Bounds) -> None:
        """Take over what arrays() gave; descendants are rebuilt from their recipes, bit for bit.

        ValueError if they cannot be.
        """
        self.gaps, self.picks = arrays["gaps"].copy(), arrays["picks"].copy()
        self.open, self.holder = arrays["open"].copy(), arrays["holder"].copy()
        text = arrays["recipes"].tobytes().decode()
        recipes = [Recipe.parse(line) for line in text.split("\n")] if text else []
        if self.holder.min() < -1 or self.holder.max() >= len(recipes):
            raise ValueError(f"expected holders among {len(recipes)} recipes")
        if any(recipe.root >= len(self.roots) for recipe in recipes):
            raise ValueError(f"expected recipes of {len(self.roots)} roots")
        self._uses = np.zeros(0, np.int64)
        self._x, self._ref, self._steps = self.roots.x[:0].copy(), self.roots.x[:0].copy(), []
        self._texts = []
        for start in range(0, len(recipes), _REBUILT):
            part = recipes[start : start + _REBUILT]
            root, own = np.array([recipe.root for recipe in part], np.int64), [r.steps for r in part]
            x, ref = self._rebuild(root, own, bounds)
            places = self._store(x, ref, own)
            self._uses[places] = 1
        self._uses = np.bincount(self.holder[self.holder >= 0], minlength=len(self._uses))

    def _rebuild(
        self, root: np.ndarray, steps: Sequence[tuple[Step, ...]], bounds: Bounds
    ) -> tuple[np.ndarray, np.ndarray]:
        origin, partners = self.roots.x[root], Partners(self.roots, root)
        return apply_steps(origin, origin, steps, bounds, kind=self.kind, partners=partners)

    def _store(self, x: np.ndarray, ref: np.ndarray, steps: Sequence[tuple[Step, ...]]) -> np.ndarray:
        free = np.flatnonzero(self._uses == 0)[: len(x)]
        missing = len(x) - len(free)
        if missing > 0:
            size = len(self._uses)
            grown = max(64, size + missing, 2 * size)
            if len(self._x) < min(grown, self._most):
                held = min(grown, self._most)
                self._x, self._ref = _grow(self._x, held), _grow(self._ref, held)
            self._uses = _grow(self._uses, grown)
            self._steps.extend([()] * (grown - size))
            self._texts.extend([""] * (grown - size))
            free = np.flatnonzero(self._uses == 0)[: len(x)]
        fits = free < self._most
        self._x[free[fits]], self._ref[free[fits]] = x[fits], ref[fits]
        for place, own in zip(free.tolist(), steps, strict=True):
            self._steps[place], self._texts[place] = own, ""
        return free

    def _release(self, cells: np.ndarray) -> None:
        places = self.holder.reshape(-1)[cells]
        np.subtract.at(self._uses, places[places >= 0], 1)


def _grow(array: np.ndarray, size: int) -> np.ndarray:
    grown = np.zeros((size, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
