"""Nearest neighbours: inputs whose layer is farther from all kept before than clean data are from each other.

Odena and Goodfellow, TensorFuzz, 2018, https://arxiv.org/abs/1807.10875.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np

from armour import checks
from armour.errors import InvalidArgument
from armour.fuzz.sections import Values, columns

from .base import CRITERIA, Criterion, Layers

_STEPS = 1024  # whole numbers to one threshold
_ROWS = 256  # rows compared at once


@CRITERIA.register("nn")
class NearestNeighbour(Criterion):
    """How many inputs lay farther than `threshold` (l2) from all that were kept before them.

    layer: its name; None is the last, the logits. most: points that are kept; once there are so many,
    nothing is new any more. base: (m, units) points that are there from the start, and not counted.

    Distances are taken between coordinates rounded to a 1,024th of the threshold, in whole numbers, so that
    results do not depend on how samples are batched. A fixed threshold depends on the scale of the layer;
    `fit` takes the distance to the nearest other clean input that one in ten of them exceeds.
    """

    form = "count"
    layered = False
    settings: ClassVar[tuple[str, ...]] = ("threshold", "layer", "most", "base")

    def __init__(
        self, *, threshold: float, layer: str | None = None, most: int = 4096, base: np.ndarray | None = None
    ) -> None:
        super().__init__()
        self.threshold = checks.positive("threshold", threshold)
        self.layer = layer
        self.most = checks.count("most", most)
        self.base = np.zeros((0, 0)) if base is None else np.asarray(base, np.float64)
        self.points = np.zeros((0, 0), np.int64)
        self._start = self.points  # of `base`, in whole numbers

    @classmethod
    def fit(cls, clean: Values, *, quantile: float = 0.9, layer: str | None = None) -> Self:
        """With the clean points as a base, at most 2,000, and the threshold that they suggest."""
        parts = columns(clean)
        points = np.asarray(parts[_named(parts, layer)], np.float64)
        points = points[np.isfinite(points).all(axis=1)]
        points = points[np.linspace(0, len(points) - 1, min(len(points), 2000)).astype(np.int64)]
        if len(points) < 2:
            raise InvalidArgument(f"expected at least 2 finite clean samples, got {len(points)}")
        near = np.concatenate(
            [_to_others(points[at : at + _ROWS], points, at) for at in range(0, len(points), _ROWS)]
        )
        apart = float(np.quantile(near, quantile))
        if not apart > 0:
            raise InvalidArgument(f"expected clean samples that differ in {_named(parts, layer)}, got equals")
        made = cls(threshold=apart, layer=layer, base=points)
        made._fix(parts)
        return made

    @property
    def value(self) -> float:
        """Points kept, without the base."""
        return float(len(self.points))

    def arrays(self) -> dict[str, np.ndarray]:
        return {"points": self.points}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        points = arrays["points"]
        fits = points.ndim == 2 and points.shape[1] == self.points.shape[1] and len(points) <= self.most
        if points.dtype != np.int64 or not fits or (np.abs(points) > self._reach).any():
            raise ValueError(f"expected at most {self.most} points of {self.points.shape[1]} whole numbers")
        self.points = points.copy()

    def _fix(self, parts: Layers) -> None:
        super()._fix(parts)
        width = parts[_named(parts, self.layer)].shape[1]
        # Squares of differences, summed, must stay below 2**52 to be exact.
        self._reach = int(np.sqrt(2.0**52 / max(width, 1)) / 2)
        self.points = np.zeros((0, width), np.int64)
        self._start = self._whole(self.base) if self.base.size else self.points

    def _take(self, parts: Layers) -> np.ndarray:
        part = parts[_named(parts, self.layer)]
        gain = np.zeros(len(part), np.int64)
        for at in range(0, len(part), _ROWS):
            rows = at + np.flatnonzero(np.isfinite(part[at : at + _ROWS]).all(axis=1))
            kept = self._keep(self._whole(part[rows]))
            gain[rows[kept]] = 1
        return gain

    def _keep(self, points: np.ndarray) -> np.ndarray:
        """Keep those of the points (n, units) that are new; their numbers."""
        fresh = np.ones(len(points), bool)
        for known in (self._start, self.points):
            if len(known):
                fresh &= _squares(points, known).min(axis=1) > _STEPS * _STEPS
        rest = np.flatnonzero(fresh)
        apart = _squares(points[rest], points[rest]) > _STEPS * _STEPS
        kept: list[int] = []
        alive = np.ones(len(rest), bool)
        for i in range(len(rest)):
            if alive[i] and len(self.points) + len(kept) < self.most:
                kept.append(i)
                alive &= apart[i]
        chosen = rest[np.array(kept, np.int64)]
        self.points = np.concatenate([self.points, points[chosen]])
        return np.asarray(chosen)

    def _join(self, other: NearestNeighbour) -> None:
        for at in range(0, len(other.points), _ROWS):
            self._keep(other.points[at : at + _ROWS])

    def _whole(self, values: np.ndarray) -> np.ndarray:
        scaled = np.rint(np.asarray(values, np.float64) * (_STEPS / self.threshold))
        return np.clip(scaled, -self._reach, self._reach).astype(np.int64)


def _named(parts: Layers, layer: str | None) -> str:
    name = next(reversed(parts)) if layer is None else layer
    if name not in parts:
        raise InvalidArgument(f"expected the layer {name!r}, got {', '.join(parts)}")
    return name


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) float64: squared distances between rows of whole numbers, exact."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.asarray(np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * (a @ b.T))


def _to_others(some: np.ndarray, points: np.ndarray, at: int) -> np.ndarray:
    """(n,): distance of points[at:at + n] to the nearest of the others."""
    squares = np.square(some).sum(axis=1)[:, None] + np.square(points).sum(axis=1) - 2 * (some @ points.T)
    squares[np.arange(len(some)), at + np.arange(len(some))] = np.inf
    nearest = squares.argmin(axis=1)
    return np.asarray(np.linalg.norm(some - points[nearest], axis=1))  # without what was cancelled out
