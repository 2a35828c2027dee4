"""What schedules that choose by energy from a queue of survivors have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from armour.fuzz.queue import MOST, Queue
from armour.fuzz.schedule import Children, Parents, Scene, Schedule


class Queued(Schedule):
    """Parents are drawn from the roots and the survivors, in proportion to an energy.

    Survivors are the novel children, those by which all campaigns let their corpus grow, with at most four
    steps. made_of: a column of the queue -> an empty array like its values. most: descendants in the queue.
    """

    most = MOST

    def __init__(self, scene: Scene, made_of: Mapping[str, np.ndarray] | None = None) -> None:
        super().__init__(scene)
        self.queue = Queue(scene, made_of or {}, self.most)
        self.growing = self.queue.growing

    @abstractmethod
    def energy(self) -> np.ndarray:
        """(entries,) float64 at or above 0, not all 0: how likely each entry of the queue is to be drawn."""

    def pick(self, rng: np.random.Generator, n: int) -> Parents:
        edges = np.cumsum(self.energy())
        drawn = np.searchsorted(edges, rng.random(n) * edges[-1], side="right")
        # Rounding may carry a number just under 1 to the end, past the last entry with any energy.
        return self.queue.take(np.minimum(drawn, np.searchsorted(edges, edges[-1], side="left")))

    def learn(self, children: Children) -> np.ndarray:
        self.note(children)
        rows = self.wanted(children)
        self.queue.add(
            children.root[rows],
            children.x[rows],
            children.ref[rows],
            [children.steps[i] for i in rows.tolist()],
            {name: values[rows] for name, values in self.columns(children).items()},
        )
        kept = np.zeros(len(children), bool)
        kept[rows] = True
        return np.asarray(kept & ~children.novel)

    def note(self, children: Children) -> None:
        """Count what the energy needs, before the queue grows."""

    def wanted(self, children: Children) -> np.ndarray:
        """Rows of the children that join the queue, in rising order: the novel ones."""
        return np.flatnonzero(children.novel)

    def columns(self, children: Children) -> dict[str, np.ndarray]:
        """The values of the queue's columns (n, ...) for all children."""
        return {}

    def arrays(self) -> dict[str, np.ndarray]:
        return self.queue.arrays()

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.queue.restore(arrays)
