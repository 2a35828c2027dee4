"""Coverage criteria against tables worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from armour.errors import InvalidArgument
from armour.fuzz.coverage import CRITERIA, KMNC, NBC, NC, SNAC, TKNC

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


@pytest.mark.parametrize("name", CRITERIA.names())
def test_every_criterion_gains_per_sample_and_only_once(name: str) -> None:
    kind = CRITERIA.get(name)
    options = {"profile": PROFILE} if name in ("kmnc", "nbc", "snac") else {}
    whole, parts = kind(**options), kind(**options)
    gain = whole.update({"dense": SAMPLES})
    assert gain.shape == (5,) and gain.sum() > 0
    # One sample at a time gives the same credit as the batch: gain belongs to samples, not to batches.
    assert [int(parts.update({"dense": row[None]})[0]) for row in SAMPLES] == gain.tolist()
    assert whole.update({"dense": SAMPLES}).sum() == 0
    assert whole.update({"dense": SAMPLES[:0]}).shape == (0,)
    assert whole.value == parts.value


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
