"""State dicts in PyTorch's two forms of file: a zip (1.6 and later), and pickles in a row before that.

Read without PyTorch and without Python's unpickler, from strangers too; nothing in the file is ever run.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from armour.archive import open_zip, read_member
from armour.errors import CheckpointError
from armour.formats import torch_state
from armour.formats.torch_state import Storage

MAX_PICKLE = 64 << 20
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_COUNT = struct.Struct("<q")

Found = tuple[dict[str, np.ndarray], dict[str, str]]


def read_zip(path: Path, max_bytes: int) -> Found:
    """(arrays by dotted name, what else there was) of a zip with data.pkl and storages data/N."""
    with open_zip(path, CheckpointError, max_bytes, max_bytes) as archive:
        names = archive.namelist()
        pickled = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickled) != 1:
            raise CheckpointError(f"{path}: expected one data.pkl in a PyTorch file, got {len(pickled)}")
        root = pickled[0].removesuffix("data.pkl")
        order = f"{root}byteorder"
        if order in names and read_member(path, archive, order, CheckpointError, 16).strip() != b"little":
            raise CheckpointError(
                f"{path}: this PyTorch file has the bytes of its numbers the other way round (big-endian); "
                "load and save it again on a little-endian machine"
            )
        raw = read_member(path, archive, pickled[0], CheckpointError, MAX_PICKLE)

        def read(storage: Storage) -> memoryview:
            name = f"{root}data/{storage.key}"
            if name not in names:
                raise CheckpointError(f"the storage {storage.key[:40]!r} is missing")
            return memoryview(read_member(path, archive, name, CheckpointError, storage.nbytes))

        try:
            value, _ = torch_state.Reader().parse(memoryview(raw))
            return torch_state.arrays(value, read)
        except CheckpointError as error:
            raise _named(path, error) from error


def read_legacy(path: Path) -> Found:
    """(arrays by dotted name, what else there was) of a file from before PyTorch 1.6.

    In a row: magic number, version, system information, the value, the keys of the storages, and for each
    key a count (int64) and the numbers.
    """
    raw = memoryview(path.read_bytes())
    try:
        value, storages = _legacy(raw)
        return torch_state.arrays(value, lambda storage: _stored(storages, storage))
    except CheckpointError as error:
        raise _named(path, error) from error


def _legacy(raw: memoryview) -> tuple[Any, dict[str, memoryview]]:
    limited = raw[:MAX_PICKLE]
    reader = torch_state.Reader()
    head: list[Any] = []
    at = 0
    for _ in range(3):
        part, at = reader.parse(limited, at)
        head.append(part)
    if head[:2] != [_MAGIC, _PROTOCOL] or not isinstance(head[2], dict):
        raise CheckpointError("the file does not start as PyTorch's do")
    if head[2].get("little_endian") is not True:
        raise CheckpointError("the bytes of its numbers are the other way round (big-endian); save it again")
    value, at = reader.parse(limited, at)
    keys, at = reader.parse(limited, at)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise CheckpointError("the list of storages is missing")
    if len(set(keys)) != len(keys):
        raise CheckpointError("a storage is listed twice")
    storages = {}
    for key in keys:
        if len(raw) - at < _COUNT.size:
            raise CheckpointError(f"the storage {key[:40]!r} is missing; the file is cut short")
        (count,) = _COUNT.unpack_from(raw, at)
        at += _COUNT.size
        storage = reader.storages.get(key)
        if storage is None:
            raise CheckpointError(f"the storage {key[:40]!r} belongs to no tensor; get the file again")
        if count != storage.count or storage.nbytes > len(raw) - at:
            raise CheckpointError(
                f"the storage {key[:40]!r} states {count:,} numbers instead of {storage.count:,}, "
                f"with {len(raw) - at:,} bytes left"
            )
        storages[key] = raw[at : at + storage.nbytes]
        at += storage.nbytes
    if at != len(raw):
        raise CheckpointError(f"{len(raw) - at:,} bytes at the end belong to no storage")
    return value, storages


def _stored(storages: dict[str, memoryview], storage: Storage) -> memoryview:
    if storage.key not in storages:
        raise CheckpointError(f"the storage {storage.key[:40]!r} is missing")
    return storages[storage.key]


def _named(path: Path, error: CheckpointError) -> CheckpointError:
    text = str(error)
    return (
        error if text.startswith(str(path)) else CheckpointError(f"{path}: this PyTorch file {_joined(text)}")
    )


def _joined(text: str) -> str:
    return text if text.startswith("holds code") else f"is damaged or not ours to read: {text}"
