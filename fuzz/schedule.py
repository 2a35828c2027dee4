"""Schedules: which root or descendant to mutate next, and how often to use each mutator.

A schedule plans n parents at a time and learns from what became of them. All it knows is in arrays(), so that
a campaign can be stored and taken up again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from armour.bounds import Bounds
from armour.registry import Registry

from .archive import Archive
from .kinds import Kind
from .recipe import Step
from .roots import Roots


@dataclass(slots=True)
class Parents:
    """What n mutants start from: root (n,) int64, inputs x and references ref (n, *shape), steps so far."""

    root: np.ndarray
    x: np.ndarray
    ref: np.ndarray
    steps: list[tuple[Step, ...]]

    def __len__(self) -> int:
        return len(self.root)

    def __getitem__(self, rows: slice) -> Parents:
        return Parents(self.root[rows], self.x[rows], self.ref[rows], self.steps[rows])


@dataclass(frozen=True, slots=True)
class Children:
    """What became of n mutants.

    root (n,); x, ref (n, *shape); steps: all of them from the root on; used (n, m) bool, the mutators of the
    steps that were new; correct (n,) bool: valid and still given the root's label; failed (n,) bool: an
    oracle hit that counts; predicted (n,) int64; gaps (n, k) int64 as in Outcome.gaps.
    """

    root: np.ndarray
    x: np.ndarray
    ref: np.ndarray
    steps: list[tuple[Step, ...]]
    used: np.ndarray
    correct: np.ndarray
    failed: np.ndarray
    predicted: np.ndarray
    gaps: np.ndarray


class Schedule(ABC):
    """Chooses parents and mutators.

    roots: the seeds, of that kind and in these bounds; mutators: how many there are to choose from.
    """

    def __init__(self, roots: Roots, mutators: int, kind: Kind, bounds: Bounds) -> None:
        self.roots = roots
        self.mutators = mutators

    @abstractmethod
    def pick(self, rng: np.random.Generator, n: int) -> Parents:
        """n parents, the first half of which may be explored without guidance."""

    def weights(self, rng: np.random.Generator) -> np.ndarray | None:
        """(m,) frequencies of the mutators for this round; None for equal ones."""
        return None

    def learn(self, children: Children) -> np.ndarray:
        """Take note of a round; (n,) bool, which children the schedule wants the corpus to keep."""
        return np.zeros(len(children.root), bool)

    def arrays(self) -> dict[str, np.ndarray]:
        """The state as arrays."""
        return {}

    def restore(self, arrays: dict[str, np.ndarray], bounds: Bounds) -> None:  # noqa: B027
        """Take over what arrays() gave; bounds: to rebuild inputs from their recipes."""


SCHEDULES: Registry[type[Schedule]] = Registry("schedule")


@SCHEDULES.register("random")
class Random(Schedule):
    """A uniform root, mutated one to four times: the honest baseline."""

    def pick(self, rng: np.random.Generator, n: int) -> Parents:
        root = rng.integers(0, len(self.roots), n)
        x = self.roots.x[root]
        return Parents(root, x, x, [()] * n)


@SCHEDULES.register("niche")
class MarginNiche(Schedule):
    """Half of each batch at random, half from the niches nearest to failing.

    A niche is a root and another class; its energy is exp(-gap / tau) / sqrt(1 + picks) while it is unsolved,
    with tau half the standard deviation of the clean margins. It is mutated further from the descendant that
    came nearest, or from the root once that one has more than `longest` steps, since long recipes are slow to
    minimise and no better. Mutators are drawn by Thompson sampling over how often they took part in the first
    failure of a (root, class), with a floor.
    """

    explore = 0.5
    longest = 4
    thompson_draws = 64

    def __init__(self, roots: Roots, mutators: int, kind: Kind, bounds: Bounds) -> None:
        super().__init__(roots, mutators, kind, bounds)
        self.tau = roots.spread / 2
        self.archive = Archive(roots, round(self.tau / 10), kind, bounds)
        self.wins = np.zeros(mutators, np.int64)
        self.misses = np.zeros(mutators, np.int64)

    def pick(self, rng: np.random.Generator, n: int) -> Parents:
        random = int(np.ceil(n * self.explore))
        root = rng.integers(0, len(self.roots), n)
        unit = rng.random(n - random)
        x = self.roots.x[root]
        parents = Parents(root, x, x.copy(), [()] * n)
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
        parents.root[random:], parents.x[random:], parents.ref[random:] = own, held_x, held_ref
        parents.steps[random:] = steps
        return parents

    def weights(self, rng: np.random.Generator) -> np.ndarray:
        shape = (self.thompson_draws, self.mutators)
        best = rng.beta(1 + self.wins, 1 + self.misses, shape).argmax(axis=1)
        share = np.bincount(best, minlength=self.mutators) / self.thompson_draws
        return np.maximum(share, 1 / (4 * self.mutators))

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
        return kept

    def arrays(self) -> dict[str, np.ndarray]:
        return {"wins": self.wins, "misses": self.misses, **self.archive.arrays()}

    def restore(self, arrays: dict[str, np.ndarray], bounds: Bounds) -> None:
        self.wins, self.misses = arrays["wins"].copy(), arrays["misses"].copy()
        self.archive.restore(arrays, bounds)

    def _energy(self) -> np.ndarray:
        archive = self.archive
        closeness = np.exp(-archive.gaps / self.tau)
        return np.asarray(archive.open * closeness / np.sqrt(1 + archive.picks)).reshape(-1)
