"""Functions of one value, with two lines that enclose them between given bounds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from armour.tensor import where
from armour.tensor.core import Tensor, wrap


class Lines(NamedTuple):
    """slope * z + shift below and above a curve; shapes broadcast against (n, *shape); None is 0."""

    low_slope: Tensor
    low_shift: Tensor | None
    high_slope: Tensor
    high_shift: Tensor | None


class Curve(ABC):
    """A non-decreasing function of each value.

    operations: multiplications that are rounded when it is evaluated.
    library: whether its values come from a library's function, which is off by some units in the last place.
    """

    library: bool = False
    operations: int = 0

    @abstractmethod
    def value(self, z: Tensor) -> Tensor:
        """The function's values."""

    @abstractmethod
    def loose(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Where tighter bounds would give tighter lines, bool."""

    @abstractmethod
    def lines(self, low: Tensor, high: Tensor, slopes: Tensor | None = None) -> Lines:
        """Lines for z in [low, high]. slopes: the lower line's slopes where they are free to choose, [0, 1]
        from the least to the steepest; by default those that enclose the smaller area."""


@dataclass(frozen=True, slots=True)
class Rectifier(Curve):
    """z where positive, leak * z where negative; leak in [0, 1)."""

    leak: float = 0.0

    def value(self, z: Tensor) -> Tensor:
        return z.relu() if self.leak == 0 else where(z.data > 0, z, z * self.leak)

    def loose(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        return (low < 0) & (high > 0)

    def lines(self, low: Tensor, high: Tensor, slopes: Tensor | None = None) -> Lines:
        crossing = self.loose(low.data, high.data)
        settled = wrap(np.where(low.data >= 0, 1.0, self.leak).astype(low.dtype))
        width = where(crossing, high - low, wrap(np.ones((), low.dtype)))
        steep = (high - self.leak * low) / width
        chord = where(crossing, steep, settled)
        shift = where(crossing, (self.leak - steep) * low, wrap(np.zeros((), low.dtype)))
        if slopes is None:
            least = np.where(high.data > -low.data, 1.0, self.leak).astype(low.dtype)
            return Lines(where(crossing, wrap(least), settled), None, chord, shift)
        free = self.leak + (1 - self.leak) * slopes
        return Lines(where(crossing, free, settled), None, chord, shift)

    @property
    def operations(self) -> int:  # type: ignore[override]
        return 0 if self.leak == 0 else 2  # the slope is rounded too
