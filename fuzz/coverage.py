"""Coverage criteria over neuron activations: what share of a network's behaviour have these inputs shown?

Coverage is a measure to report and to distil a corpus by. It is no verdict: raising it was measured not to
find more failures (Harel-Canada et al., 2020, came to the same result).

Pei et al., DeepXplore, 2017, https://arxiv.org/abs/1705.06640 (NC);
Ma et al., DeepGauge, 2018, https://arxiv.org/abs/1803.07519 (KMNC, NBC, SNAC, TKNC).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from armour import checks
from armour.errors import InvalidArgument
from armour.registry import Registry

from .sections import Values, columns, first_hits, neurons, sections


class Criterion(ABC):
    """A coverage criterion: `update(activations)` gives the gain per sample (n,), `value` the share covered.

    The first update fixes the layers and their widths; another set raises InvalidArgument.
    """

    def __init__(self) -> None:
        self._seen = np.zeros(0, bool)
        self._layout: list[tuple[str, int]] | None = None

    def update(self, activations: Values) -> np.ndarray:
        """Cells newly covered by each sample (n,) int64; a cell hit by two samples is credited to the
        first.
        """
        parts = columns(activations)
        values = neurons(parts)
        layout = [(name, part.shape[1]) for name, part in parts.items()]
        if self._layout is None:
            self._layout = layout
            self._seen = np.zeros(self._cells(values.shape[1]), bool)
        if layout != self._layout:
            raise InvalidArgument(
                f"expected layers {self._layout}, got {layout}; use one criterion per model"
            )
        return first_hits(self._hits(values), self._seen)

    @property
    def value(self) -> float:
        """Share of all cells covered, 0 before the first update."""
        return float(self._seen.mean()) if self._seen.size else 0.0

    @abstractmethod
    def _cells(self, width: int) -> int:
        """How many cells there are for `width` neurons."""

    @abstractmethod
    def _hits(self, values: np.ndarray) -> np.ndarray:
        """Cells hit by each row, (n, m) int64 with -1 for none."""


class _Profiled(Criterion):
    def __init__(self, *, profile: tuple[Any, Any]) -> None:
        super().__init__()
        low, high = (
            neurons({k: np.asarray(v)[None] for k, v in p.items()})[0]
            if isinstance(p, Mapping)
            else np.asarray(p, dtype=np.float64)
            for p in profile
        )
        if low.shape != high.shape or not (low <= high).all():
            raise InvalidArgument("expected profile=(low, high) of equal shapes with low <= high per neuron")
        self.low, self.high = low, high

    def _bounds(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        if self.low.ndim and self.low.shape != (width,):
            raise InvalidArgument(f"expected a profile of {width} neurons, got {self.low.shape}")
        return np.broadcast_to(self.low, width), np.broadcast_to(self.high, width)


CRITERIA: Registry[type[Criterion]] = Registry("coverage criterion")


@CRITERIA.register("nc")
class NC(Criterion):
    """Neuron coverage: neurons that were above `threshold` at least once, over all neurons."""

    def __init__(self, *, threshold: float = 0.0) -> None:
        super().__init__()
        self.threshold = threshold

    def _cells(self, width: int) -> int:
        return width

    def _hits(self, values: np.ndarray) -> np.ndarray:
        return np.where(values > self.threshold, np.arange(values.shape[1]), -1)


@CRITERIA.register("kmnc")
class KMNC(_Profiled):
    """K-multisection neuron coverage: sections inside the profile that were hit, over N * k.

    profile: (low, high), each (N,), a number, or a dict layer -> (units,).
    """

    def __init__(self, *, k: int = 10, profile: tuple[Any, Any]) -> None:
        super().__init__(profile=profile)
        self.k = checks.count("k", k)

    def _cells(self, width: int) -> int:
        return width * self.k

    def _hits(self, values: np.ndarray) -> np.ndarray:
        ids = sections(values, *self._bounds(values.shape[1]), self.k).astype(np.int64)
        inside = (ids >= 1) & (ids <= self.k)
        return np.where(inside, np.arange(values.shape[1]) * self.k + ids - 1, -1)


@CRITERIA.register("nbc")
class NBC(_Profiled):
    """Neuron boundary coverage: lower and upper corners that were hit, over 2 * N."""

    def _cells(self, width: int) -> int:
        return 2 * width

    def _hits(self, values: np.ndarray) -> np.ndarray:
        low, high = self._bounds(values.shape[1])
        cells = np.arange(values.shape[1]) * 2
        return np.where(values < low, cells, np.where(values > high, cells + 1, -1))


@CRITERIA.register("snac")
class SNAC(_Profiled):
    """Strong neuron activation coverage: neurons that went above their profile, over N."""

    def _cells(self, width: int) -> int:
        return width

    def _hits(self, values: np.ndarray) -> np.ndarray:
        return np.where(values > self._bounds(values.shape[1])[1], np.arange(values.shape[1]), -1)


@CRITERIA.register("tknc")
class TKNC(Criterion):
    """Top-k neuron coverage: neurons that were among the k largest of their layer, over N.

    Ties: the lower index.
    """

    def __init__(self, *, k: int = 1) -> None:
        super().__init__()
        self.k = checks.count("k", k)

    def _cells(self, width: int) -> int:
        return width

    def _hits(self, values: np.ndarray) -> np.ndarray:
        parts, start = [], 0
        for _, width in self._layout or []:
            layer = np.nan_to_num(values[:, start : start + width], nan=-np.inf)
            parts.append(np.argsort(-layer, axis=1, kind="stable")[:, : self.k] + start)
            start += width
        return np.concatenate(parts, axis=1)
