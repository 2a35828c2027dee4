"""A search kept in a file, so that it can be broken off and goes on to the same result."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from armour import npz
from armour.criteria import And, Criterion
from armour.errors import FormatError, InvalidArgument
from armour.files import atomic_write, check_writable

from .search import Search

if TYPE_CHECKING:
    from .base import Attack

# A file is written after a batch if the last one is so many seconds old.
INTERVAL = 10.0
_ARRAYS = ("adv", "success", "tried", "broken_by", "spent", "curve")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


class SearchState:
    """The file of one search: read when it is there, written as the search goes on.

    before: queries, gradients and seconds of the runs before this one. Raises InvalidArgument if the file
    belongs to another model, other inputs, labels, budgets, attacks or rng; FormatError if it is none of
    armour's.
    """

    def __init__(self, path: str | os.PathLike[str], search: Search, attacks: Sequence[Attack]) -> None:
        self.path = check_writable(path)
        self.search = search
        self.key = key_of(search, attacks)
        self.before = (0, 0, 0.0)
        self._written = time.monotonic()
        if Path(path).exists():
            self._read()

    def save_now_and_then(self, queries: int, gradients: int, seconds: float) -> None:
        """Write the file if the last one is older than INTERVAL."""
        if time.monotonic() - self._written >= INTERVAL:
            self.save(queries, gradients, seconds)

    def save(self, queries: int, gradients: int, seconds: float) -> None:
        """Write the file, whole or not at all. The figures include those of earlier runs."""
        arrays = {name: getattr(self.search, name) for name in _ARRAYS}
        arrays |= {"key": np.array(self.key), "counts": np.array([queries, gradients], np.int64)}
        with atomic_write(self.path) as stream:
            npz.write_arrays(stream, arrays | {"seconds": np.array(seconds, np.float64)})
        self._written = time.monotonic()

    def _read(self) -> None:
        found = npz.read_arrays(self.path, FormatError)
        if not {*_ARRAYS, "key", "counts", "seconds"} <= found.keys() or found["counts"].shape != (2,):
            raise FormatError(f"{self.path} is not the state of an attack; choose another file")
        if str(found["key"]) != self.key:
            raise InvalidArgument(
                f"{self.path} is the state of another attack (model, inputs, labels, budgets, settings or "
                "seed differ); choose another file, or delete it to begin anew"
            )
        for name in _ARRAYS:
            mine, kept = getattr(self.search, name), found[name]
            if kept.shape != mine.shape or kept.dtype != mine.dtype:
                raise FormatError(f"{self.path}: {name} is {kept.dtype} {kept.shape}; delete the file")
            mine[...] = kept
        queries, gradients = (int(count) for count in found["counts"])
        self.before = (queries, gradients, float(found["seconds"]))


def key_of(search: Search, attacks: Sequence[Attack]) -> str:
    """Hex sha256 of everything that the result of a search depends on."""
    digest = hashlib.sha256(search.model.fingerprint.encode())
    digest.update(str((search.x.shape, search.budgets)).encode())
    digest.update(search.x.tobytes())
    digest.update(search.streams.keys.tobytes())
    for attack in attacks:
        digest.update(_ADDRESS.sub("", str(attack)).encode())
        mask = getattr(attack, "mask", None)
        if mask is not None:
            digest.update(mask.allowed.tobytes())
    for part in _parts(search.criterion):
        digest.update(_ADDRESS.sub("", repr(part)).encode())
        for array in part.arrays:
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def _parts(criterion: Criterion) -> list[Criterion]:
    if isinstance(criterion, And):
        return [*_parts(criterion.first), *_parts(criterion.second)]
    return [criterion]
