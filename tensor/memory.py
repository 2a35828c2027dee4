"""Memory of a plan: storages that are handed out, given back and handed out again while it is laid out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from armour.tensor.backend import Array, Namespace

ALIGNMENT = 64  # bytes of a cache line, and of the widest vector


class Storage:
    """One run of memory. held: values in it that are still to be read. shared: it is never given back."""

    __slots__ = ("array", "held", "nbytes", "shared")

    def __init__(self, array: Array, nbytes: int, shared: bool = False) -> None:
        self.array, self.nbytes, self.held, self.shared = array, nbytes, 0, shared


class Pool:
    """Hands out storages, the smallest free one that is large enough, and counts what it has allocated."""

    def __init__(self, xp: Namespace) -> None:
        self.xp = xp
        self.free: list[Storage] = []
        self.allocated = 0

    def take(self, nbytes: int) -> Storage:
        """A storage of at least that many bytes."""
        fitting = [s for s in self.free if nbytes <= s.nbytes <= 2 * nbytes + 4096]
        if fitting:
            best = min(fitting, key=lambda s: s.nbytes)
            self.free.remove(best)
            return best
        return self.allocate(nbytes)

    def allocate(self, nbytes: int) -> Storage:
        """A storage that nothing has used before."""
        self.allocated += nbytes
        return Storage(aligned(self.xp, nbytes), nbytes)

    def give_back(self, storage: Storage) -> None:
        """Let it be handed out again."""
        if not storage.shared:
            self.free.append(storage)


def aligned(xp: Namespace, nbytes: int) -> Array:
    """(nbytes,) uint8 that starts at a multiple of 64 bytes."""
    if xp is not np:
        return xp.empty(nbytes, "uint8")
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes]


def view(storage: Storage, shape: tuple[int, ...], dtype: Any) -> Array:
    """The beginning of a storage as an array."""
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    return storage.array[:nbytes].view(dtype).reshape(shape)
