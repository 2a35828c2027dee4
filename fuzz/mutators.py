"""What a mutator is, and the registry of them.

A mutator is one row: a name, a family, its parameters with their ranges, and a batched function. The
function's noise comes from each item's own random stream, so a mutator's name, parameters and a 64-bit key
rebuild its result exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from armour.bounds import Bounds
from armour.registry import Registry
from armour.rng import Streams
from armour.tensor.backend import Array, get_xp

from .kinds import IMAGE, Kind

SLOPES = "slopes"  # what gradient-guided mutators need
# x (m, *shape) float32, parameters (p, m) float32, one stream for each item, bounds -> the changed x. One
# that is paired is given the partners too, like x, and one that needs something is given that.
ApplyFn = Callable[..., Array]


@dataclass(frozen=True, slots=True)
class Param:
    """One number of a mutator: drawn uniformly from [low, high], which is also what a recipe may hold.

    At `identity` (inside the range) the parameter has no effect.
    """

    name: str
    low: float
    high: float
    identity: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutator:
    """A named change of a batch of inputs.

    family: what failures are grouped by ("light", "noise", "blur", "geometry", ...); geometric: moves pixels
    or values, so that the reference must move too; min_channels: images of fewer channels are not changed by
    it. inputs: the kinds of inputs it is for, by name ("image", "array", "whole"). paired: it mixes an input
    with another seed of its class. needs: what else it must be given, "" for nothing: "slopes" of the model
    at the seeds, or what a user states of the inputs (fuzz/aids.py). default: takes part in a campaign unless
    it is left out; others only when they are named.
    """

    name: str
    family: str
    params: tuple[Param, ...]
    function: ApplyFn
    geometric: bool = False
    min_channels: int = 1
    inputs: tuple[str, ...] = (IMAGE.name,)
    paired: bool = False
    needs: str = ""
    default: bool = True

    @property
    def identity(self) -> tuple[float, ...]:
        """The parameters at which nothing changes."""
        return tuple(param.identity for param in self.params)

    def sample(self, streams: Streams) -> np.ndarray:
        """(m, p) float32: one draw of the parameters for each stream."""
        low = np.array([param.low for param in self.params], dtype=np.float32)
        high = np.array([param.high for param in self.params], dtype=np.float32)
        unit = streams.uniform((len(self.params),))
        return np.clip(unit * (high - low) + low, low, high).astype(np.float32)

    def apply(self, x: Array, params: Array, streams: Streams, bounds: Bounds, extra: Any = None) -> Array:
        """The changed batch: a new array like x (m, *shape), inside bounds, each item by itself alone.

        params: (m, p) float32; streams: m of them, not advanced. extra: for a paired mutator, another seed
        for each item, like x, or None for what `own_partner` makes of them; or what the mutator needs.
        """
        if len(x) == 0:
            return x.copy()
        # Each parameter in one run of memory: on strided arrays some functions take another path and round
        # otherwise.
        columns = get_xp(x).ascontiguousarray(params.T)
        own = Streams(streams.keys, streams.offset)
        if self.paired:
            return self.function(x, columns, own, bounds, own_partner(x) if extra is None else extra)
        if self.needs:
            return self.function(x, columns, own, bounds, extra)
        return self.function(x, columns, own, bounds)


MUTATORS: Registry[Mutator] = Registry("mutator")


def mutator(
    name: str,
    family: str,
    *params: Param,
    geometric: bool = False,
    min_channels: int = 1,
    inputs: tuple[str, ...] = (IMAGE.name,),
    paired: bool = False,
    needs: str = "",
    default: bool = True,
) -> Callable[[ApplyFn], ApplyFn]:
    """Decorator: register the function as a mutator."""

    def add(function: ApplyFn) -> ApplyFn:
        MUTATORS.register(name)(
            Mutator(
                name=name,
                family=family,
                params=params,
                function=function,
                geometric=geometric,
                min_channels=min_channels,
                inputs=inputs,
                paired=paired,
                needs=needs,
                default=default,
            )
        )
        return function

    return add


def own_partner(x: Array) -> Array:
    """What an input (m, ..., length) is mixed with whose class has no other seed: itself, turned by half."""
    return get_xp(x).roll(x, x.shape[-1] // 2, axis=-1)


def side(x: Array) -> int:
    """The shorter side in pixels, which lengths are fractions of."""
    return min(int(x.shape[2]), int(x.shape[3]))


@lru_cache(maxsize=1024)
def get(name: str) -> Mutator:
    """The mutator of that name; InvalidArgument with the nearest names if there is none."""
    return MUTATORS.get(name)


def names_for(
    shape: Sequence[int], kind: Kind = IMAGE, *, paired: bool = True, slopes: bool = False
) -> list[str]:
    """Names of the mutators that can change an input of `shape`, (c, h, w) of images, and kind, sorted.

    paired: some class has two seeds, so that they can be mixed. slopes: those of the model are known.
    """
    return [
        name
        for name, row in MUTATORS.items()
        if kind.name in row.inputs
        and (not kind.pixels or shape[0] >= row.min_channels)
        and (paired or not row.paired)
        and (not row.needs or (slopes if row.needs == SLOPES else kind.aids.has(row.needs)))
    ]
