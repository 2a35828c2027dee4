"""The safetensors layout: a JSON header that names the arrays, then their bytes; read as hostile input.

Layout: https://github.com/huggingface/safetensors#format. Everything the header says is checked against the
bytes that are there before an array is made, so nothing is allocated from the file's own numbers.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from armour.archive import holdable
from armour.errors import CheckpointError
from armour.formats.bfloat16 import widened

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}
MAX_HEADER = 8 << 20
_MAX_AXES = 32
_LENGTH = struct.Struct("<Q")


def dump(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of a file that holds these arrays, sorted by name; equal arrays give equal bytes."""
    return b"".join(chunks(arrays))


def chunks(arrays: Mapping[str, np.ndarray]) -> Iterator[bytes]:
    """The bytes that `dump` gives, an array at a time."""
    header: dict[str, Any] = {}
    offset = 0
    for name, array in sorted(arrays.items()):
        dtype = array.dtype.newbyteorder("<") if array.dtype.byteorder == ">" else array.dtype
        if dtype not in _NAMES:
            raise CheckpointError(
                f"array {name!r} has dtype {array.dtype}, which safetensors cannot hold; convert it"
            )
        end = offset + array.nbytes
        header[name] = {"dtype": _NAMES[dtype], "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % 8)  # so that the data is aligned
    yield _LENGTH.pack(len(text)) + text
    for _, array in sorted(arrays.items()):
        yield np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def parse(raw: bytes, source: str) -> dict[str, np.ndarray]:
    """Arrays by name, each a copy of its own.

    source: what to call the file in messages. bfloat16 becomes float32. CheckpointError for a header longer
    than the file, offsets out of order, overlapping or with holes, unknown dtypes, and sizes that do not fit
    their shapes.
    """

    def refuse(reason: str) -> CheckpointError:
        return CheckpointError(f"{source}: damaged safetensors data ({reason}); get the file again")

    if len(raw) < _LENGTH.size:
        raise refuse(f"{len(raw)} bytes are too few for a header")
    (length,) = _LENGTH.unpack_from(raw)
    if length > min(MAX_HEADER, len(raw) - _LENGTH.size):
        raise refuse(f"the header states {length:,} bytes, the file has {len(raw):,}")
    body = memoryview(raw)[_LENGTH.size + length :]
    try:
        header = json.loads(raw[_LENGTH.size : _LENGTH.size + length], object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise refuse(f"the header is not JSON: {' '.join(str(error).split())[:80]}") from None
    if not isinstance(header, dict):
        raise refuse("the header is not an object")
    header.pop("__metadata__", None)
    entries = []
    for name, entry in header.items():
        entries.append((*_entry(name, entry, refuse), name))
    entries.sort(key=lambda e: (e[0], e[1]))
    arrays, position = {}, 0
    for start, end, dtype, shape, name in entries:
        if start != position:
            raise refuse(f"array {name[:80]!r} starts at {start:,} instead of {position:,}")
        if end > len(body):
            raise refuse(f"array {name[:80]!r} ends at {end:,}, the data at {len(body):,}")
        arrays[name] = _array(body[start:end], dtype, shape)
        position = end
    if position != len(body):
        raise refuse(f"{len(body) - position:,} bytes belong to no array")
    return arrays


def _entry(name: str, entry: Any, refuse: Any) -> tuple[int, int, str, tuple[int, ...]]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise refuse(f"array {name[:80]!r} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype != "BF16" and (not isinstance(dtype, str) or dtype not in _DTYPES):
        raise refuse(f"array {name[:80]!r} has the unknown dtype {str(dtype)[:20]!r}")
    if not _naturals(shape) or len(shape) > _MAX_AXES or not _naturals(offsets) or len(offsets) != 2:
        raise refuse(f"array {name[:80]!r} has a shape or offsets that are no lists of natural numbers")
    start, end = offsets
    itemsize = 2 if dtype == "BF16" else np.dtype(_DTYPES[dtype]).itemsize
    if not holdable(shape, itemsize) or end - start != math.prod(shape) * itemsize:
        raise refuse(f"array {name[:80]!r} of shape {tuple(shape)} {dtype} has {end - start:,} bytes")
    return start, end, dtype, tuple(shape)


def _array(raw: memoryview, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    if dtype == "BF16":
        return widened(np.frombuffer(raw, "<u2")).reshape(shape)
    return np.frombuffer(raw, _DTYPES[dtype]).reshape(shape).copy()


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 62 for v in values)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a name stands in the header twice")
    return tree
