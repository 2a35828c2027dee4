"""Schedules against hand-computed rates, and their promises at the ends."""

import math

import pytest

from armour.errors import InvalidArgument
from armour.tensor import schedules


def rates(schedule, n):
    return [schedule(i) for i in range(n)]


def test_constant():
    assert rates(schedules.constant(0.1), 3) == [0.1, 0.1, 0.1]


def test_cosine():
    quarter = 0.4 * math.sqrt(0.5)  # 0.8 / 2 * cos(pi / 4)
    want = [1.0, 0.6 + quarter, 0.6, 0.6 - quarter, 0.2, 0.2, 0.2]
    assert rates(schedules.cosine(1.0, 4, final=0.2), 7) == pytest.approx(want)


def test_step():
    assert rates(schedules.step(1.0, (2, 4), factor=0.5), 6) == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    with pytest.raises(InvalidArgument, match="increasing"):
        schedules.step(1.0, (4, 2))


def test_cyclic():
    assert rates(schedules.cyclic(0.0, 1.0, 4), 6) == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0, 0.5])


def test_one_cycle():
    schedule = schedules.one_cycle(1.0, 10, rise=0.3)
    got = rates(schedule, 12)
    assert (
        got[0] == pytest.approx(0.04)
        and got[3] == pytest.approx(1.0)
        and got[10] == got[11] == pytest.approx(4e-6)
    )
    assert got[:4] == sorted(got[:4]) and got[3:] == sorted(got[3:], reverse=True)
    for rise in (0.0, 1.0):  # no way up, or no way down
        edge = rates(schedules.one_cycle(1.0, 5, rise=rise), 7)
        assert max(edge) <= 1.0 and edge[-1] == pytest.approx(4e-6)


def test_warm_up():
    assert rates(schedules.warm_up(schedules.constant(1.0), 3), 5) == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates(schedules.warm_up(schedules.constant(1.0), 0), 2) == [1.0, 1.0]


def test_by_name():
    assert schedules.SCHEDULES.names() == ["constant", "cosine", "one-cycle", "step"]
    for _, make in schedules.SCHEDULES.items():
        got = rates(make(0.1, 20), 25)
        assert all(0 <= r <= 0.1 + 1e-12 for r in got) and max(got) == pytest.approx(0.1)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), "0.1x"])
def test_bad_rate(bad):
    with pytest.raises(InvalidArgument, match="rate"):
        schedules.cosine(bad, 10)


def test_bad_steps():
    with pytest.raises(InvalidArgument, match="steps"):
        schedules.cosine(0.1, 0)
