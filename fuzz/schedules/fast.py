"""The power schedule "fast" of AFLFast, as AFL++ has it: rare paths get more energy."""

from __future__ import annotations

import numpy as np

from armour.fuzz.schedule import SCHEDULES, Children, Scene

from .queued import Queued

_TABLE = 1 << 16  # counts of signatures: two that share a place share their count
# Factors by log2 of the hits, 0 to 8 and more, and those that a favoured entry is spared.
_FACTORS = np.array([4.0, 4.0, 3.0, 3.0, 2.0, 1.0, 0.8, 0.6, 0.4])
_SPARED = np.maximum(_FACTORS, 1.0)
_FAVOURED = 1.15


@SCHEDULES.register("fast")
class Fast(Queued):
    """An entry's energy falls with how often its signature was hit: from 4 down to .4.

    The signature (sections of all neurons, coarsened to 8) stands for the path of a program. An entry is
    favoured if it was the first to hit some section, or if it is a root.
    Boehme et al., AFLFast, CCS 2016, https://doi.org/10.1145/2976749.2978428; the factors are AFL++'s
    (calculate_score in afl-fuzz-queue.c).
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene, {"path": np.zeros(0, np.int64), "favoured": np.zeros(0, bool)})
        self.hits = np.zeros(_TABLE, np.int64)
        self.queue.columns["favoured"][:] = True
        # Nobody knows a root's own path before it is run; until then it shares a place of its own.
        self.queue.columns["path"][:] = -1

    def energy(self) -> np.ndarray:
        path, favoured = self.queue.columns["path"], self.queue.columns["favoured"]
        # A root has been "hit" by what was made from it.
        hits = np.where(path >= 0, self.hits[path], self.queue.picks)
        # log2 of whole numbers, rounded down: the exponent that frexp gives, less one.
        order = np.minimum(np.frexp(np.maximum(hits, 1).astype(np.float64))[1] - 1, len(_FACTORS) - 1)
        return np.asarray(np.where(favoured, _SPARED[order] * _FAVOURED, _FACTORS[order]))

    def note(self, children: Children) -> None:
        path = self._path(children)[children.valid]
        self.hits += np.bincount(path, minlength=_TABLE)

    def columns(self, children: Children) -> dict[str, np.ndarray]:
        return {"path": self._path(children), "favoured": children.gain > 0}

    def arrays(self) -> dict[str, np.ndarray]:
        return {**super().arrays(), "hits": self.hits}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        if not ((arrays["path"] >= -1) & (arrays["path"] < _TABLE)).all() or (arrays["hits"] < 0).any():
            raise ValueError(f"expected paths below {_TABLE} and hits at or above 0")
        super().restore(arrays)
        self.hits = arrays["hits"].copy()

    def _path(self, children: Children) -> np.ndarray:
        return (children.signature % np.uint64(_TABLE)).astype(np.int64)
