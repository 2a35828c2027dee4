"""Fingerprints: their distance is the angle that SimHash promises, and their bits are fixed."""

from __future__ import annotations

import numpy as np
import pytest

from armour.fuzz.simhash import NEAR, fingerprints, nearest


def test_equal_sections_give_equal_fingerprints_alone_or_in_a_batch() -> None:
    sections = np.random.default_rng(0).integers(0, 8, (70, 33))
    whole = fingerprints(sections)
    assert whole.dtype == np.uint64 and len(np.unique(whole)) == 70
    assert [int(fingerprints(row[None])[0]) for row in sections] == whole.tolist()


@pytest.mark.parametrize("changed", [0.02, 0.1, 0.3, 0.6, 1.0])
def test_bits_that_differ_are_the_angle_between_the_sections(changed: float) -> None:
    rng = np.random.default_rng(1)
    one = rng.integers(0, 8, (200, 500))
    two = one.copy()
    count = round(changed * 500)
    for row in two:
        places = rng.choice(500, count, replace=False)
        row[places] = (row[places] + rng.integers(1, 8, count)) % 8
    distance = np.bitwise_count(fingerprints(one) ^ fingerprints(two)).mean()
    # E[distance] = 64 angle / pi with cos(angle) = share of sections that are the same.
    assert distance == pytest.approx(64 * np.arccos(1 - changed) / np.pi, rel=0.06)


def test_no_neurons_no_difference() -> None:
    assert fingerprints(np.zeros((3, 0), np.int64)).tolist() == [0, 0, 0]
    assert fingerprints(np.zeros((0, 5), np.int64)).shape == (0,)


def test_fingerprints_compare_across_runs() -> None:
    assert hex(int(fingerprints(np.arange(40)[None] % 8)[0])) == "0x6058c82016f99d8d"


def test_the_first_that_is_near_enough() -> None:
    known = np.array([2**64 - 1, 0b1, 0b0], np.uint64)
    assert nearest((1 << NEAR) - 1, known) == 1
    assert nearest((1 << (NEAR + 1)) - 1 << 1, known) == -1
    assert nearest(2**64 - 2, known) == 0
    assert nearest(5, np.zeros(0, np.uint64)) == -1
