"""TensorFuzz's schedule: inputs whose logits are far from all others join, and the newest are mutated."""

from __future__ import annotations

import numpy as np

from armour.fuzz.schedule import SCHEDULES, Children, Parents, Scene

from .queued import Queued

_LATEST = 5
_UNIT = 100  # gaps are rounded to a hundredth of a logit
_EXACT = 1 << 52  # sums of whole numbers below this are exact in float64, in whatever order


@SCHEDULES.register("tensorfuzz")
class TensorFuzz(Queued):
    """Uniform over the five newest entries and one random one; entries join for novel logits.

    Novel: further from every entry's logits (each less their mean) than the median root is from its nearest
    other root. A fixed distance, as published, would depend on the scale of the logits.
    Odena et al., TensorFuzz, ICML 2019, https://arxiv.org/abs/1807.10875.
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene, {"place": np.zeros((0, scene.roots.gaps.shape[1]), np.int32)})
        place = self._place(scene.roots.gaps)
        self.queue.columns["place"][:] = place
        self.radius = _radius(place)

    def energy(self) -> np.ndarray:
        return np.ones(len(self.queue))

    def pick(self, rng: np.random.Generator, n: int) -> Parents:
        latest = self.queue.latest(_LATEST)
        other = rng.integers(0, len(self.queue), n)
        which = rng.integers(0, len(latest) + 1, n)
        return self.queue.take(np.where(which < len(latest), np.append(latest, 0)[which], other))

    def wanted(self, children: Children) -> np.ndarray:
        rows = np.flatnonzero(children.correct)
        place = self._place(children.gaps[rows]).astype(np.float64)
        far = _nearest(place, self.queue.columns["place"]) > self.radius
        rows, place = rows[far], place[far]
        kept: list[int] = []
        # Among themselves in their order, so that two alike do not both join.
        for i in range(len(rows)):
            if not kept or float(_squares(place[i : i + 1], place[kept]).min()) > self.radius:
                kept.append(i)
        return rows[np.array(kept, np.int64)]

    def columns(self, children: Children) -> dict[str, np.ndarray]:
        return {"place": self._place(children.gaps)}

    def _place(self, gaps: np.ndarray) -> np.ndarray:
        """(n, k) int32: the logits less their mean in hundredths, from gaps; small enough for exact sums."""
        classes = gaps.shape[1]
        whole = np.rint((gaps.mean(axis=1, keepdims=True) - gaps) / _UNIT)
        most = np.floor(np.sqrt(_EXACT / (4 * max(1, classes))))
        return np.asarray(np.clip(whole, -most, most).astype(np.int32))


def _radius(place: np.ndarray) -> float:
    """The median squared distance of a root to its nearest other root; 0 for a single one."""
    found = []
    for start in range(0, len(place), 256):
        part = _squares(place[start : start + 256], place)
        part[np.arange(len(part)), start + np.arange(len(part))] = np.inf
        found.append(part.min(axis=1))
    nearest = np.concatenate(found)
    return float(np.median(nearest)) if np.isfinite(nearest).all() else 0.0


def _nearest(place: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n,) squared distance of each to the nearest of the others."""
    best = np.full(len(place), np.inf)
    for start in range(0, len(others), 4096):
        np.minimum(best, _squares(place, others[start : start + 4096]).min(axis=1), out=best)
    return best


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) squared distances of whole numbers, exact whatever the shapes."""
    left, right = a.astype(np.float64), b.astype(np.float64)
    return np.asarray((left**2).sum(axis=1)[:, None] - 2 * left @ right.T + (right**2).sum(axis=1))
