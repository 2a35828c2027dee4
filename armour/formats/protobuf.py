"""Fields of protobuf messages, read as hostile input: nothing is sliced before its length is checked.

Encoding: https://protobuf.dev/programming-guides/encoding. Groups (wire types 3 and 4) are refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from armour.errors import CheckpointError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MAX_VARINT = 10  # bytes that 64 bits take


def varint(raw: bytes | memoryview, at: int) -> tuple[int, int]:
    """(value, position after it) of the number at `at`; CheckpointError if cut short or over 64 bits."""
    value = 0
    for i in range(_MAX_VARINT):
        if at + i >= len(raw):
            raise CheckpointError("a number is cut short")
        byte = raw[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            if value >> 64:
                break
            return value, at + i + 1
    raise CheckpointError("a number has more than 64 bits")


def fields(raw: memoryview, limit: int = 1 << 20) -> Iterator[tuple[int, int, int | memoryview]]:
    """(number, wire type, value) of each field; bytes are views. limit: most fields taken.

    Raises CheckpointError for lengths past the end, field number 0, groups and unknown wire types.
    """
    at = count = 0
    while at < len(raw):
        count += 1
        if count > limit:
            raise CheckpointError(f"a message has more than {limit:,} fields")
        key, at = varint(raw, at)
        number, wire = key >> 3, key & 7
        if not number or number >> 29:
            raise CheckpointError(f"a field has the number {number}")
        value: int | memoryview
        if wire == VARINT:
            value, at = varint(raw, at)
        else:
            if wire == BYTES:
                length, at = varint(raw, at)
            elif wire in (FIXED32, FIXED64):
                length = 4 if wire == FIXED32 else 8
            else:
                raise CheckpointError(f"a field has the wire type {wire}, which is not read")
            if length > len(raw) - at:
                raise CheckpointError(f"a field of {length:,} bytes has only {len(raw) - at:,} left")
            value = raw[at : at + length]
            at += length
        yield number, wire, value


def encode_varint(value: int) -> bytes:
    """The bytes of a number in 0..2^64-1."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_bytes(number: int, value: bytes) -> bytes:
    """A length-delimited field."""
    return encode_varint(number << 3 | BYTES) + encode_varint(len(value)) + value


def encode_int(number: int, value: int) -> bytes:
    """A varint field; negative values as int64."""
    return encode_varint(number << 3) + encode_varint(value & 0xFFFFFFFFFFFFFFFF)
