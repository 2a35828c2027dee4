"""Random search: a uniform root, mutated several times or once."""

from __future__ import annotations

import numpy as np

from armour.fuzz.schedule import SCHEDULES, Parents, Schedule


@SCHEDULES.register("random")
class Random(Schedule):
    """A uniform root, mutated one to four times: the honest baseline."""

    def pick(self, rng: np.random.Generator, n: int) -> Parents:
        root = rng.integers(0, len(self.roots), n)
        x = self.roots.x[root]
        return Parents(root, x, x, [()] * n)


@SCHEDULES.register("random-single")
class RandomSingle(Random):
    """A uniform root, mutated once: a weak baseline, which proves little to whom it loses."""

    extra = 0
