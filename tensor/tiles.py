"""Batches in tiles: a few samples run through the whole of a plan while what they need is in the cache.

The sizes of tiles are powers of two and follow from the network and the batch alone, so that results do not
depend on how many threads share them, and few plans serve batches of any size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from armour.tensor.backend import Array, get_xp
from armour.tensor.compiled import Compiled
from armour.tensor.plan import Plan
from armour.tensor.program import Program
from armour.tensor.workers import share

CACHE = 1 << 21  # bytes that the largest value of a tile may take
LARGEST = 256  # samples of a tile
LENT = 2  # plans whose memory is lent at the same time
FEW = 4  # channels of an image, at most
DEVICE_BYTES, DEVICE_LARGEST = 1 << 28, 1 << 14  # the same on a device, which wants long calls
PROBE = 8  # samples of the run that measures a function


class Tiled:
    """A function of a batch whose samples are independent, captured and run tile by tile.

    Takes and returns arrays with the samples along the first axis. A function with an input that is given
    `later` runs in two stages: see `staged` and `held`.
    """

    def __init__(self, function: Callable[..., Any], key: Callable[[], Any] | None = None) -> None:
        self.compiled = Compiled(function, key)
        self._sizes: dict[Any, int] = {}
        self._single: set[tuple[int, ...]] = set()  # shapes of batches that are one tile

    def __call__(self, *arrays: Array) -> list[Array]:
        """The outputs for the whole batch, as new arrays in the memory order that the plan gives them."""
        n = len(arrays[0])
        shape = arrays[0].shape
        parts = None if shape in self._single else self.tiles(n, arrays)
        if parts is None or len(parts) == 1:
            self._single.add(shape)
            return [_copied(array) for array in self.compiled.plan(*arrays).run(*arrays)]
        # Made before any tile has run, so that none has to go first while other workers wait.
        first = self.compiled.plan(*(a[parts[0]] for a in arrays))
        outputs = [_like(array, n) for array in first.outputs]

        def job(rows: slice) -> None:
            given = [a[rows] for a in arrays]
            _store(outputs, self.compiled.plan(*given).run(*given), rows, n)

        if type(arrays[0]) is not np.ndarray:  # a device has work enough for itself
            for rows in parts:
                job(rows)
            return outputs
        share([lambda rows=rows: job(rows) for rows in parts])  # type: ignore[misc]
        return outputs

    def lent(self, *arrays: Array) -> list[Array]:
        """Like a call, but without a copy where the batch is one tile and a plan is free: see Plan.lend."""
        if len(self.tiles(len(arrays[0]), arrays)) == 1:
            for slot in range(1, 1 + LENT):
                found = self.compiled.plan(*arrays, slot=slot).lend(*arrays)
                if found is not None:
                    return found
        return self(*arrays)

    def result(self, *arrays: Array) -> Any:
        """The structure of the function's result, as it was when it was recorded."""
        return self.compiled.recording(*(a[self.tiles(len(a), arrays)[0]] for a in arrays)).result

    def staged(self, x: Array, between: Callable[[slice, list[Array]], Array]) -> list[Array]:
        """Run in two stages, tile by tile: between(rows, outputs) gives the late input for these rows."""
        n, outputs = len(x), list[Array]()
        for rows in self.tiles(n, [x]):
            plan = self.compiled.plan(x[rows])
            late = between(rows, plan.start(x[rows]))
            _store(outputs, plan.finish(late), rows, n)
        return outputs

    def held(self, x: Array, between: Callable[[list[Array]], Array]) -> list[Array]:
        """Like `staged`, with one `between` for the whole batch: every tile's plan waits for it."""
        n, parts = len(x), self.tiles(len(x), [x])
        first, outputs = list[Array](), list[Array]()
        plans: list[Plan] = []
        for slot, rows in enumerate(parts):
            plans.append(self.compiled.plan(x[rows], slot=slot))
            _store(first, plans[-1].start(x[rows]), rows, n)
        late = between(first)
        for plan, rows in zip(plans, parts, strict=True):
            _store(outputs, plan.finish(late[rows]), rows, n)
        return outputs

    def tiles(self, n: int, arrays: Sequence[Array]) -> list[slice]:
        """The rows of each tile: as many whole tiles as there are, then ever smaller powers of two."""
        size, start, parts = self._size(n, arrays), 0, []
        if n <= size and n & (n - 1) == 0:
            return [slice(0, n)]
        while start < n:
            while size > n - start:
                size //= 2
            parts.append(slice(start, start + size))
            start += size
        return parts

    def _size(self, n: int, arrays: Sequence[Array]) -> int:
        kind = tuple((a.shape[1:], a.dtype) for a in arrays)
        known = self._sizes.get(kind)
        if known is None:
            few = [a[: min(PROBE, n)] for a in arrays]
            largest = _largest(self.compiled.recording(*few).program) / len(few[0])
            host = type(arrays[0]) is np.ndarray
            limit, most = (CACHE, LARGEST) if host else (DEVICE_BYTES, DEVICE_LARGEST)
            fitting = max(1, int(limit // max(largest, 1)))
            known = self._sizes[kind] = min(most, 1 << (fitting.bit_length() - 1))
        return known


def _largest(program: Program) -> int:
    """Bytes of the largest value that a run makes."""
    sizes = (math.prod(v.shape) * np.dtype(v.dtype).itemsize for s in program.steps for v in s.outs)
    return max(sizes, default=1)


def _store(outputs: list[Array], found: Sequence[Array], rows: slice, n: int) -> None:
    """Put a tile's outputs into those of the batch, which are made by the first tile."""
    if not outputs:
        outputs.extend(_like(array, n) for array in found)
    for output, array in zip(outputs, found, strict=True):
        output[rows] = array


def _copied(array: Array) -> Array:
    if array.flags.c_contiguous:
        return array.copy()
    made = _like(array, len(array))
    made[...] = array
    return made


def _like(array: Array, n: int) -> Array:
    # Layers stay as they lie; few channels are an image or its gradient, which callers use beside images.
    xp = get_xp(array)
    if array.ndim == 4 and array.shape[1] > FEW and not array.flags.c_contiguous:
        turned = array.transpose((0, 2, 3, 1))
        if turned.flags.c_contiguous:
            return xp.empty((n, *turned.shape[1:]), array.dtype).transpose((0, 3, 1, 2))
    return xp.empty((n, *array.shape[1:]), array.dtype)
