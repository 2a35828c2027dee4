"""Laying out a program: which memory each value has, and the list of calls that fills it.

Kernels add calls through a Layout: they ask where their inputs lie, take memory for what they make, and emit
calls without arguments, which a plan then makes one after the other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from armour.tensor.backend import Array, Namespace
from armour.tensor.memory import Pool, Storage, view
from armour.tensor.program import Program, Step, Value

FEW = 4  # channels of an image, at most

Call = Callable[[], Any]
Kernel = Callable[["Layout", Step], bool]

KERNELS: dict[str, list[tuple[str, Kernel]]] = {}
"""Row or unit -> (family of kernels, what lays it out), the preferred first; one that gives False passes."""


def kernel(*rows: str, family: str = "numpy") -> Callable[[Kernel], Kernel]:
    """Function decorator: how steps of these rows are laid out by a family of kernels."""

    def register(function: Kernel) -> Kernel:
        for row in rows:
            found = KERNELS.setdefault(row, [])
            found.append((family, function))
            found.sort(key=lambda pair: pair[0] == "numpy")  # stable: numpy last
        return function

    return register


class Layout:
    """Memory and calls of one program, filled step by step.

    calls: made at each run. loads: made when a weight has changed, before anything else. owned: what must
    live as long as the calls do.
    """

    def __init__(self, program: Program, xp: Namespace, families: Sequence[str]) -> None:
        self.program, self.xp, self.families = program, xp, tuple(families)
        self.calls: list[Call] = []
        self.muted = False  # True while a plan is checked: effects are left out
        self.host: list[str] = []  # what the host has a part in at each run, so that no graph can replay it
        self.loads: list[Call] = []
        self.owned: list[Any] = []
        self.direct: list[Value] = []  # weights whose memory the calls read where it is
        self.packed: dict[int, Value] = {}  # weights that something is made of at load time
        self.pool = Pool(xp)
        self._arrays: dict[int, Array] = {}
        self._storages: dict[int, Storage] = {}
        self._left: Counter[int] = program.uses()
        self._scratch: list[Storage] = []
        self._kept: dict[Any, Array] = {}
        self._step: Step | None = None

    # -- for kernels: where things are ----------------

    def array(self, value: Value) -> Array:
        """The array of a value, in its shape; for a weight or a constant the array itself."""
        found = self._arrays.get(id(value))
        if found is None:
            found = value.source if value.origin == "constant" else value.source.data
            self._arrays[id(value)] = found
            if value.origin == "weight":
                self.direct.append(value)
        return found

    def rows(self, value: Value) -> Array:
        """A value (n, c, h, w) as a contiguous (n, h, w, c), copied if it lies otherwise."""
        last = self.array(value).transpose((0, 2, 3, 1))
        if last.flags.c_contiguous:
            return last
        copied = self.scratch(last.shape, value.dtype)
        if last.shape[3] > FEW:
            self.copy(copied, last)
        else:  # an image: NumPy would copy it pixel by pixel
            for k in range(last.shape[3]):
                self.copy(copied[..., k], last[..., k])
        return copied

    def flat(self, values: Sequence[Value]) -> list[Array] | None:
        """The values as one-dimensional arrays in the order of their memory; None if that differs."""
        arrays = [self.array(v) for v in values]
        first = arrays[0]
        if any(a.shape != first.shape for a in arrays):
            return None
        if all(a.flags.c_contiguous for a in arrays):
            return [a.reshape((-1,)) for a in arrays]
        if first.ndim == 4:
            turned = [a.transpose((0, 2, 3, 1)) for a in arrays]
            if all(a.flags.c_contiguous for a in turned):
                return [a.reshape((-1,)) for a in turned]
        return None

    def dying(self, value: Value) -> bool:
        """True if this step is the last to read the value's memory, so that it may be written over."""
        storage = self._storages.get(id(value))
        if storage is None or storage.shared or self._step is None:
            return False
        mine = sum(v is value for v in self._step.inputs)
        return storage.held == self._left[id(value)] == mine and self.flat([value]) is not None

    # -- for kernels: making things ----------------

    def make(self, value: Value, last: bool | None = None) -> Array:
        """Memory for a value, in its shape; `last`: as (n, h, w, c), by default as the recording had it."""
        turned = value.last if last is None else last
        shape = tuple(value.shape[i] for i in (0, 2, 3, 1)) if turned else value.shape
        storage = self._take(shape, value.dtype)
        storage.held = self._left[id(value)]
        array = view(storage, shape, value.dtype)
        self._storages[id(value)] = storage
        self._arrays[id(value)] = array.transpose((0, 3, 1, 2)) if turned else array
        return self._arrays[id(value)]

    def make_rows(self, value: Value) -> Array:
        """Memory for a value (n, c, h, w) as a contiguous (n, h, w, c)."""
        return self.make(value, last=True).transpose((0, 2, 3, 1))

    def take_over(self, value: Value, old: Value) -> Array:
        """The memory of `old`, which must be dying and of the same shape and dtype, for `value`."""
        return self.alias(value, old, self.array(old))

    def alias(self, value: Value, source: Value, array: Array) -> Array:
        """Let `value` be `array`, a view into the memory of `source`."""
        self._arrays[id(value)] = array
        storage = self._storages.get(id(source))
        if storage is None:  # a weight or a constant: its memory is nobody's to give back
            if source.origin == "weight" and source not in self.direct:
                self.direct.append(source)
            return array
        self._storages[id(value)] = storage
        storage.held += self._left[id(value)]
        return array

    def scratch(self, shape: Sequence[int], dtype: Any) -> Array:
        """Memory for this step alone."""
        storage = self._take(shape, dtype)
        self._scratch.append(storage)
        return view(storage, tuple(shape), dtype)

    def kept(self, key: Any, shape: Sequence[int], dtype: Any, fill: Callable[[Array], None]) -> Array:
        """Memory that nothing else is put in, filled once and shared by all who name the same key."""
        key = (key, tuple(shape), np.dtype(dtype).str)
        if key not in self._kept:
            self._kept[key] = self.own(shape, dtype)
            fill(self._kept[key])
        return self._kept[key]

    def own(self, shape: Sequence[int], dtype: Any) -> Array:
        """Memory that lives as long as the plan, for what is made when weights are loaded."""
        return view(self._fresh(shape, dtype), tuple(shape), dtype)

    def emit(self, call: Call) -> None:
        """Add a call to what each run does."""
        self.calls.append(call)

    def copy(self, target: Array, source: Array) -> None:
        """Emit target[...] = source."""
        self.calls.append(partial(self.xp.copyto, target, source))

    def on_load(self, call: Call) -> None:
        """Add a call to what is done when a weight has changed."""
        self.loads.append(call)

    def weight(self, value: Value) -> Callable[[], Array]:
        """A function that gives the present array of a weight, a constant or a prepared value, for a load."""
        if value.origin == "weight":
            self.packed[id(value)] = value
            return lambda: value.source.data
        if value.origin == "constant":
            return lambda: value.source
        array = self._arrays[id(value)]
        return lambda: array

    def fixed(self, value: Value) -> bool:
        """True for weights, constants and what is made of them at load time."""
        return value.origin in ("weight", "constant") or (
            id(value) in self._storages and self._storages[id(value)].shared
        )

    # -- for the plan ----------------

    def input(self, value: Value) -> Array:
        """Memory for an input of the program."""
        return self.make(value, last=False)

    def copied(self, weight: Value) -> None:
        """Keep a copy of a weight, made at load time, so that its own array may be replaced at will."""
        get, storage = self.weight(weight), self._fresh(weight.shape, weight.dtype)
        self._storages[id(weight)] = storage
        array = self._arrays[id(weight)] = view(storage, weight.shape, weight.dtype)
        self.loads.append(lambda: self.xp.copyto(array, get()))

    def prepared(self, step: Step) -> None:
        """Lay out a step that runs at load time."""
        sources = [self.weight(v) for v in step.inputs]
        targets = []
        for value in step.outs:
            storage = self._fresh(value.shape, value.dtype)
            self._storages[id(value)] = storage
            self._arrays[id(value)] = view(storage, value.shape, value.dtype)
            targets.append(self._arrays[id(value)])

        def load(row: Any = step.row, attrs: dict[str, Any] = step.attrs) -> None:
            made = row.forward(self.xp, *(get() for get in sources), **attrs)
            for target, result in zip(targets, made if len(targets) > 1 else (made,), strict=True):
                target[...] = result

        self.loads.append(load)

    def step(self, step: Step) -> None:
        """Lay out a step that runs at each call: the first kernel that takes it does so."""
        self._step = step
        for family, function in (*KERNELS.get(step.row.name, ()), *KERNELS["*"]):
            if family in self.families and function(self, step):
                break
        for value in step.outs:
            if self._left[id(value)] == 0:  # a second output that nobody reads
                self._drop(value, 0)
        for value in step.inputs:
            self._drop(value, 1)
        for storage in self._scratch:
            self.pool.give_back(storage)
        self._scratch.clear()
        self._step = None

    # -- inside ----------------

    def _drop(self, value: Value, uses: int) -> None:
        self._left[id(value)] -= uses
        storage = self._storages.get(id(value))
        if storage is None or storage.shared:
            return
        storage.held -= uses
        if storage.held == 0:
            self.pool.give_back(storage)
            storage.held = -1  # given back once

    def _take(self, shape: Sequence[int], dtype: Any) -> Storage:
        storage = self.pool.take(math.prod(shape) * np.dtype(dtype).itemsize)
        storage.held = 0
        return storage

    def _fresh(self, shape: Sequence[int], dtype: Any) -> Storage:
        # Never one that was given back: an earlier step writes there at each run.
        storage = self.pool.allocate(math.prod(shape) * np.dtype(dtype).itemsize)
        storage.shared = True
        return storage
