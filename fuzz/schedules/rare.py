"""Rare coverage: entries that reach the sections with the fewest hits."""

from __future__ import annotations

import numpy as np

from armour.fuzz.schedule import SCHEDULES, Children, Scene

from .queued import Queued

_CELLS = 8  # rarest sections that are remembered of an entry


@SCHEDULES.register("rare")
class Rare(Queued):
    """An entry's energy is one over the hits of the rarest section it reaches, and over sqrt(1 + picks).

    The eight rarest sections of an entry are those at the time it joined. Roots have the energy of a section
    with as many hits as the median of the entries, or 1 without any.
    After FairFuzz's rare branches: Lemieux and Sen, ASE 2018, https://doi.org/10.1145/3238147.3238176.
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene, {"cells": np.zeros((0, _CELLS), np.int64)})

    def energy(self) -> np.ndarray:
        count, counts = len(self.roots), self.scene.coverage.counts.reshape(-1)
        fewest = np.ones(len(self.queue))
        if counts.size and len(self.queue) > count:
            hits = counts[self.queue.columns["cells"][count:]].min(axis=1)
            fewest[count:] = np.maximum(hits, 1)
            fewest[:count] = np.median(fewest[count:])
        return np.asarray(1 / (fewest * np.sqrt(1.0 + self.queue.picks)))

    def columns(self, children: Children) -> dict[str, np.ndarray]:
        coverage = self.scene.coverage
        width = coverage.k + 2
        cells = np.zeros((len(children), _CELLS), np.int64)
        novel = np.flatnonzero(children.novel)
        known = min(_CELLS, coverage.neurons)
        if known and len(novel):
            own = children.ids[novel].astype(np.int64) + np.arange(coverage.neurons) * width
            hits = coverage.counts.reshape(-1)[own]
            # Stable, so that equal counts give the neurons in their order.
            order = np.argsort(hits, axis=1, kind="stable")[:, :known]
            cells[novel] = np.take_along_axis(own, order, axis=1)[:, np.arange(_CELLS) % known]
        return {"cells": cells}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        most = self.scene.coverage.counts.size
        if ((arrays["cells"] < 0) | (arrays["cells"] >= max(1, most))).any():
            raise ValueError(f"expected sections below {most}")
        super().restore(arrays)
