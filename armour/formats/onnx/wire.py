"""A look at a protobuf before it is parsed: how much memory would its messages take?

A parsed message is far larger than its bytes: two bytes of file can be an empty node of a hundred. The walk
below follows the schema without building anything, counts what the parser would build, and refuses a file
whose structure is out of proportion. Raw tensor bytes are skipped, so that a large model costs no time.
"""

from __future__ import annotations

from typing import Any

from armour.errors import CheckpointError
from armour.formats.protobuf import BYTES, FIXED32, FIXED64, VARINT

MAX_FIELDS = 1_000_000  # occurrences of fields, each about 100 bytes once parsed
MAX_PACKED = 64 << 20  # bytes of packed whole numbers, each of which becomes 8
MAX_DEPTH = 40  # messages inside messages
_INTEGERS = frozenset((3, 4, 5, 8, 13, 14, 17, 18))  # types of protobuf fields that are packed as varints


def check_wire(raw: bytes | memoryview, descriptor: Any, what: str) -> None:
    """CheckpointError if the bytes are no message of this kind, or would take too much memory once parsed."""
    _Walk(memoryview(raw), what).message(0, len(raw), descriptor, 0)


class _Walk:
    def __init__(self, raw: memoryview, what: str) -> None:
        self.raw, self.what = raw, what
        self.fields = self.packed = 0
        self.known: dict[Any, dict[int, tuple[Any, bool]]] = {}

    def message(self, at: int, end: int, descriptor: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self._error(f"messages are nested more than {MAX_DEPTH} deep")
        table = self._table(descriptor)
        while at < end:
            key, at = self._varint(at, end)
            self.fields += 1
            if self.fields > MAX_FIELDS:
                raise self._error(f"it has more than {MAX_FIELDS:,} fields")
            kind = key & 7
            if kind == VARINT:
                _, at = self._varint(at, end)
            elif kind == BYTES:
                size, at = self._varint(at, end)
                if size > end - at:
                    raise self._error(f"a part of {size:,} bytes reaches past its end")
                inner, packed = table.get(key >> 3, (None, False))
                if inner is not None:
                    self.message(at, at + size, inner, depth + 1)
                elif packed:
                    self.packed += size
                    if self.packed > MAX_PACKED:
                        raise self._error(
                            f"it holds more than {MAX_PACKED >> 20} MiB of packed whole numbers"
                        )
                at += size
            elif kind == FIXED64:
                at += 8
            elif kind == FIXED32:
                at += 4
            else:
                raise self._error(f"wire type {kind} is not used by any such file")
        if at != end:
            raise self._error("a part ends in the middle of a value")

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        raw = self.raw
        while at < end:
            byte = raw[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
            if shift > 63:
                raise self._error("a number is longer than ten bytes")
        raise self._error("it ends in the middle of a number")

    def _table(self, descriptor: Any) -> dict[int, tuple[Any, bool]]:
        """Field number -> (descriptor of the message inside or None, is it packed whole numbers)."""
        found = self.known.get(descriptor.full_name)
        if found is None:
            found = {
                number: (field.message_type, field.type in _INTEGERS)
                for number, field in descriptor.fields_by_number.items()
            }
            self.known[descriptor.full_name] = found
        return found

    def _error(self, reason: str) -> CheckpointError:
        return CheckpointError(f"{self.what}: expected an ONNX model, but {reason}; get the file again")
