"""MindSpore's .ckpt: a row of protobuf messages, one for each array or slice of one; read and written here.

message Checkpoint { repeated Value value = 1; }  message Value { string tag = 1; TensorProto tensor = 2;
MapTensorProto maptensor = 3; }  message TensorProto { repeated int64 dims = 1; string tensor_type = 2;
bytes tensor_content = 3; }. Contents are little-endian, in C order. A file may end in `crc_num` and ten bytes
that hold the CRC-32 of all before, which is checked whenever it is there. Read as hostile input.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from armour.archive import holdable
from armour.errors import CheckpointError
from armour.formats import protobuf
from armour.formats.bfloat16 import widened
from armour.formats.protobuf import BYTES, VARINT

_BFLOAT16 = "bfloat16"
_TYPES = {
    "Int8": "i1", "UInt8": "u1", "Int16": "<i2", "UInt16": "<u2", "Int32": "<i4", "UInt32": "<u4",
    "Int64": "<i8", "UInt64": "<u8", "Float16": "<f2", "Float32": "<f4", "Float64": "<f8", "Bool": "?",
    "BFloat16": _BFLOAT16,
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in _TYPES.items() if code != _BFLOAT16}
_NORM = {
    "weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance",
}  # fmt: skip
SLICE_BYTES = 512 << 20
_CRC = b"crc_num"
_CRC_LENGTH = len(_CRC) + 10
_MAX_VALUES = 200_000
_MAX_AXES = 32
_MAX_TAG = 1024


@dataclass(slots=True)
class _Entry:
    """What the slices of one tag say."""

    kind: str
    dims: tuple[int, ...]
    parts: list[memoryview] = field(default_factory=list)


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(arrays by name, what else there was); CheckpointError for anything damaged, hostile or unknown."""
    raw = memoryview(path.read_bytes())
    try:
        return parse(raw)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: this MindSpore checkpoint cannot be read: {error}") from error


def parse(raw: memoryview) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """As `read`, of bytes."""
    arrays: dict[str, np.ndarray] = {}
    leftovers: dict[str, str] = {}
    for tag, entry in _entries(_without_crc(raw)).items():
        if tag == "random_op":
            leftovers[tag] = "the state of MindSpore's random numbers"
        elif entry.kind == "str":
            leftovers[tag] = "text"
        else:
            arrays[tag] = _array(tag, entry)
    return arrays, leftovers


def dump(arrays: Mapping[str, np.ndarray], *, crc: bool = False) -> bytes:
    """The bytes of a file that holds these arrays; CheckpointError for types that it cannot hold.

    crc: end in a checksum, which MindSpore takes from 2.3 on.
    """
    parts: list[bytes] = []
    for name, array in arrays.items():
        dtype = array.dtype.newbyteorder("<") if array.dtype.byteorder == ">" else array.dtype
        if dtype not in _NAMES:
            raise CheckpointError(f"array {name!r} has dtype {array.dtype}, which MindSpore cannot hold")
        content = np.ascontiguousarray(array, dtype).tobytes()
        head = b"".join(protobuf.encode_int(1, n) for n in array.shape)
        head += protobuf.encode_bytes(2, _NAMES[dtype].encode())
        for start in range(0, max(len(content), 1), SLICE_BYTES):
            tensor = head + protobuf.encode_bytes(3, content[start : start + SLICE_BYTES])
            value = protobuf.encode_bytes(1, name.encode()) + protobuf.encode_bytes(2, tensor)
            parts.append(protobuf.encode_bytes(1, value))
    whole = b"".join(parts)
    return whole + _CRC + zlib.crc32(whole).to_bytes(10, "big") if crc else whole


