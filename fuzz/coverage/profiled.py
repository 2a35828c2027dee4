"""Criteria of where values lie in the range that clean data showed: KMNC, NBC, SNAC.

Ma et al., DeepGauge, 2018, https://arxiv.org/abs/1803.07519.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from armour import checks
from armour.errors import InvalidArgument
from armour.fuzz.sections import Profile, Values, columns, neurons, sections

from .base import CRITERIA, CellCriterion, Layers, joined


class _Profiled(CellCriterion):
    """profile: (low, high), each (N,), a number, or a dict layer -> (units,)."""

    settings: ClassVar[tuple[str, ...]] = ("low", "high")

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

    @classmethod
    def fit(cls, clean: Values) -> Self:
        """With the range of each neuron on clean data."""
        parts = columns(clean)
        profile = Profile.fit(joined(parts))
        made = cls(profile=(profile.low, profile.high))
        made._fix(parts)
        return made

    def _bounds(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        if self.low.ndim and self.low.shape != (width,):
            raise InvalidArgument(f"expected a profile of {width} neurons, got {self.low.shape}")
        return np.broadcast_to(self.low, width), np.broadcast_to(self.high, width)


@CRITERIA.register("kmnc")
class KMNC(_Profiled):
    """K-multisection neuron coverage: sections inside the profile that were hit, over N * k.

    A neuron with low = high has one section that can be hit; the others keep its share of N * k.
    """

    settings: ClassVar[tuple[str, ...]] = ("low", "high", "k")

    def __init__(self, *, k: int = 10, profile: tuple[Any, Any]) -> None:
        super().__init__(profile=profile)
        self.k = checks.count("k", k)

    def _cells(self, width: int) -> int:
        return width * self.k

    def _hits(self, parts: Layers) -> np.ndarray:
        values = joined(parts)
        ids = sections(values, *self._bounds(values.shape[1]), self.k).astype(np.int64)
        inside = (ids >= 1) & (ids <= self.k)
        return np.where(inside, np.arange(values.shape[1]) * self.k + ids - 1, -1)


@CRITERIA.register("nbc")
class NBC(_Profiled):
    """Neuron boundary coverage: lower and upper corners that were hit, over 2 * N."""

    def _cells(self, width: int) -> int:
        return 2 * width

    def _hits(self, parts: Layers) -> np.ndarray:
        values = joined(parts)
        low, high = self._bounds(values.shape[1])
        cells = np.arange(values.shape[1]) * 2
        return np.where(values < low, cells, np.where(values > high, cells + 1, -1))


@CRITERIA.register("snac")
class SNAC(_Profiled):
    """Strong neuron activation coverage: neurons that went above their profile, over N."""

    def _cells(self, width: int) -> int:
        return width

    def _hits(self, parts: Layers) -> np.ndarray:
        values = joined(parts)
        return np.where(values > self._bounds(values.shape[1])[1], np.arange(values.shape[1]), -1)
