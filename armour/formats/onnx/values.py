"""Tensors of ONNX files as arrays: every length is checked before anything is allocated from it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from armour.errors import CheckpointError, UnsupportedError
from armour.formats.bfloat16 import widened

DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("float32"),
    2: np.dtype("uint8"),
    3: np.dtype("int8"),
    4: np.dtype("uint16"),
    5: np.dtype("int16"),
    6: np.dtype("int32"),
    7: np.dtype("int64"),
    9: np.dtype("bool"),
    10: np.dtype("float16"),
    11: np.dtype("float64"),
    12: np.dtype("uint32"),
    13: np.dtype("uint64"),
}
"""NumPy's dtype of each type of ONNX that has one."""
BFLOAT16 = 16
OTHERS = {
    8: "string", 14: "complex64", 15: "complex128", BFLOAT16: "bfloat16", 17: "float8e4m3fn",
    18: "float8e4m3fnuz", 19: "float8e5m2", 20: "float8e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4e2m1", 24: "float8e8m0",
}  # fmt: skip
MAX_ELEMENTS = 1 << 31
_EXTERNAL = 1  # TensorProto.data_location
# Where values are that are not raw bytes, by type.
_FIELDS = {1: "float_data", 11: "double_data", 7: "int64_data", 12: "uint64_data", 13: "uint64_data"}


def dtype_of(code: int, what: str = "a value") -> np.dtype[Any]:
    """NumPy's dtype for a type of ONNX; UnsupportedError for one that NumPy lacks."""
    if code in DTYPES:
        return DTYPES[code]
    name = OTHERS.get(code, f"number {code}")
    raise UnsupportedError(f"{what} has the ONNX type {name}, which armour does not compute with")


def code_of(dtype: np.dtype[Any]) -> int:
    """ONNX's type of a NumPy dtype."""
    return next(code for code, known in DTYPES.items() if known == dtype)


def to_array(tensor: Any, folder: Path | None = None) -> np.ndarray:
    """The array of a TensorProto.

    folder: where external data may lie; None refuses external data. Raises CheckpointError if lengths do not
    fit, UnsupportedError for types that NumPy lacks.
    """
    name = ascii(tensor.name)[:80]
    what = f"the tensor {name}"
    shape = tuple(int(n) for n in tensor.dims)
    size = math.prod(shape)
    if any(n < 0 for n in shape) or size > MAX_ELEMENTS or len(shape) > 32:
        raise CheckpointError(f"{what} has shape {str(shape)[:80]}, which cannot be; get the file again")
    code = tensor.data_type
    stored = np.dtype(np.uint16) if code == BFLOAT16 else dtype_of(code, what)
    if tensor.data_location == _EXTERNAL:
        raw: Any = _external(tensor, folder, size * stored.itemsize, what)
    elif tensor.HasField("raw_data"):
        raw = tensor.raw_data
    else:
        return _typed(tensor, code, stored, shape, what)
    if len(raw) != size * stored.itemsize:
        raise CheckpointError(
            f"{what} of shape {shape} needs {size * stored.itemsize:,} bytes, got {len(raw):,}; "
            "get the file again"
        )
    array = np.frombuffer(raw, stored.newbyteorder("<")).astype(stored, copy=False).reshape(shape)
    return widened(array) if code == BFLOAT16 else array


def _typed(tensor: Any, code: int, stored: np.dtype[Any], shape: tuple[int, ...], what: str) -> np.ndarray:
    values = getattr(tensor, _FIELDS.get(code, "int32_data"))
    size = math.prod(shape)
    if len(values) != size:
        raise CheckpointError(
            f"{what} of shape {shape} needs {size:,} values, got {len(values):,}; get the file again"
        )
    if code in (10, BFLOAT16):  # bits in whole numbers
        bits = np.fromiter(values, np.int64, size)
        if size and (bits.min() < 0 or bits.max() > 0xFFFF):
            raise CheckpointError(f"{what} has values beyond 16 bits; get the file again")
        half = bits.astype(np.uint16).reshape(shape)
        return widened(half) if code == BFLOAT16 else half.view(np.float16)
    found = np.array(values) if size else np.zeros(0, stored)
    with np.errstate(all="ignore"):
        return found.astype(stored).reshape(shape)


def _external(tensor: Any, folder: Path | None, needed: int, what: str) -> bytes:
    """Bytes of a tensor in a file beside the model, whose place the model states and is not trusted with."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    place = entries.get("location", "")
    if folder is None:
        raise CheckpointError(
            f"{what} has its data in another file ({ascii(place)[:80]}); load the model by its path instead"
        )
    path = Path(place)
    if (
        not place
        or "\x00" in place
        or path.is_absolute()
        or path.drive
        or ".." in path.parts
        or "\\" in place
    ):
        raise CheckpointError(
            f"{what} points to {ascii(place)[:80]}, which is not a file beside the model; it is never opened"
        )
    target = folder / path
    root = os.path.realpath(folder)
    real = os.path.realpath(target)
    if os.path.commonpath((root, real)) != root:
        raise CheckpointError(
            f"{what} points to {ascii(place)[:80]}, a link out of the folder; it is never opened"
        )
    offset, length = (
        _natural(entries.get(key), default, key, what) for key, default in (("offset", 0), ("length", needed))
    )
    if length != needed:
        raise CheckpointError(f"{what} needs {needed:,} bytes, its entry says {length:,}; get the file again")
    if not os.path.isfile(real):
        raise CheckpointError(
            f"{what} has its data in {ascii(place)[:80]}, which is missing; put it beside the model"
        )
    if offset + length > os.path.getsize(real):
        raise CheckpointError(f"{what} reaches past the end of {ascii(place)[:80]}; get both files again")
    with open(real, "rb") as stream:
        stream.seek(offset)
        return stream.read(length)


def _natural(text: str | None, default: int, key: str, what: str) -> int:
    if text is None or text == "":
        return default
    if len(text) > 19 or not text.isascii() or not text.isdigit():
        raise CheckpointError(
            f"{what} has the {key} {ascii(text)[:40]}, expected a whole number; get the file again"
        )
    return int(text)
