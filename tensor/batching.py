"""Attributes that grow with the batch: lengths of the form times * n + plus, for a batch of n samples.

A recorded network has its shapes written out. Those that are different for a batch of two and one of three
are stored as such lengths, and become numbers again when a batch arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SMALL, LARGE = 2, 3
"""The two batch sizes that a network is recorded with."""


@dataclass(frozen=True, slots=True)
class BatchSize:
    """times * n + plus, n being the number of samples in the batch."""

    times: int
    plus: int = 0

    def of(self, n: int) -> int:
        """The number for a batch of n."""
        return self.times * n + self.plus


def between(small: Any, large: Any) -> Any:
    """The attribute that is `small` for a batch of SMALL and `large` for one of LARGE.

    Raises ValueError if there is none of that form.
    """
    if isinstance(small, bool) or isinstance(large, bool):
        if small is large:
            return small
    elif isinstance(small, int) and isinstance(large, int):
        times = (large - small) // (LARGE - SMALL)
        return small if small == large else BatchSize(times, small - times * SMALL)
    elif isinstance(small, tuple) and isinstance(large, tuple) and len(small) == len(large):
        return tuple(between(a, b) for a, b in zip(small, large, strict=True))
    elif isinstance(small, slice) and isinstance(large, slice):
        parts = zip((small.start, small.stop, small.step), (large.start, large.stop, large.step), strict=True)
        return slice(*(between(a, b) for a, b in parts))
    elif type(small) is type(large) and not hasattr(small, "shape") and small == large:
        return small
    raise ValueError(f"{small!r} and {large!r} differ by more than the batch size")


def has_batch(value: Any) -> bool:
    """True if an attribute grows with the batch."""
    if isinstance(value, tuple):
        return any(map(has_batch, value))
    if isinstance(value, slice):
        return any(map(has_batch, (value.start, value.stop, value.step)))
    return isinstance(value, BatchSize)


def for_batch(value: Any, n: int) -> Any:
    """The attribute for a batch of n."""
    if isinstance(value, BatchSize):
        return value.of(n)
    if isinstance(value, tuple):
        return tuple(for_batch(v, n) for v in value)
    if isinstance(value, slice):
        return slice(*(for_batch(v, n) for v in (value.start, value.stop, value.step)))
    return value
