"""Schedules: which root or descendant to mutate next, and how often to use each mutator.

A schedule plans n parents at a time and learns from what became of them. All it knows is in arrays(), so that
a campaign can be stored and taken up again. The schedules themselves are in schedules/, one a file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.bounds import Bounds
from armour.registry import Registry

from .archive import Archive
from .kinds import Kind
from .recipe import Step
from .roots import Roots
from .sections import SectionMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a schedule works with.

    roots: the seeds, of that kind and in these bounds. mutators: how many there are to choose from. coverage:
    the campaign's section map, which holds each round before the schedule learns of it.
    """

    roots: Roots
    mutators: int
    kind: Kind
    bounds: Bounds
    coverage: SectionMap


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """What became of n mutants.

    root (n,); x, ref (n, *shape); steps: all of them from the root on; used (n, m) bool, the mutators of the
    steps that were new; valid (n,) bool: at the required level; correct (n,) bool: valid and still given the
    root's label; failed (n,) bool: an oracle hit that counts; predicted (n,) int64; gaps (n, k) int64 as in
    Outcome.gaps.

    ids (n, N) int16: section of each neuron; signature (n,) uint64: of these, coarsened; gain (n,) int64:
    sections that it is the first to hit; novel (n,) bool: correct, and with a gain or a new signature.
    """

    root: np.ndarray
    x: np.ndarray
    ref: np.ndarray
    steps: list[tuple[Step, ...]]
    used: np.ndarray
    valid: np.ndarray
    correct: np.ndarray
    failed: np.ndarray
    predicted: np.ndarray
    gaps: np.ndarray
    ids: np.ndarray
    signature: np.ndarray
    gain: np.ndarray
    novel: np.ndarray

    def __len__(self) -> int:
        return len(self.root)


class Schedule(ABC):
    """Chooses parents and mutators.

    extra: most further mutations of a mutant after the first, each with probability 1/2. growing: names of
    the arrays whose length says how much has been found; all others have one shape.
    """

    extra: ClassVar[int] = 3
    growing: tuple[str, ...] = ()

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.roots = scene.roots
        self.mutators = scene.mutators

    @abstractmethod
    def pick(self, rng: np.random.Generator, n: int) -> Parents:
        """n parents, the first half of which may be explored without guidance."""

    def weights(self, rng: np.random.Generator) -> np.ndarray | None:
        """(m,) frequencies of the mutators for this round; None for equal ones."""
        return None

    def learn(self, children: Children) -> np.ndarray:
        """Take note of a round; (n,) bool, which children besides the novel ones the corpus is to keep."""
        return np.zeros(len(children), bool)

    def tallies(self) -> list[np.ndarray]:
        """Counts that the islands of a campaign add up; written to when they do."""
        return []

    def elites(self) -> Archive | None:
        """The archive whose best descendants the islands of a campaign exchange, if there is one."""
        return None

    def arrays(self) -> dict[str, np.ndarray]:
        """The state as arrays."""
        return {}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:  # noqa: B027
        """Take over what arrays() gave; ValueError for what it cannot have given."""


SCHEDULES: Registry[type[Schedule]] = Registry("schedule")
