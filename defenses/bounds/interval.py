"""Interval bounds: a box carried forward through the steps, in Tensor operations that can be differentiated.

Gowal et al., 2018, https://arxiv.org/abs/1810.12715.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from armour.defenses.bounds.largest import largest_interval
from armour.defenses.bounds.program import Program
from armour.defenses.bounds.region import Region
from armour.defenses.bounds.rounding import Rounding
from armour.defenses.bounds.steps import Affine, Curved, Largest, Step
from armour.tensor import maximum, minimum
from armour.tensor.core import Tensor, wrap


@dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """Bounds of one step's values.

    low, high (n, *shape). slack (n, *shape): how far the value evaluated in floating point may be from the
    step's function of its parents' evaluated values; None for none. size (n, *shape): magnitudes that were
    summed, for the rounding of what follows.
    """

    low: Tensor
    high: Tensor
    slack: np.ndarray | None = None
    size: np.ndarray | None = None

    def within(self, low: Tensor, high: Tensor) -> Interval:
        """The part that lies in [low, high] too."""
        return Interval(maximum(self.low, low), minimum(self.high, high), self.slack, self.size)

    @property
    def magnitude(self) -> np.ndarray:
        """The largest magnitude of a value."""
        found: np.ndarray = np.maximum(np.abs(self.low.data), np.abs(self.high.data))
        return found


def intervals(program: Program, region: Region, rounding: Rounding) -> list[Interval]:
    """Interval bounds of every step."""
    found = [start(region, rounding)]
    for step in program.steps[1:]:
        found.append(interval(step, found, rounding))
    return found


def start(region: Region, rounding: Rounding) -> Interval:
    """Of the input."""
    held = Interval(region.low, region.high)
    if not rounding.pads:
        return held
    size = held.magnitude
    return Interval(held.low, held.high, rounding.lines(size), size)


def interval(step: Step, found: Sequence[Interval], rounding: Rounding) -> Interval:
    """Of one step, from its parents'."""
    given = [found[p] for p in step.parents]
    if isinstance(step, Affine):
        return _affine(step, given, rounding)
    if isinstance(step, Curved):
        curve = step.curve
        low, high = curve.value(given[0].low), curve.value(given[0].high)
        if not rounding.pads:
            return Interval(low, high)
        size = np.maximum(np.abs(low.data), np.abs(high.data))
        slack = rounding.lines(given[0].magnitude + size)
        if curve.library:
            slack = slack + rounding.function(1.0 + size)
        slack = slack + curve.operations * rounding.unit * given[0].magnitude
        more = wrap(slack) if curve.library or curve.operations else wrap(np.zeros(()))
        return Interval(low - more, high + more, slack, size + slack)
    assert isinstance(step, Largest)
    low, high = largest_interval(step, given[0].low, given[0].high)
    if not rounding.pads:
        return Interval(low, high)
    size = np.maximum(np.abs(low.data), np.abs(high.data))
    return Interval(low, high, rounding.lines(size), size)


def _affine(step: Affine, given: Sequence[Interval], rounding: Rounding) -> Interval:
    middle: Tensor | None = step.offset
    radius: Tensor | None = None
    for held, linear in zip(given, step.maps, strict=True):
        m = linear.apply((held.high + held.low) * 0.5)
        r = linear.spread((held.high - held.low) * 0.5)
        middle = m if middle is None else middle + m
        radius = r if radius is None else radius + r
    assert middle is not None and radius is not None
    if not rounding.pads:
        return Interval(middle - radius, middle + radius)
    size = np.zeros(()) if step.offset is None else np.abs(step.offset.data)
    for held, linear in zip(given, step.maps, strict=True):
        size = size + linear.spread(wrap(held.size)).data
    if step.terms == 0:
        slack = rounding.lines(size)
    else:
        slack = rounding.products(step.terms, max(map(_numel, (middle, *(h.low for h in given)))), size)
    more = wrap(slack)
    return Interval(middle - radius - more, middle + radius + more, slack, size + slack)


def _numel(t: Tensor) -> int:
    return int(np.prod(t.shape[1:]))
