"""Learning rates as functions of the step: each function here returns a schedule, `schedule(step) -> rate`.

Steps count from 0 (the rate of the first update). A schedule keeps no state, so resuming needs the step
alone. After its last step a schedule stays at its final value.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence

from armour.checks import count, describe, fraction, non_negative, positive
from armour.errors import InvalidArgument
from armour.registry import Registry

Schedule = Callable[[int], float]

SCHEDULES: Registry[Callable[[float, int], Schedule]] = Registry("schedule")
"""Schedules by name, as functions of (rate, number of steps in all) with the usual settings."""


def constant(rate: float) -> Schedule:
    """Always `rate`."""
    rate = non_negative("rate", rate)
    return lambda step: rate


def cosine(rate: float, steps: int, *, final: float = 0.0) -> Schedule:
    """From `rate` down to `final` along half a cosine over `steps` steps.

    Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983 (without restarts).
    """
    rate, final, steps = non_negative("rate", rate), non_negative("final", final), count("steps", steps)
    return lambda step: _half_cosine(rate, final, step / steps)


def step(rate: float, milestones: Sequence[int], *, factor: float = 0.1) -> Schedule:
    """`rate`, multiplied by `factor` once more from each step in `milestones` on."""
    rate, factor = non_negative("rate", rate), positive("factor", factor)
    places = [count("milestone", m, at_least=0) for m in milestones]
    if places != sorted(places):
        raise InvalidArgument(
            f"expected milestones in increasing order, got {describe('milestones', milestones)}"
        )
    return lambda step: rate * factor ** bisect.bisect_right(places, step)


def cyclic(low: float, high: float, period: int) -> Schedule:
    """Straight up from `low` to `high` in the first half of each period and down again in the second.

    Smith, 2017, https://arxiv.org/abs/1506.01186.
    """
    low, high, period = (
        non_negative("low", low),
        non_negative("high", high),
        count("period", period, at_least=2),
    )

    def at(step: int) -> float:
        place = (step % period) / period
        return low + (high - low) * (1.0 - abs(2.0 * place - 1.0))

    return at


def one_cycle(
    rate: float, steps: int, *, rise: float = 0.3, start: float = 0.04, final: float = 4e-6
) -> Schedule:
    """Up to the peak `rate` in the first part of training, then down to nearly nothing, along half cosines.

    rise: share of the steps spent going up. start, final: first and last rate, as fractions of the peak.
    Smith and Topin, 2019, https://arxiv.org/abs/1708.07120.
    """
    rate, steps, rise = non_negative("rate", rate), count("steps", steps), fraction("rise", rise)
    top = rise * steps

    def at(step: int) -> float:
        if step < top:
            return _half_cosine(start * rate, rate, step / top)
        return _half_cosine(rate, final * rate, (step - top) / (steps - top) if steps > top else 1.0)

    return at


def warm_up(schedule: Schedule, steps: int) -> Schedule:
    """The schedule, its first `steps` rates scaled by 1/(steps+1), 2/(steps+1), and so on."""
    steps = count("steps", steps, at_least=0)
    return lambda step: schedule(step) * min((step + 1) / (steps + 1), 1.0)


def _half_cosine(first: float, last: float, place: float) -> float:
    """`first` at place 0, `last` from place 1 on, flat at both ends."""
    return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * min(max(place, 0.0), 1.0)))


SCHEDULES.register("constant")(lambda rate, steps: constant(rate))
SCHEDULES.register("cosine")(cosine)
SCHEDULES.register("step")(lambda rate, steps: step(rate, (steps // 2, steps * 3 // 4)))
SCHEDULES.register("one-cycle")(one_cycle)
