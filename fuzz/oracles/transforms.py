"""Named changes of an input for relations: a few of their own, and every mutator with fixed numbers.

A change is written NAME(key=number, ...). What leaves the model's bounds is clipped to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from armour.bounds import Bounds
from armour.checks import suggest
from armour.errors import InvalidArgument
from armour.fuzz.mutators import MUTATORS, Mutator
from armour.registry import Registry
from armour.rng import Streams

# x (n, *shape), bounds, numbers by name -> the changed x
Change = Callable[..., np.ndarray]
_NUMBER = r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?"
_CALL = re.compile(
    rf"\s*([a-z0-9-]{{1,40}})\s*(?:\(\s*((?:[a-z_]{{1,20}}\s*=\s*{_NUMBER}\s*(?:,\s*(?!\)))?)*)\))?\s*"
)


@dataclass(frozen=True, slots=True)
class Transform:
    """A change and its numbers with their defaults; None: it must be stated."""

    function: Change
    defaults: Mapping[str, float | None]


TRANSFORMS: Registry[Transform] = Registry("change")


def transform(name: str, **defaults: float | None) -> Callable[[Change], Change]:
    """Decorator: file the function as a change."""

    def add(function: Change) -> Change:
        TRANSFORMS.register(name)(Transform(function, defaults))
        return function

    return add


@dataclass(frozen=True, slots=True)
class Call:
    """A name and numbers, as written in a relation."""

    name: str
    numbers: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        return self.name + (
            f"({','.join(f'{k}={_exact(v)}' for k, v in self.numbers)})" if self.numbers else ""
        )

    @classmethod
    def parse(cls, text: str) -> Call:
        """NAME or NAME(key=number, ...); InvalidArgument for anything else."""
        match = _CALL.fullmatch(text) if isinstance(text, str) and len(text) <= 400 else None
        if match is None:
            raise InvalidArgument(
                f"expected NAME(key=number, ...), such as move(by=1), got {str(text)[:60]!r}"
            )
        pairs = [part.split("=") for part in (match[2] or "").split(",") if part.strip()]
        numbers = tuple((key.strip(), float(value)) for key, value in pairs)
        if len(dict(numbers)) < len(numbers) or any(abs(value) >= 1e30 for _, value in numbers):
            raise InvalidArgument(
                f"expected each number of {match[1]} once and below 1e30, got {text[:60]!r}"
            )
        return cls(match[1], numbers)

    def filled(self, defaults: Mapping[str, float | None]) -> dict[str, float]:
        """All numbers, the defaults where none are stated; InvalidArgument for an unknown or missing one."""
        given = dict(self.numbers)
        for name in given:
            if name not in defaults:
                raise InvalidArgument(f"{self.name} has no number {name!r}{suggest(name, list(defaults))}")
        values = {**defaults, **given}
        missing = [name for name, value in values.items() if value is None]
        if missing:
            raise InvalidArgument(f"{self.name} needs {', '.join(f'{one}=...' for one in missing)}")
        return {name: float(value) for name, value in values.items() if value is not None}


def changes(call: Call) -> Callable[[np.ndarray, Bounds], np.ndarray]:
    """What a call does to x (n, *shape), never writing to it; InvalidArgument if there is no such change."""
    if call.name in TRANSFORMS:
        row = TRANSFORMS.get(call.name)
        numbers = call.filled(row.defaults)
        return lambda x, bounds: np.clip(
            row.function(x, bounds, **numbers), np.float32(bounds.low), np.float32(bounds.high)
        )
    if call.name in MUTATORS:
        return _mutation(MUTATORS.get(call.name), call)
    known = [*TRANSFORMS, *MUTATORS]
    raise InvalidArgument(f"unknown change {call.name!r}{suggest(call.name, known)}")


def _mutation(row: Mutator, call: Call) -> Callable[[np.ndarray, Bounds], np.ndarray]:
    numbers = call.filled({param.name: param.identity for param in row.params})
    for param in row.params:
        if not param.low <= numbers[param.name] <= param.high:
            raise InvalidArgument(
                f"expected {param.name} of {row.name} in [{param.low}, {param.high}], "
                f"got {numbers[param.name]:g}"
            )
    values = np.array([numbers[param.name] for param in row.params], np.float32)

    def change(x: np.ndarray, bounds: Bounds) -> np.ndarray:
        # One key for all: what an input becomes depends on itself alone.
        streams = Streams(np.ones(len(x), np.uint64))
        return np.asarray(row.apply(x, np.tile(values, (len(x), 1)), streams, bounds))

    return change


@transform("flip", axis=-1)
def _flip(x: np.ndarray, bounds: Bounds, axis: float) -> np.ndarray:
    return np.flip(x, _axis(x, axis))


@transform("roll", by=None, axis=-1)
def _roll(x: np.ndarray, bounds: Bounds, by: float, axis: float) -> np.ndarray:
    return np.roll(x, int(by), _axis(x, axis))


@transform("move", by=None, axis=-1)
def _move(x: np.ndarray, bounds: Bounds, by: float, axis: float) -> np.ndarray:
    """By whole places; what comes in repeats the edge."""
    at = _axis(x, axis)
    index = np.clip(np.arange(x.shape[at]) - int(by), 0, x.shape[at] - 1)
    return np.take(x, index, axis=at)


@transform("multiply", factor=None)
def _multiply(x: np.ndarray, bounds: Bounds, factor: float) -> np.ndarray:
    return x * np.float32(factor)


@transform("offset", by=None)
def _offset(x: np.ndarray, bounds: Bounds, by: float) -> np.ndarray:
    return x + np.float32(by)


@transform("mirror-values")
def _mirror(x: np.ndarray, bounds: Bounds) -> np.ndarray:
    """Dark becomes bright: about the middle of the bounds."""
    return np.float32(bounds.low + bounds.high) - x


@transform("drop", channel=None)
def _drop(x: np.ndarray, bounds: Bounds, channel: float) -> np.ndarray:
    """A channel, or a feature, at the lower bound."""
    return _with(x, channel, lambda own: np.full_like(own, bounds.low))


@transform("set", column=None, to=None)
def _set(x: np.ndarray, bounds: Bounds, column: float, to: float) -> np.ndarray:
    return _with(x, column, lambda own: np.full_like(own, to))


@transform("add", column=None, by=None)
def _add(x: np.ndarray, bounds: Bounds, column: float, by: float) -> np.ndarray:
    return _with(x, column, lambda own: own + np.float32(by))


@transform("invert", channel=None)
def _invert(x: np.ndarray, bounds: Bounds, channel: float) -> np.ndarray:
    """A channel, or a feature, mirrored about the middle of the bounds."""
    return _with(x, channel, lambda own: np.float32(bounds.low + bounds.high) - own)


def _with(x: np.ndarray, place: float, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    if place != int(place) or not 0 <= place < x.shape[1]:
        raise InvalidArgument(f"expected a channel or column in 0..{x.shape[1] - 1}, got {place:g}")
    out = x.copy()
    out[:, int(place)] = change(x[:, int(place)])
    return out


def _axis(x: np.ndarray, axis: float) -> int:
    """Axis of the batch that stands for `axis` of one input."""
    own = int(axis) + x.ndim - 1 if axis < 0 else int(axis)
    if axis != int(axis) or not 0 <= own < x.ndim - 1:
        raise InvalidArgument(f"expected an axis of inputs {x.shape[1:]}, got {axis:g}")
    return own + 1


def _exact(value: float) -> str:
    """The shortest text that gives the number back."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
