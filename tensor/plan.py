"""A plan: a program laid out in memory, run by making its calls one after the other."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from armour.tensor import lowering  # noqa: F401  (files its kernels in KERNELS)
from armour.tensor.backend import Array, Namespace
from armour.tensor.families import serving
from armour.tensor.layout import Call, Layout
from armour.tensor.program import Program, Value
from armour.tensor.stages import Stage


class Plan:
    """Runs a program on inputs of the shapes it was recorded with.

    The plan owns its memory and is not thread-safe: one plan for each thread. Weights are looked at before
    each run: one that was replaced or written to is read anew.
    """

    def __init__(self, program: Program, xp: Namespace, families: Sequence[str]) -> None:
        self.program, self.xp, self.families = program, xp, serving(families, xp)
        self._own: set[int] = set()  # ids of weights that the plan keeps a copy of
        self._limit: Callable[[int], int] = lambda threads: 0
        if "onednn" in self.families:
            from armour.tensor.kernels.onednn_library import limit_threads

            self._limit = limit_threads
        self._build()

    def run(self, *inputs: Array) -> list[Array]:
        """The outputs, in the plan's own memory: valid, and not to be changed, until the next run."""
        self.refresh()  # may lay out anew, so before anything else is looked at
        return self._run(self._inputs, inputs, self._calls)

    def start(self, *early: Array) -> list[Array]:
        """Run what needs no late input; the outputs that do not wait for one are valid."""
        self.refresh()
        return self._run(self._early, early, self._calls[: self._split])

    def finish(self, *late: Array) -> list[Array]:
        """Run the rest, after `start`."""
        return self._run(self._late, late, self._calls[self._split :])

    def __call__(self, *inputs: Array) -> list[Array]:
        """The outputs as new arrays."""
        return [self.xp.array(out, order="C") for out in self.run(*inputs)]

    def lend(self, *inputs: Array) -> list[Array] | None:
        """The outputs in the plan's own memory, to keep; None while arrays lent before are still in use.

        As long as somebody holds one, the plan must not run otherwise.
        """
        if not self.free():
            return None
        return [out[...] for out in self.run(*inputs)]

    def free(self) -> bool:
        """True if nobody holds arrays that were lent; False too where that cannot be known."""
        if self._idle is None:
            return False
        return [sys.getrefcount(owner) for owner in self._owners] == self._idle

    def check(self, *inputs: Array) -> list[Array]:
        """The outputs as new arrays, without effects on the world."""
        self._layout.muted = True
        try:
            return self(*inputs)
        finally:
            self._layout.muted = False

    @property
    def outputs(self) -> list[Array]:
        """Where the outputs are, in the plan's own memory; what they hold is valid after a run."""
        return self._outputs

    @property
    def nbytes(self) -> int:
        """Memory that the plan has allocated."""
        return self._layout.pool.allocated

    @property
    def plain(self) -> list[str]:
        """On a CUDA device: why the plan's stages are not replayed as CUDA graphs; empty if they are."""
        return [c.plain for c in (*self._calls, *self._loads) if isinstance(c, Stage) and c.plain]

    def refresh(self) -> None:
        """Read weights that have changed since the last run."""
        for value, array in self._direct:
            if value.source.data is not array:
                # It was replaced, and may be again: from now on the plan has a copy of its own.
                self._own.add(id(value))
                self._build()
                return
        changed = False
        for watch in self._watches:
            changed |= watch()
        if changed:
            self._load()

    # -- inside ----------------

    def _run(self, targets: Sequence[Array], sources: Sequence[Array], calls: Sequence[Call]) -> list[Array]:
        before = self._limit(1)  # tiles are what threads share; a kernel has one
        try:
            for target, source in zip(targets, sources, strict=True):
                target[...] = source
            for call in calls:
                call()
        finally:
            self._limit(before)
        return self._outputs

    def _build(self) -> None:
        layout = self._layout = Layout(self.program, self.xp, self.families)
        self._inputs = [layout.input(v) for v in self.program.inputs]
        for weight in self.program.weights():
            if id(weight) in self._own:
                layout.copied(weight)
        for step in self.program.prepared:
            layout.prepared(step)
        first, second = self.program.stages()
        for step in first:
            layout.step(step)
        self._split = len(layout.calls)
        for step in second:
            layout.step(step)
        late = {id(v) for v in self.program.late}
        pairs = list(zip(self.program.inputs, self._inputs, strict=True))
        self._early = [array for value, array in pairs if id(value) not in late]
        self._late = [array for value, array in pairs if id(value) in late]
        self._outputs = [layout.array(v) for v in self.program.outputs]
        # Views count as references to what owns the memory: how many there are while nothing is lent.
        self._owners = [_owner(array) for array in self._outputs]
        counts = hasattr(sys, "getrefcount") and self.xp is np
        self._idle = [sys.getrefcount(owner) for owner in self._owners] if counts else None
        self._calls: tuple[Call, ...] = tuple(layout.calls)
        self._loads: tuple[Call, ...] = tuple(layout.loads)
        if self.xp.__name__ == "cupy":
            stages = [self._calls[: self._split], self._calls[self._split :]]
            self._calls = tuple(Stage(self.xp, calls, layout.host) for calls in stages if calls)
            self._split = min(self._split, 1)
            self._loads = (Stage(self.xp, self._loads, ()),) if self._loads else ()
        self._direct = [(v, layout.array(v)) for v in layout.direct]
        if self.xp is np:
            self._watches = [_watch_host(v) for v in layout.packed.values()]
        else:
            self._watches = [_watch_device(list(layout.packed.values()), self._loads)] if self._loads else []
        self._load()

    def _load(self) -> None:
        for load in self._loads:
            load()


def _owner(array: Array) -> Array:
    while isinstance(getattr(array, "base", None), type(array)):
        array = array.base
    return array


def _watch_host(value: Value) -> Callable[[], bool]:
    """A function that says whether a weight has changed since it was last called."""
    state: list[Any] = [None, None, 0, 0]  # array, copy, their addresses
    compare = _memcmp()

    def take() -> bool:
        array = value.source.data
        copy = np.array(array, order="C")
        plain = array.flags.c_contiguous and compare is not None
        state[:] = [array, copy, array.ctypes.data if plain else 0, copy.ctypes.data]
        return True

    def changed() -> bool:
        array, copy, here, there = state
        if value.source.data is not array:
            return take()
        if here and compare is not None:
            return take() if compare(here, there, copy.nbytes) else False
        same = np.array_equal(array, copy, equal_nan=array.dtype.kind == "f")
        return False if same else take()

    take()
    return changed


def _watch_device(values: Sequence[Value], loads: Sequence[Call]) -> Callable[[], bool]:
    """Always true: comparing would have to wait for the device, which takes longer than reading anew."""
    arrays = [value.source.data for value in values]

    def changed() -> bool:
        for number, value in enumerate(values):
            if value.source.data is not arrays[number]:
                arrays[number] = value.source.data
                for load in loads:
                    if isinstance(load, Stage):
                        load.forget()  # its graph reads where the weight was
        return True

    return changed


@cache
def _memcmp() -> Callable[[int, int, int], int] | None:
    """The C library's comparison of memory: a whole weight in a microsecond. None where it is not found."""
    try:
        function = ctypes.CDLL(None).memcmp
    except (AttributeError, OSError, TypeError):
        return None
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    function.restype = ctypes.c_int
    return function
