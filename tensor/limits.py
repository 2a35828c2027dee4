"""Limits on memory and time for networks that are not trusted yet.

A network read from a file may ask for anything: a pad of 2^40 zeros is one line of JSON. Inside `limited`
every operation is estimated from the shapes it is given (armour/tensor/demand.py), and refused before it runs
if it would pass the limit. The estimates do not depend on the machine, so a file is refused everywhere or
nowhere.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from armour.errors import InvalidArgument
from armour.tensor.backend import Array
from armour.tensor.demand import demand
from armour.tensor.demand_parts import MIB
from armour.tensor.op import Op
from armour.tensor.tape import state


@contextmanager
def limited(memory: int = 512 * MIB, seconds: float = 6.0) -> Iterator[None]:
    """Inside, an operation of this thread that would pass the limits raises InvalidArgument before it runs.

    memory: bytes alive at once in outputs and scratch. seconds: estimated time of all operations together.
    """
    guard = _Guard(memory, seconds)
    state.guards.append(guard.check)
    state.observers.append(guard.keep)
    try:
        yield
    finally:
        state.guards.remove(guard.check)
        state.observers.remove(guard.keep)


class _Guard:
    """Bytes that live and nanoseconds spent, against their limits."""

    def __init__(self, memory: int, seconds: float) -> None:
        self.memory, self.seconds = memory, seconds
        self.alive, self.spent = 0, 0.0
        self.known: dict[int, weakref.ref[Any]] = {}

    def check(self, row: Op, arrays: Sequence[Array], attrs: dict[str, Any]) -> None:
        need = demand(row, arrays, attrs)
        size = need.elements * max(4, _item(attrs), *(a.dtype.itemsize for a in arrays))
        if self.alive + size > self.memory:
            raise InvalidArgument(
                f"op {row.name} would need {size / MIB:,.0f} MiB beside {self.alive / MIB:,.0f} in use, "
                f"above the limit of {self.memory / MIB:,.0f} MiB"
            )
        self.spent += need.nanoseconds
        if self.spent > self.seconds * 1e9:
            raise InvalidArgument(
                f"it would take more than {self.seconds:g} s of computation, reached at op {row.name}"
            )

    def keep(self, row: Op, inputs: Any, attrs: dict[str, Any], out: Any) -> None:
        """Count the memory that an output holds, until it is freed; views hold what they look at."""
        array = out.data
        while isinstance(getattr(array, "base", None), type(array)):
            array = array.base
        key = id(array)
        if key in self.known:
            return
        size = int(array.nbytes)
        self.alive += size

        def freed(_reference: Any) -> None:
            self.alive -= size
            self.known.pop(key, None)

        self.known[key] = weakref.ref(array, freed)


def _item(attrs: dict[str, Any]) -> int:
    return 8 if str(attrs.get("dtype", "")) in ("float64", "int64", "uint64") else 4
