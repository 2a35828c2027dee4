"""Nearest-neighbour coverage against naive loops and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armour.errors import InvalidArgument
from armour.fuzz.coverage import NearestNeighbour


def naive(rows: np.ndarray, threshold: float, base: np.ndarray) -> list[int]:
    """1 for each row farther than the threshold from all kept before it."""
    kept, gain = [list(row) for row in base], []
    for row in rows.tolist():
        far = all(sum((a - b) ** 2 for a, b in zip(row, k, strict=True)) > threshold**2 for k in kept)
        gain.append(int(far))
        if far:
            kept.append(row)
    return gain


def test_by_hand_on_a_line() -> None:
    criterion = NearestNeighbour(threshold=1.0)
    line = np.array([[0.0], [0.9], [1.0], [1.1], [2.05], [2.2], [-5.0]])
    # 1.0 is not farther than 1.0; 1.1 is kept, so that 2.05 is too near to it and 2.2 is not.
    assert criterion.update({"logits": line}).tolist() == [1, 0, 0, 1, 0, 1, 1]
    assert criterion.value == 4.0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(0, 30), width=st.integers(1, 9))
def test_as_naive_loops_do(seed: int, n: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    # Away from the threshold: coordinates on a grid of an eighth of it are rounded exactly.
    rows, base = (rng.integers(-16, 17, (k, width)) / 8 for k in (n, 4))
    criterion = NearestNeighbour(threshold=1.0, base=base)
    assert criterion.update({"a": rows}).tolist() == naive(rows, 1.0, base)


def test_rounding_is_small() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(400, 10))
    gain = NearestNeighbour(threshold=3.0).update({"a": rows})
    assert np.abs(gain - naive(rows, 3.0, rows[:0])).sum() <= 4


def test_clean_data_says_what_is_near() -> None:
    rng = np.random.default_rng(4)
    clean, more = rng.normal(size=(2, 1000, 5))
    for scale in (1.0, 1e-4, 1e4):  # a threshold that is fixed depends on the scale; this one does not
        criterion = NearestNeighbour.fit({"logits": clean * scale})
        assert criterion.update({"logits": clean * scale}).sum() == 0
        few = NearestNeighbour.fit({"logits": clean * scale})
        assert 20 < few.update({"logits": more * scale}).sum() <= 150  # about one in ten
        assert few.update({"logits": (more + 20) * scale}).sum() >= 10
    apart = np.array([[0.0], [1.0], [3.0], [6.0]])  # nearest others at 1, 1, 2 and 3
    assert NearestNeighbour.fit({"a": apart}, quantile=1.0).threshold == 3.0
    assert NearestNeighbour.fit({"a": apart}, quantile=0.0).threshold == 1.0


def test_the_number_of_points_is_limited() -> None:
    criterion = NearestNeighbour(threshold=0.5, most=3)
    assert criterion.update({"a": np.arange(9.0)[:, None]}).sum() == 3
    assert criterion.update({"a": np.array([[100.0]])}).sum() == 0


def test_far_away_is_not_lost_in_rounding() -> None:
    criterion = NearestNeighbour(threshold=1e-3, base=np.zeros((1, 4)))
    far = np.full((2, 4), 1e30)
    assert criterion.update({"a": far}).tolist() == [1, 0]


def test_a_chosen_layer() -> None:
    given = {"a": np.array([[0.0], [5.0]]), "b": np.zeros((2, 1))}
    assert NearestNeighbour(threshold=1.0, layer="a").update(given).tolist() == [1, 1]
    assert NearestNeighbour(threshold=1.0).update(given).tolist() == [1, 0]
    with pytest.raises(InvalidArgument, match="expected the layer 'c', got a, b"):
        NearestNeighbour(threshold=1.0, layer="c").update(given)