def own_names(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a network with MindSpore's names for batch normalisation: gamma, beta, moving_*."""
    norms = {name.rpartition(".")[0] for name in arrays if name.endswith(".running_var")}
    found = {}
    for name, array in arrays.items():
        path, _, role = name.rpartition(".")
        found[f"{path}.{_NORM.get(role, role)}" if path in norms else name] = array
    return found


def _without_crc(raw: memoryview) -> memoryview:
    if bytes(raw[-_CRC_LENGTH:-10]) != _CRC:
        return raw
    body, stated = raw[:-_CRC_LENGTH], int.from_bytes(raw[-10:], "big")
    found = zlib.crc32(body)
    if found != stated:
        raise CheckpointError(
            f"its checksum is {found:08x}, the file says {stated:08x}; it was changed, get it again"
        )
    return body


def _entries(raw: memoryview) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    before = None
    for number, wire, value in protobuf.fields(raw, _MAX_VALUES):
        if (number, wire) != (1, BYTES) or not isinstance(value, memoryview):
            raise CheckpointError(f"field {number} is none of a MindSpore checkpoint")
        tag, tensor = _value(value)
        kind, dims, content = _tensor(tag, tensor)
        entry = entries.get(tag)
        if entry is None:
            entry = entries[tag] = _Entry(kind, dims)
        elif before != tag:
            raise CheckpointError(f"{tag!r} is there twice")
        elif (entry.kind, entry.dims) != (kind, dims):
            raise CheckpointError(f"the slices of {tag!r} differ in type or shape")
        entry.parts.append(content)
        before = tag
    return entries


def _value(raw: memoryview) -> tuple[str, memoryview]:
    parts: dict[int, memoryview] = {}
    for number, wire, value in protobuf.fields(raw, 16):
        if number in (1, 2, 3):
            if wire != BYTES or not isinstance(value, memoryview) or number in parts:
                raise CheckpointError("an entry is damaged")
            parts[number] = value
    if 1 not in parts or len(parts[1]) > _MAX_TAG:
        raise CheckpointError("an entry has no name, or one that is too long")
    try:
        tag = bytes(parts[1]).decode()
    except UnicodeDecodeError as error:
        raise CheckpointError("the name of an entry is no UTF-8 text") from error
    if 3 in parts:
        raise CheckpointError(f"{ascii(tag)[:80]} is a hash table (MapTensor), which is not read")
    if 2 not in parts:
        raise CheckpointError(f"{ascii(tag)[:80]} has no values")
    return tag, parts[2]


def _tensor(tag: str, raw: memoryview) -> tuple[str, tuple[int, ...], memoryview]:
    dims: list[int] = []
    kind, content = "", None
    for number, wire, value in protobuf.fields(raw, 64):
        if number == 1 and (wire == VARINT or isinstance(value, memoryview)):
            dims += [value] if isinstance(value, int) else list(_packed(value))
        elif number == 2 and isinstance(value, memoryview) and not kind:
            kind = bytes(value[:40]).decode("ascii", "replace")
        elif number == 3 and isinstance(value, memoryview) and content is None:
            content = value
        else:
            raise CheckpointError(f"{ascii(tag)[:80]} is damaged (field {number})")
    if kind not in _TYPES and kind != "str" and tag != "random_op":
        raise CheckpointError(f"{ascii(tag)[:80]} is of the type {kind!a}, which is not read")
    if len(dims) > _MAX_AXES or any(n >= 1 << 48 for n in dims):  # negative numbers are huge here
        raise CheckpointError(f"{ascii(tag)[:80]} has a shape that no array has")
    return kind, tuple(dims), memoryview(b"") if content is None else content


def _packed(raw: memoryview) -> Iterator[int]:
    at = 0
    while at < len(raw) and at < 10 * _MAX_AXES:
        value, at = protobuf.varint(raw, at)
        yield value


def _array(tag: str, entry: _Entry) -> np.ndarray:
    raw: bytes | memoryview = entry.parts[0] if len(entry.parts) == 1 else b"".join(entry.parts)
    code = _TYPES[entry.kind]
    size = 2 if code == _BFLOAT16 else np.dtype(code).itemsize
    shape = entry.dims
    if shape in ((), (0,)):  # how scalars are written, and empty arrays too: the length tells them apart
        shape = () if len(raw) == size else (0,)
    if not holdable(shape, size) or math.prod(shape) * size != len(raw):
        raise CheckpointError(f"{ascii(tag)[:80]} of shape {shape} {entry.kind} has {len(raw):,} bytes"[:300])
    numbers: np.ndarray
    if code == _BFLOAT16:
        numbers = widened(np.frombuffer(raw, "<u2"))
    elif code == "?":
        numbers = np.not_equal(np.frombuffer(raw, np.uint8), 0)
    else:
        numbers = np.frombuffer(raw, code)
    return numbers.reshape(shape)
