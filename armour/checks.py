"""Argument checks that state the message formula once: what was expected, what came, what to do."""

from __future__ import annotations

import math
from collections.abc import Collection
from difflib import get_close_matches

from armour.errors import InvalidArgument


def describe(name: str, value: object) -> str:
    """`name=value (type)`, with arrays shown by shape and dtype and long values cut."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{name} of shape {tuple(shape)}, dtype {dtype}"
    text = repr(value)
    return f"{name}={text if len(text) <= 80 else text[:77] + '...'} (type {type(value).__name__})"


def positive(name: str, value: float) -> float:
    """A finite number above zero; raises InvalidArgument."""
    return _number(name, value, value_ok=lambda v: v > 0, expected="a number above 0")


def non_negative(name: str, value: float) -> float:
    """A finite number at or above zero; raises InvalidArgument."""
    return _number(name, value, value_ok=lambda v: v >= 0, expected="a number at or above 0")


def fraction(name: str, value: float) -> float:
    """A number in [0, 1]; raises InvalidArgument."""
    return _number(name, value, value_ok=lambda v: 0 <= v <= 1, expected="a number in [0, 1]")


def count(name: str, value: int, at_least: int = 1) -> int:
    """A whole number at or above `at_least`; raises InvalidArgument."""
    try:
        whole = not isinstance(value, bool) and int(value) == value
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole or value < at_least:
        raise InvalidArgument(f"expected a whole number at or above {at_least}, got {describe(name, value)}")
    return int(value)


def one_of(name: str, value: str, allowed: Collection[str]) -> str:
    """A member of a closed set; raises InvalidArgument with the nearest names."""
    if value not in allowed:
        raise InvalidArgument(f"unknown {name} {value!r}{suggest(str(value), allowed)}")
    return value


def suggest(value: str, allowed: Collection[str]) -> str:
    """The tail of an unknown-name message: the nearest names, or the list of all."""
    near = get_close_matches(value, sorted(allowed), n=3, cutoff=0.5)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; expected one of: {', '.join(sorted(allowed))}"


def _number(name: str, value: float, *, value_ok: object, expected: str) -> float:
    ok = callable(value_ok)
    try:
        number = float(value)
        ok = ok and not isinstance(value, bool) and math.isfinite(number) and bool(value_ok(number))  # type: ignore[operator]
    except (TypeError, ValueError):
        ok = False
    if not ok:
        raise InvalidArgument(f"expected {expected}, got {describe(name, value)}")
    return number
