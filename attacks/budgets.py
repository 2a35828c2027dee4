"""Budgets of distance as users state them, numbers or text such as "8/255", checked against what can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from armour.bounds import Bounds
from armour.distances import Distance, parse_epsilon
from armour.errors import InvalidArgument

Epsilon: TypeAlias = float | str


def check_epsilons(
    epsilons: Epsilon | Sequence[Epsilon], distance: Distance, bounds: Bounds, size: int
) -> tuple[float, ...]:
    """Budgets (k,) as numbers, from one or several; InvalidArgument for none and as check_epsilon."""
    several = not isinstance(epsilons, (str, float, int)) and np.ndim(epsilons) > 0
    values: Any = epsilons if several else [epsilons]
    if len(values) == 0:
        raise InvalidArgument("expected at least one epsilon, got an empty list")
    return tuple(check_epsilon(value, distance, bounds, size) for value in values)


def check_epsilon(epsilon: Epsilon, distance: Distance, bounds: Bounds, size: int) -> float:
    """The budget as a number; InvalidArgument if no two inputs of `size` values are that far apart."""
    value = parse_epsilon(epsilon)
    longest = distance.longest(size, bounds.span)
    if value <= longest:
        return value
    what = f"exceeds the span of the model's bounds {tuple(bounds)}"
    if distance.name != "linf":
        what = f"exceeds {longest:g}, the largest {distance} distance of {size} values in {tuple(bounds)}"
    hint = f"did you mean {value:g}/255?" if value / 255 <= longest else f"use a budget up to {longest:g}"
    raise InvalidArgument(f"epsilon={value:g} {what}; {hint}")
