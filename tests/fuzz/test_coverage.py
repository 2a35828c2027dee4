"""Coverage criteria against tables worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from armour.errors import InvalidArgument
from armour.fuzz.coverage import KMNC, NBC, NC, SNAC, TKNC, TKNP, shown

# Two neurons with profiles [0, 10] and [-1, 1]; five samples.
PROFILE = (np.array([0.0, -1.0]), np.array([10.0, 1.0]))
SAMPLES = np.array([[0.0, -1.0], [10.0, 1.0], [4.9, 0.0], [-0.1, 1.5], [11.0, 0.1]])


def test_kmnc_by_hand() -> None:
    # k = 2. Sections of neuron 0: [0, 5), [5, 10]; of neuron 1: [-1, 0), [0, 1].
    # Row 0 hits both first ones, row 1 both second ones, row 2 nothing new; rows 3 and 4: outside or seen.
    criterion = KMNC(k=2, profile=PROFILE)
    assert criterion.update({"dense": SAMPLES}).tolist() == [2, 2, 0, 0, 0]
    assert criterion.value == 1.0
    half = KMNC(k=2, profile=PROFILE)
    assert half.update({"dense": SAMPLES[[2, 0]]}).tolist() == [2, 1]
    assert half.value == 3 / 4


def test_nbc_and_snac_by_hand() -> None:
    # Corners: neuron 0 goes below (row 3) and above (row 4), neuron 1 only above (row 3).
    boundary, strong = NBC(profile=PROFILE), SNAC(profile=PROFILE)
    assert boundary.update({"dense": SAMPLES}).tolist() == [0, 0, 0, 2, 1]
    assert boundary.value == 3 / 4  # over 2 * N: MindArmour divides by N
    assert strong.update({"dense": SAMPLES}).tolist() == [0, 0, 0, 1, 1]
    assert strong.value == 1.0


def test_nc_by_hand() -> None:
    criterion = NC(threshold=1.0)
    assert criterion.update({"dense": SAMPLES}).tolist() == [0, 1, 0, 1, 0]  # 1.0 is not above 1.0
    assert criterion.value == 1.0


def test_tknc_takes_the_largest_of_each_layer() -> None:
    criterion = TKNC(k=1)
    layers = {"a": np.array([[1.0, 3.0, 2.0], [1.0, 3.0, 3.0]]), "b": np.array([[5.0, 5.0], [4.0, 6.0]])}
    # Row 0: a[1], b[0] (the tie goes to the lower index); row 1: a[1] again, b[1].
    assert criterion.update(layers).tolist() == [2, 1]
    assert criterion.value == 3 / 5


def test_a_channel_is_one_neuron() -> None:
    maps = np.zeros((2, 2, 2, 3), np.float32)
    maps[0, 1] = 6.0
    maps[1, 0, 0, 0] = 6.0  # spatial mean 1.0
    criterion = NC(threshold=0.5)
    assert criterion.update({"conv": maps}).tolist() == [1, 1]
    assert criterion.value == 1.0


def test_tknp_counts_sets_of_the_largest_over_all_layers() -> None:
    layers = {
        "a": np.array([[1.0, 3.0, 2.0], [1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [0.0, 9.0, 8.0]]),
        "b": np.array([[5.0, 5.0], [4.0, 6.0], [6.0, 4.0], [1.0, 0.0]]),
    }
    # k = 2: {1, 2} and {1, 2} of a, {0, 1} of b: rows 0, 1 and 3 have one pattern, row 2 has another.
    criterion = TKNP(k=2)
    assert criterion.update(layers).tolist() == [1, 0, 1, 0]
    assert criterion.value == 2.0
    # k = 1: (1, 0), (2, 1), (0, 0), (1, 0).
    criterion = TKNP(k=1)
    assert criterion.update(layers).tolist() == [1, 1, 1, 0]
    assert criterion.value == 3.0


def test_patterns_of_equal_sums_differ() -> None:
    """Sets of neurons are told apart, not the sums of their numbers: {0, 3} and {1, 2}."""
    rows = np.array([[9.0, 0, 0, 8], [0, 9, 8, 0]])
    assert TKNP(k=2).update({"a": rows}).tolist() == [1, 1]


def test_one_sparse_sample_does_not_cover_a_layer() -> None:
    """MindArmour counts ties: a layer with two live neurons of 100 and k = 3 was covered by one sample."""
    row = np.zeros((1, 100))
    row[0, [40, 50]] = 1.0
    criterion = TKNC(k=3)
    assert criterion.update({"relu": row}).tolist() == [3] and criterion.value == 0.03


def test_nc_scaled_as_deepxplore_does() -> None:
    criterion = NC(threshold=0.5, scaled=True)
    # Scaled: (0, 0.4, 1) and all equal, which is 0.
    assert criterion.update({"a": np.array([[10.0, 14, 20], [7, 7, 7]])}).tolist() == [1, 0]
    assert criterion.value == 1 / 3


def test_the_value_may_reach_one_with_dead_neurons() -> None:
    """MindArmour's KMNC turns NaN into sections for them; here a dead neuron has the one it can hit."""
    criterion = KMNC(k=4, profile=(np.array([2.0, 0.0]), np.array([2.0, 4.0])))
    gain = criterion.update({"a": np.array([[2.0, 0.5], [2.0, 1.5], [2.0, 2.5], [2.0, 3.5], [3.0, 9.0]])})
    assert gain.tolist() == [2, 1, 1, 1, 0]


def test_other_layers_are_refused() -> None:
    criterion = NC()
    criterion.update({"a": np.zeros((1, 3))})
    with pytest.raises(InvalidArgument, match=r"expected layers \[\('a', 3\)\], got \[\('a', 4\)\]"):
        criterion.update({"a": np.zeros((1, 4))})
    with pytest.raises(InvalidArgument, match="no layers"):
        criterion.update({})
    with pytest.raises(InvalidArgument, match="profile of 3 neurons"):
        KMNC(profile=PROFILE).update({"a": np.zeros((1, 3))})
    with pytest.raises(InvalidArgument, match="low <= high"):
        NBC(profile=(np.ones(2), np.zeros(2)))


def test_profile_as_layers() -> None:
    by_layer = ({"a": np.array([0.0]), "b": np.array([-1.0])}, {"a": np.array([10.0]), "b": np.array([1.0])})
    criterion = KMNC(k=2, profile=by_layer)
    criterion.update({"a": SAMPLES[:, :1], "b": SAMPLES[:, 1:]})
    assert criterion.value == 1.0


def test_values_for_people() -> None:
    assert [shown("kmnc", 0.612), shown("tknp", 1234.0), shown("nlc", 1.734)] == [
        "61.2 %",
        "1,234",
        "1.73 times",
    ]
