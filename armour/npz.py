"""Arrays in .npz files, read from strangers too: no pickle, and no memory that the file does not back."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from armour.archive import GIB, holdable, open_zip, read_member
from armour.errors import FormatError

_MAX_HEADER = 10_000  # bytes of text; NumPy's own limit
# The header is a Python dictionary as text. Its three entries are looked for; nothing is evaluated.
_DESCR = re.compile(r"'descr'\s*:\s*'?([^,'}]*)")
_ORDER = re.compile(r"'fortran_order'\s*:\s*(True|False)")
_SHAPE = re.compile(r"'shape'\s*:\s*\(([\d\s,]*)\)")  # no repeats inside repeats: those take for ever
_MAX_AXES, _MAX_DIGITS = 32, 18
_PLAIN = re.compile(r"[<>|=]?(?:f[248]|[iu][1248]|b1|\?|U\d{1,6})")


def read_arrays(
    path: Path,
    error: type[FormatError],
    only: Collection[str] | None = None,
    max_bytes: int = 4 * GIB,
) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name (deflate, bzip2 and LZMA members too); `only` limits it to some names.

    Raises `error` for anything that is not a zip of plain .npy members, object arrays included.
    """
    with open_zip(path, error, max_bytes, max_bytes) as archive:
        arrays = {}
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                raise error(f"{path}: expected only .npy arrays in an .npz file, found {info.filename!r}")
            name = info.filename.removesuffix(".npy")
            if only is None or name in only:
                arrays[name] = _array(path, archive, info, error, max_bytes)
        return arrays


def names(path: Path, error: type[FormatError]) -> list[str]:
    """The names of the arrays, without reading them."""
    with open_zip(path, error) as archive:
        return [info.filename.removesuffix(".npy") for info in archive.infolist()]


def under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin with the prefix, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def write_arrays(stream: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an .npz, uncompressed and without pickle; the same arrays give the same bytes."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)


def _array(
    path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, error: type[FormatError], limit: int
) -> np.ndarray:
    return parse_array(read_member(path, archive, info.filename, error, limit), path, info.filename, error)


def parse_array(raw: bytes, path: Path, name: str, error: type[FormatError]) -> np.ndarray:
    """The array of an .npy file; `error` for anything else, Python objects too. name: what to call it."""
    text, body = _split(raw)
    found = None if text is None else [pattern.search(text) for pattern in (_DESCR, _ORDER, _SHAPE)]
    if found is None or not all(found):
        raise error(f"{path}: {name!r} is no .npy array; write it with numpy.savez")
    descr, order, sizes = (match[1] for match in found if match)
    lengths = [part.strip() for part in sizes.split(",") if part.strip()]
    if len(lengths) > _MAX_AXES or not all(n.isdecimal() and len(n) <= _MAX_DIGITS for n in lengths):
        raise error(f"{path}: {name!r} has a shape that no array has; write it with numpy.savez")
    if not _PLAIN.fullmatch(descr):
        objects = descr.endswith("O")
        what = "Python objects (a pickle), which are never read" if objects else f"dtype {descr[:40]!r}"
        raise error(f"{path}: {name!r} holds {what}; save plain numbers")
    dtype, shape = np.dtype(descr), tuple(map(int, lengths))
    if not holdable(shape, dtype.itemsize) or math.prod(shape) * dtype.itemsize != len(body):
        raise error(f"{path}: {name!r} states shape {shape} of {dtype}, but holds {len(body):,} bytes")
    flat = np.frombuffer(body, dtype).astype(dtype.newbyteorder("="))
    return flat.reshape(shape, order="F" if order == "True" else "C")


def _split(raw: bytes) -> tuple[str | None, memoryview]:
    """The header's text and the data of an .npy file; None if there is no header of a known version."""
    view = memoryview(raw)
    version = raw[6:8] if raw.startswith(b"\x93NUMPY") else b""
    width = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}.get(version, 0)
    if not width or len(raw) < 8 + width:
        return None, view
    length = int.from_bytes(raw[8 : 8 + width], "little")
    if length > min(_MAX_HEADER, len(raw) - 8 - width):
        return None, view
    start = 8 + width
    return raw[start : start + length].decode("latin-1"), view[start + length :]
