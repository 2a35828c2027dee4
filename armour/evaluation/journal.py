"""What an evaluation has finished, unit by unit: it can be broken off and goes on to the same report."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from armour import npz
from armour.errors import FormatError, InvalidArgument
from armour.files import atomic_write, check_writable

Arrays: TypeAlias = dict[str, np.ndarray]

# The file is written after a unit or a batch if it is so many seconds old.
INTERVAL = 10.0
VERSION = "armour-evaluation/1"


class Journal:
    """Finished units by name, in memory and, with a path, in a file.

    key: what the results depend on. loaded: the file was there. Raises InvalidArgument if the file belongs to
    another evaluation, FormatError if it is none of armour's.
    """

    def __init__(self, path: str | os.PathLike[str] | None, key: str) -> None:
        self.path = None if path is None else check_writable(Path(path))
        self.key = key
        self.units: dict[str, Arrays] = {}
        self.passing: dict[str, Arrays] | None = None
        self._written = time.monotonic()
        self.loaded = self.path is not None and self.path.exists()
        if self.path is not None and self.loaded:
            self._read(self.path)

    def once(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """The unit's arrays: from an earlier run, or made and kept."""
        if self.passing is not None and name not in self.units:
            if name not in self.passing:
                self.passing[name] = make()
            return self.passing[name]
        if name not in self.units:
            self.put(name, make())
        return self.units[name]

    def freeze(self, units: dict[str, Arrays]) -> None:
        """Keep these and new units for this run alone: they are of a part of what a longer run will see."""
        self.passing = units

    def all_units(self) -> dict[str, Arrays]:
        """Every unit of this run by name."""
        return self.units | (self.passing or {})

    def put(self, name: str, arrays: Arrays) -> None:
        """Keep arrays under that name; the file is written now and then."""
        self.units[name] = arrays
        if self.path is not None and time.monotonic() - self._written >= INTERVAL:
            self.save(self.path)

    def save(self, path: Path | None = None) -> None:
        """Write the file, whole or not at all; nothing without a path."""
        target = path or self.path
        if target is None:
            return
        arrays = {
            f"{unit}.{name}": np.asarray(array)
            for unit, found in self.units.items()
            for name, array in found.items()
        }
        with atomic_write(target) as stream:
            npz.write_arrays(stream, arrays | {"key": np.array(self.key), "version": np.array(VERSION)})
        self._written = time.monotonic()

    def _read(self, path: Path) -> None:
        found = npz.read_arrays(path, FormatError)
        if str(found.pop("version", "")) != VERSION or "key" not in found:
            raise FormatError(f"{path} is not the state of an evaluation; choose another file")
        if str(found.pop("key")) != self.key:
            raise InvalidArgument(
                f"{path} is the state of another evaluation (model, samples, threat, attacks or seed "
                "differ); choose another file, or delete it to begin anew"
            )
        for name, array in found.items():
            unit, dot, part = name.rpartition(".")
            if not dot:
                raise FormatError(f"{path} holds {name[:40]!r}, which no evaluation writes; delete it")
            self.units.setdefault(unit, {})[part] = array


def packed(value: Mapping[str, Any]) -> np.ndarray:
    """Plain JSON values as an array of text, for a unit."""
    return np.array(json.dumps(value, allow_nan=False))


def unpacked(array: np.ndarray) -> Any:
    """What `packed` took."""
    try:
        return json.loads(str(array))
    except ValueError as error:
        raise FormatError(f"the state of the evaluation is damaged ({error}); delete it") from None
