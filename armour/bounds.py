"""The range of a model's input values: what every epsilon is measured against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armour import checks
from armour.errors import InvalidArgument

# Float32 rounding of an input that was clipped in float64, as a fraction of the span.
_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class Bounds:
    """The range of the model's input values; a pair that can be unpacked: `low, high = bounds`."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        finite = all(isinstance(v, (int, float, np.number)) and np.isfinite(v) for v in (self.low, self.high))
        if not finite or not self.low < self.high:
            raise InvalidArgument(
                f"expected bounds with low < high, got ({self.low!r}, {self.high!r}); images: (0, 1)"
            )
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))

    @classmethod
    def of(cls, value: Bounds | Sequence[float]) -> Bounds:
        """Bounds from a pair of numbers or from Bounds."""
        if isinstance(value, Bounds):
            return value
        try:
            low, high = value
        except (TypeError, ValueError):
            raise InvalidArgument(
                f"expected a pair of numbers such as (0, 1), got {checks.describe('bounds', value)}"
            ) from None
        return cls(low, high)

    def __iter__(self) -> Iterator[float]:
        return iter((self.low, self.high))

    @property
    def span(self) -> float:
        """high - low."""
        return self.high - self.low

    def clip(
        self, values: NDArray[np.floating[Any]], *, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """The values as float32, what is outside moved to the nearer end: in `out`, or in a new array."""
        low, high = np.float32(self.low), np.float32(self.high)
        found: NDArray[np.float32] = np.clip(values.astype(np.float32, copy=False), low, high, out=out)
        return found

    def contains(self, x: np.ndarray) -> bool:
        """True if every value is finite and inside, up to float32 rounding; an empty array is inside."""
        slack = _SLACK * max(self.span, abs(self.low), abs(self.high))
        # A NaN makes min and max NaN, and every comparison with it false.
        if x.size == 0:
            return True
        low, high = np.minimum.reduce(x, axis=None), np.maximum.reduce(x, axis=None)
        return bool(low >= self.low - slack and high <= self.high + slack)
