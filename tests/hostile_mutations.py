"""Mutations of files: bytes flipped, cut, doubled and moved, lengths made absurd, also inside of zips."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
from numpy.random import Generator

Mutation = Callable[[bytearray, Generator], bytearray]
MUTATIONS: dict[str, Mutation] = {}
_EDGES = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    (1 << 63) - 1,
    (1 << 64) - 1,
)

_WORDS = (
    *(
        b"os\nsystem\n",
        b"Float32",
        b"\x80\x02",
        b"BINPERSID",
        b"NaN",
        b"__class__",
        b"../../etc/passwd",
        b"null",
    ),
    *(b"\x1b[2J", b"\xff\xfe", b"[[[[[[", b"crc_num", b"F64", b"torch\n", b"cposix\nsystem\n(X\x01\0\0\0xtR"),
)


def _mutation(function: Mutation) -> Mutation:
    MUTATIONS[function.__name__.strip("_")] = function
    return function


def mutated(raw: bytes, rng: Generator) -> tuple[bytes, str]:
    """(a mutation, how it was made) of a file; of a zip, in half of the cases of one member, packed again."""
    if raw[:2] == b"PK" and rng.random() < 0.5:
        inside = _repacked(raw, rng)
        if inside is not None:
            return inside
    data, how = bytearray(raw), []
    for _ in range(int(rng.integers(1, 4))):
        name = str(rng.choice(list(MUTATIONS)))
        data = MUTATIONS[name](data, rng)
        how.append(name)
    return bytes(data), "+".join(how)


def _repacked(raw: bytes, rng: Generator) -> tuple[bytes, str] | None:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    if not members:
        return None
    chosen = str(rng.choice(list(members)))
    changed, how = mutated(members[chosen], rng)
    out = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if rng.random() < 0.3 else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, changed if name == chosen else content)
    return out.getvalue(), f"{chosen}: {how}"


def _at(data: bytearray, rng: Generator) -> int:
    """A position, more often near the ends, where formats keep their lengths."""
    size = max(len(data), 1)
    span = min(size, int(rng.choice([16, 128, 1024, size])))
    near = int(rng.integers(span))
    return near if rng.random() < 0.7 else size - 1 - near


@_mutation
def _flip_bit(data: bytearray, rng: Generator) -> bytearray:
    if data:
        data[_at(data, rng)] ^= 1 << int(rng.integers(8))
    return data


@_mutation
def _flip_bytes(data: bytearray, rng: Generator) -> bytearray:
    for _ in range(int(rng.integers(1, 9))):
        if data:
            data[_at(data, rng)] = int(rng.integers(256))
    return data


@_mutation
def _cut(data: bytearray, rng: Generator) -> bytearray:
    return data[: _at(data, rng)]


@_mutation
def _remove(data: bytearray, rng: Generator) -> bytearray:
    start = _at(data, rng)
    del data[start : start + int(rng.integers(1, 64))]
    return data


@_mutation
def _double(data: bytearray, rng: Generator) -> bytearray:
    start, to = _at(data, rng), _at(data, rng)
    data[to:to] = data[start : start + int(rng.integers(1, 256))] * int(rng.integers(1, 5))
    return data


@_mutation
def _splice(data: bytearray, rng: Generator) -> bytearray:
    start, to = _at(data, rng), _at(data, rng)
    part = data[start : start + int(rng.integers(1, 256))]
    data[to : to + len(part)] = part
    return data


@_mutation
def _length(data: bytearray, rng: Generator) -> bytearray:
    """A number of 1, 2, 4 or 8 bytes that is absurd, or off by one."""
    width, start = int(rng.choice([1, 2, 4, 8])), _at(data, rng)
    order = "little" if rng.random() < 0.8 else "big"
    old = int.from_bytes(data[start : start + width], order)  # type: ignore[arg-type]
    value = int(_EDGES[rng.integers(len(_EDGES))]) if rng.random() < 0.7 else old + int(rng.integers(-2, 3))
    data[start : start + width] = (value % (1 << 8 * width)).to_bytes(width, order)  # type: ignore[arg-type]
    return data


@_mutation
def _varint(data: bytearray, rng: Generator) -> bytearray:
    """A protobuf number put over what was there."""
    value, out = int(_EDGES[rng.integers(len(_EDGES))]), bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    start = _at(data, rng)
    data[start : start + (len(out) if rng.random() < 0.5 else 1)] = out
    return data


@_mutation
def _digits(data: bytearray, rng: Generator) -> bytearray:
    """A number written as text, as in JSON headers and those of NumPy, made longer or negative."""
    places = np.flatnonzero(np.isin(np.frombuffer(bytes(data[:65536]), np.uint8), list(b"0123456789")))
    if len(places):
        start = int(rng.choice(places))
        data[start : start + 1] = str(
            rng.choice(["-1", "0", "99999999999", "1e400", "4294967296", "9" * 40])
        ).encode()
    return data


@_mutation
def _text(data: bytearray, rng: Generator) -> bytearray:
    """Words that formats know, in the wrong place."""
    start = _at(data, rng)
    word = _WORDS[rng.integers(len(_WORDS))]
    data[start : start + (len(word) if rng.random() < 0.5 else 0)] = word
    return data


@_mutation
def _checksum(data: bytearray, rng: Generator) -> bytearray:
    """A bit flipped, and MindSpore's checksum made to fit again if there is one."""
    data = _flip_bit(data, rng)
    if data[-17:-10] == b"crc_num":
        data[-10:] = zlib.crc32(data[:-17]).to_bytes(10, "big")
    return data


@_mutation
def _grow(data: bytearray, rng: Generator) -> bytearray:
    return data + rng.bytes(int(rng.integers(1, 300)))
