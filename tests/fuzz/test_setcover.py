"""Greedy set cover."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from armour.fuzz.setcover import cover


def union(hits: np.ndarray, rows: list[int]) -> set[int]:
    """Cells of these rows."""
    return set(hits[rows].reshape(-1).tolist()) - {-1}


def test_by_hand() -> None:
    # Row 2 has three cells; then 0 and 4 have one new each, and 1 and 3 none.
    hits = np.array([[0, -1, -1], [1, 2, -1], [1, 2, 3], [3, -1, -1], [4, 3, -1]])
    assert cover(hits, np.zeros(5, bool)) == [0, 2, 4]
    seen = np.array([True, False, False, True, False])
    assert cover(hits, seen.copy(), forced=[1]) == [1, 4]  # 0 and 3 are covered, 1 brings 1 and 2
    assert cover(hits[:0], np.zeros(5, bool)) == []
    # Ties go to the first in order; -1 is no cell, though the last is where it points to.
    assert cover(np.array([[5], [5], [-1]]), np.zeros(6, bool)) == [0]
    assert cover(np.array([[-1], [-1]]), np.zeros(6, bool)) == []


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(0, 12), m=st.integers(1, 4))
def test_everything_stays_covered_by_about_as_few_as_can_be(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    # Each column has cells of its own, as neurons do.
    hits = np.where(rng.random((n, m)) < 0.3, -1, rng.integers(0, 5, (n, m)) + 5 * np.arange(m))
    rows = cover(hits, np.zeros(5 * m, bool))
    whole = union(hits, list(range(n)))
    assert union(hits, rows) == whole and rows == sorted(set(rows))
    fewest = next(
        k
        for k in range(n + 1)
        for some in itertools.combinations(range(n), k)
        if union(hits, list(some)) == whole
    )
    assert len(rows) <= fewest * (1 + np.log(m))
