"""DeepHunter's schedule: what has been fuzzed less is more likely to be chosen."""

from __future__ import annotations

import numpy as np

from armour.fuzz.schedule import SCHEDULES

from .queued import Queued

_FIRST, _FADE, _LEAST = 0.8, 5.0, 0.3


@SCHEDULES.register("deephunter")
class DeepHunter(Queued):
    """Probability .8 - f / 5 of an entry that was fuzzed f times, and .3 at least.

    Xie et al., DeepHunter, ISSTA 2019, https://doi.org/10.1145/3293882.3330579 (P0, gamma and P_min of its
    published code). Entries join for new coverage.
    """

    def energy(self) -> np.ndarray:
        return np.asarray(np.maximum(_FIRST - self.queue.picks / _FADE, _LEAST))
