"""Criteria of single neurons and of patterns of the largest: NC, TKNC, TKNP.

Pei et al., DeepXplore, 2017, https://arxiv.org/abs/1705.06640 (NC);
Ma et al., DeepGauge, 2018, https://arxiv.org/abs/1803.07519 (TKNC, TKNP).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from armour import checks

from .base import CRITERIA, CellCriterion, Criterion, Layers, joined


@CRITERIA.register("nc")
class NC(CellCriterion):
    """Neuron coverage: neurons that were above `threshold` at least once, over all neurons.

    scaled: each sample's layer is first scaled to [0, 1], as DeepXplore does; a layer of equal values is 0.
    """

    settings: ClassVar[tuple[str, ...]] = ("threshold", "scaled")

    def __init__(self, *, threshold: float = 0.0, scaled: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.scaled = scaled

    def _cells(self, width: int) -> int:
        return width

    def _hits(self, parts: Layers) -> np.ndarray:
        values = joined({name: _scaled(part) for name, part in parts.items()} if self.scaled else parts)
        return np.where(values > self.threshold, np.arange(values.shape[1]), -1)


@CRITERIA.register("tknc")
class TKNC(CellCriterion):
    """Top-k neuron coverage: neurons that were among the k largest of their layer, over N.

    Ties: the lower index, so that a layer of zeros does not count as a whole.
    """

    settings: ClassVar[tuple[str, ...]] = ("k",)

    def __init__(self, *, k: int = 1) -> None:
        super().__init__()
        self.k = checks.count("k", k)

    def _cells(self, width: int) -> int:
        return width

    def _hits(self, parts: Layers) -> np.ndarray:
        return top(parts, self.k)


@CRITERIA.register("tknp")
class TKNP(Criterion):
    """Top-k neuron patterns: how many different sets of the k largest neurons of all layers there were.

    Patterns are kept as 64-bit hashes: among a million, two fall together with probability 3e-8. A sample
    with NaN has no pattern.
    """

    form = "count"
    settings: ClassVar[tuple[str, ...]] = ("k",)

    def __init__(self, *, k: int = 1) -> None:
        super().__init__()
        self.k = checks.count("k", k)
        self.patterns = np.zeros(0, np.uint64)  # sorted

    @property
    def value(self) -> float:
        """Patterns seen."""
        return float(len(self.patterns))

    def arrays(self) -> dict[str, np.ndarray]:
        return {"patterns": self.patterns}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        patterns = arrays["patterns"]
        if patterns.dtype != np.uint64 or patterns.ndim != 1 or (patterns[1:] <= patterns[:-1]).any():
            raise ValueError("expected patterns as different uint64 in their order")
        self.patterns = patterns.copy()

    def _take(self, parts: Layers) -> np.ndarray:
        places = top(parts, self.k)
        gain = np.zeros(len(places), np.int64)
        whole = np.flatnonzero((places >= 0).all(axis=1) & ~np.isnan(joined(parts)).any(axis=1))
        hashes = _mixed(places[whole].astype(np.uint64)).sum(axis=1, dtype=np.uint64)
        found, first = np.unique(hashes, return_index=True)
        new = ~np.isin(found, self.patterns, assume_unique=True)
        self._insert(found[new])
        gain[whole[first[new]]] = 1
        return gain

    def _insert(self, found: np.ndarray) -> None:
        self.patterns = np.insert(self.patterns, np.searchsorted(self.patterns, found), found)

    def _join(self, other: TKNP) -> None:
        self._insert(np.setdiff1d(other.patterns, self.patterns, assume_unique=True))


def top(parts: Layers, k: int) -> np.ndarray:
    """(n, layers * k) int64: numbers of the k largest neurons of each layer, the lower one on ties.

    -1 stands for NaN, and layers of fewer than k neurons give all of theirs.
    """
    found, start = [], 0
    for part in parts.values():
        values = np.where(np.isnan(part), -np.inf, part)
        order = np.argsort(-values, axis=1, kind="stable")[:, :k]
        missing = np.isnan(np.take_along_axis(part, order, axis=1))
        found.append(np.where(missing, -1, order + start))
        start += part.shape[1]
    return np.concatenate(found, axis=1)


def _scaled(part: np.ndarray) -> np.ndarray:
    """(n, units): each row between its own least and largest value."""
    with np.errstate(invalid="ignore", over="ignore"):
        low = part.min(axis=1, keepdims=True, initial=np.inf)
        span = part.max(axis=1, keepdims=True, initial=-np.inf) - low
        return np.asarray((part - low) / np.where(span > 0, span, 1))


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """uint64 of each number, scattered (splitmix64, Steele et al., 2014), so that sums of sets differ."""
    with np.errstate(over="ignore"):
        x = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)))
