"""Argument checks: each message says what was expected, what came and, for names, what is near."""

import numpy as np
import pytest

from armour import checks
from armour.errors import InvalidArgument


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (checks.positive, [1, 0.5, np.float32(2)], [0, -1, float("nan"), float("inf"), "x", None, True]),
        (checks.non_negative, [0, 1.5], [-1e-9, float("nan"), "x", False]),
        (checks.fraction, [0, 1, 0.3], [-0.1, 1.1, float("nan"), [0.5]]),
        (checks.count, [1, 7, np.int64(3), 2.0], [0, -3, 1.5, float("nan"), float("inf"), "x", None, True]),
    ],
)
def test_number_checks(check, good, bad):
    for value in good:
        assert check("width", value) == value
    for value in bad:
        with pytest.raises(InvalidArgument, match=r"expected .*, got width="):
            check("width", value)


def test_count_from_zero():
    assert checks.count("n", 0, at_least=0) == 0
    with pytest.raises(InvalidArgument, match="at or above 2"):
        checks.count("n", 1, at_least=2)


def test_arrays_are_described_by_shape_and_long_values_are_cut():
    assert checks.describe("x", np.zeros((2, 3))) == "x of shape (2, 3), dtype float64"
    assert len(checks.describe("x", "y" * 1000)) < 120


def test_unknown_names_come_with_near_ones():
    with pytest.raises(InvalidArgument, match="did you mean linf"):
        checks.one_of("norm", "lnf", ["l1", "l2", "linf"])
    with pytest.raises(InvalidArgument, match="expected one of: l1, l2, linf"):
        checks.one_of("norm", "zzzzzzz", ["l1", "l2", "linf"])
