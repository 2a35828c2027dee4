"""Bounds: a pair that is checked, and containment with float32 rounding."""

from __future__ import annotations

import numpy as np
import pytest

from armour.bounds import Bounds
from armour.errors import InvalidArgument


def test_a_pair() -> None:
    low, high = Bounds(-1, 3)
    assert (low, high) == (-1.0, 3.0) and Bounds(-1, 3).span == 4.0
    assert Bounds.of([0, 255]) == Bounds(0, 255)
    assert Bounds.of(Bounds(0, 2)) == Bounds(0, 2)


@pytest.mark.parametrize("value", [(1, 0), (0, 0), (0, float("nan")), (float("-inf"), 1), ("0", "1")])
def test_refused(value: tuple[float, float]) -> None:
    with pytest.raises(InvalidArgument, match="low < high"):
        Bounds.of(value)


@pytest.mark.parametrize("value", [3, (1, 2, 3), None])
def test_no_pair(value: object) -> None:
    with pytest.raises(InvalidArgument, match=r"pair of numbers such as \(0, 1\)"):
        Bounds.of(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("bounds", [Bounds(0, 1), Bounds(0, 255), Bounds(-2.5, 3.5)])
def test_contains(bounds: Bounds) -> None:
    edge = np.array([bounds.low, bounds.high], np.float32)
    assert bounds.contains(edge)
    assert bounds.contains(edge[:0])
    assert not bounds.contains(edge + np.float32(1e-3 * bounds.span))
    for bad in (np.nan, np.inf, -np.inf):
        assert not bounds.contains(np.array([bounds.low, bad], np.float32))


def test_rounding_is_inside() -> None:
    # Clipped in float64 and stored in float32, the upper bound may be one rounding above.
    bounds = Bounds(0, 0.1)
    assert float(np.float32(0.1)) > 0.1
    assert bounds.contains(np.array([np.float32(0.1)]))
