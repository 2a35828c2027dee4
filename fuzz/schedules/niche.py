"""Margin niches, the default schedule: from what came nearest to failing in each way."""

from __future__ import annotations

import numpy as np

from armour.fuzz.archive import Archive
from armour.fuzz.schedule import SCHEDULES, Children, Parents, Scene, Schedule
from armour.npz import under

from .rare import Rare


@SCHEDULES.register("niche")
class MarginNiche(Schedule):
    """Half of each batch at random, half from the niches nearest to failing.

    A niche is a root and another class; its energy is exp(-gap / tau) / sqrt(1 + picks) while it is unsolved,
    with tau half the standard deviation of the clean margins. It is mutated further from the descendant that
    came nearest, or from the root once that one has more than `longest` steps, since long recipes are slow to
    minimise and no better. Mutators are drawn by Thompson sampling, with a floor, over how often they took
    part in the first failure of a (root, class). Drawing half of them for first failures of a class (D2) was
    measured too: no more classes, and a tenth fewer pairs and roots.

    Of a model that gives labels only there is no gap to be near to, and the second half comes from rare
    coverage.
    """

    explore = 0.5
    longest = 4
    thompson_draws = 64
    growing: tuple[str, ...] = ("recipes",)

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.tau = scene.roots.spread / 2
        self.archive = Archive(scene.roots, round(self.tau / 10), scene.kind, scene.bounds)
        self.rest = Rare(scene) if scene.roots.label_only else None
        if self.rest is not None:
            self.growing = ("recipes", *(f"rest.{name}" for name in self.rest.growing))
        self.wins = np.zeros(scene.mutators, np.int64)
        self.misses = np.zeros(scene.mutators, np.int64)

    def pick(self, rng: np.random.Generator, n: int) -> Parents:
        random = int(np.ceil(n * self.explore))
        root = rng.integers(0, len(self.roots), n)
        unit = rng.random(n - random)
        x = self.roots.x[root]
        parents = Parents(root, x, x.copy(), [()] * n)
        if self.rest is not None:
            return _joined(parents, self.rest.pick(rng, n - random), random)
        edges = np.cumsum(self._energy())
        if n == random or edges[-1] <= 0:
            return parents
        cells = np.searchsorted(edges, unit * edges[-1], side="right")
        own, label = np.divmod(np.minimum(cells, edges.size - 1), self.archive.gaps.shape[1])
        np.add.at(self.archive.picks, (own, label), 1)
        held_x, held_ref, steps = self.archive.parents(own, label)
        long = np.flatnonzero([len(done) > self.longest for done in steps])
        held_x[long] = held_ref[long] = self.roots.x[own[long]]
        for i in long.tolist():
            steps[i] = ()
        return _joined(parents, Parents(own, held_x, held_ref, steps), random)

    def weights(self, rng: np.random.Generator) -> np.ndarray:
        shape = (self.thompson_draws, self.mutators)
        best = rng.beta(1 + self.wins, 1 + self.misses, shape).argmax(axis=1)
        share = np.bincount(best, minlength=self.mutators) / best.size
        return np.asarray(np.maximum(share, 1 / (4 * self.mutators)))

    def learn(self, children: Children) -> np.ndarray:
        rows = np.flatnonzero(children.failed & (children.predicted >= 0))
        root, label = children.root[rows], children.predicted[rows]
        new = self.archive.open[root, label]
        _, first = np.unique(root * self.archive.open.shape[1] + label, return_index=True)
        won = np.zeros(len(children.root), bool)
        won[rows[first]] = new[first]
        self.wins += children.used[won].sum(axis=0)
        self.misses += children.used[~won].sum(axis=0)
        self.archive.solve(root, label)
        kept = np.zeros(len(children.root), bool)
        rows = np.flatnonzero(children.correct)
        kept[rows] = self.archive.improve(
            children.root[rows],
            children.gaps[rows],
            children.x[rows],
            children.ref[rows],
            [children.steps[i] for i in rows.tolist()],
        )
        return kept if self.rest is None else kept | self.rest.learn(children)

    def tallies(self) -> list[np.ndarray]:
        return [self.wins, self.misses]

    def elites(self) -> Archive:
        return self.archive

    def arrays(self) -> dict[str, np.ndarray]:
        rest = {} if self.rest is None else self.rest.arrays()
        own = {"wins": self.wins, "misses": self.misses, **self.archive.arrays()}
        return own | {f"rest.{name}": array for name, array in rest.items()}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.wins, self.misses = arrays["wins"].copy(), arrays["misses"].copy()
        self.archive.restore(arrays, self.scene.bounds)
        if self.rest is not None:
            self.rest.restore(under(arrays, "rest."))

    def _energy(self) -> np.ndarray:
        archive = self.archive
        closeness = np.exp(-archive.gaps / self.tau)
        return np.asarray(archive.open * closeness / np.sqrt(1 + archive.picks)).reshape(-1)


def _joined(parents: Parents, guided: Parents, start: int) -> Parents:
    """The parents with those from `start` on replaced."""
    parents.root[start:], parents.x[start:], parents.ref[start:] = guided.root, guided.x, guided.ref
    parents.steps[start:] = guided.steps
    return parents
