"""Tensors of the Open Inference Protocol v2 as JSON or, by Triton's extension, as bytes behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from .strict import WireError, dumps, loads

HEADER = "Inference-Header-Content-Length"
EXTENSION = "binary_tensor_data"
DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}
_MAX_AXES = 16
# What the values of a list may be, by kind of dtype.
_ALLOWED: dict[str, set[type]] = {"f": {int, float}, "b": {bool}, "i": {int}, "u": {int}}


def encode(name: str, array: np.ndarray, datatype: str, *, binary: bool) -> tuple[dict[str, Any], bytes]:
    """The JSON object of a tensor and the bytes that belong behind the JSON (none unless binary).

    The array is cast to the datatype. Both forms are exact; WireError for NaN and infinities outside binary.
    """
    values = np.ascontiguousarray(array, dtype=DATATYPES[datatype])
    entry: dict[str, Any] = {"name": name, "shape": list(values.shape), "datatype": datatype}
    if binary:
        return entry | {"parameters": {"binary_data_size": values.nbytes}}, values.tobytes()
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise WireError("NaN or infinity, which JSON does not have")
    return entry | {"data": values.reshape(-1).tolist()}, b""


def pack(head: dict[str, Any], blobs: Sequence[bytes]) -> tuple[bytes, dict[str, str]]:
    """The body of a message and the headers that describe it."""
    text = dumps(head)
    if not any(blobs):
        return text, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", HEADER: str(len(text))}
    return b"".join([text, *blobs]), headers


def unpack(body: bytes, length: str | None) -> tuple[dict[str, Any], memoryview]:
    """The JSON object of a body and the bytes behind it; length: the header that says where they begin."""
    view = memoryview(body)
    end = len(body) if length is None else _whole(length.strip())
    if end > len(body):
        raise WireError(f"a body of {len(body):,} bytes whose {HEADER} says {end:,}")
    head = loads(view[:end])
    if not isinstance(head, dict):
        raise WireError(f"JSON that is no object but {type(head).__name__}")
    return head, view[end:]


def entries(
    head: dict[str, Any], key: str, rest: memoryview
) -> list[tuple[dict[str, Any], memoryview | None]]:
    """The tensors under `key` and the bytes of each that has some; WireError if they do not add up."""
    found: list[tuple[dict[str, Any], memoryview | None]] = []
    at = 0
    listed = head.get(key)
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise WireError(f"no list of tensors named {key!r}")
    for entry in listed:
        size = parameters(entry).get("binary_data_size")
        if size is None:
            found.append((entry, None))
            continue
        if type(size) is not int or not 0 <= size <= len(rest) - at:
            raise WireError(
                f"a binary_data_size that does not fit the {len(rest) - at:,} bytes that are there"
            )
        found.append((entry, rest[at : at + size]))
        at += size
    if at != len(rest):
        raise WireError(f"{len(rest) - at:,} bytes behind the last tensor")
    return found


def decode(entry: dict[str, Any], blob: memoryview | None, most: int) -> np.ndarray:
    """The array of a tensor, of at most `most` values; WireError if shape, datatype and data do not agree."""
    shape, datatype = entry.get("shape"), entry.get("datatype")
    if (
        not isinstance(shape, list)
        or not 0 < len(shape) <= _MAX_AXES
        or not all(type(side) is int and side >= 0 for side in shape)
    ):
        raise WireError(f"a shape that is no list of sizes: {ascii(shape)[:60]}")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise WireError(f"the datatype {ascii(datatype)[:40]}; armour reads {', '.join(DATATYPES)}")
    dtype, size = DATATYPES[datatype], math.prod(shape)
    if size > most:
        raise WireError(f"shape {tuple(shape)[:8]}, which is more than {most:,} values")
    if blob is not None:
        if "data" in entry or len(blob) != size * dtype.itemsize:
            raise WireError(f"{len(blob):,} bytes for shape {tuple(shape)} of {datatype}")
        return np.frombuffer(blob, dtype).reshape(shape).astype(dtype.newbyteorder("="))
    return _listed(entry.get("data"), size, datatype).reshape(shape)


def parameters(entry: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a message or a tensor, {} if it has none."""
    found = entry.get("parameters", {})
    if not isinstance(found, dict):
        raise WireError("parameters that are no object")
    return found


def _listed(data: Any, size: int, datatype: str) -> np.ndarray:
    """Numbers from a list, flat or nested, in row-major order."""
    if not isinstance(data, list):
        raise WireError("a tensor without a list of data")
    flat = _flat(data)
    if len(flat) != size:
        raise WireError(f"{len(flat):,} values where the shape says {size:,}")
    dtype = DATATYPES[datatype].newbyteorder("=")
    # NumPy would make room for the longest of a million texts: it sees numbers only.
    values = np.array(flat) if set(map(type, flat)) <= _ALLOWED[dtype.kind] else np.zeros(0, object)
    if size and values.dtype.kind == "O":
        raise WireError(f"data that are no numbers of {datatype}")
    if values.size and dtype.kind in "iu":
        info = np.iinfo(dtype)
        if int(values.min()) < info.min or int(values.max()) > info.max:
            raise WireError(f"values outside the range of {datatype}")
    with np.errstate(over="ignore"):
        return values.reshape(-1).astype(dtype)


def _flat(data: list[Any]) -> list[Any]:
    """The values of nested lists of equal lengths."""
    for _ in range(_MAX_AXES):
        kinds = set(map(type, data))
        if list not in kinds:
            break
        if kinds != {list} or len(set(map(len, data))) != 1:
            raise WireError("data whose rows differ in length")
        data = list(chain.from_iterable(data))
    return data


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise WireError(f"the header {HEADER}: {ascii(text)[:40]}, which is no length")
    return int(text)
