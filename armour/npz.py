"""Arrays from .npz files of strangers: no pickle, and no memory for sizes that the file does not back."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from armour.archive import GIB, open_zip, read_member
from armour.errors import FormatError

_MAX_HEADER = 10_000  # bytes of text; NumPy's own limit


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


def _array(
    path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, error: type[FormatError], limit: int
) -> np.ndarray:
    raw = read_member(path, archive, info.filename, error, limit)
    stream = io.BytesIO(raw)
    try:
        version = np.lib.format.read_magic(stream)
        reader = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = reader(stream, max_header_size=_MAX_HEADER)
    except (ValueError, TypeError, EOFError, SyntaxError, MemoryError, RecursionError) as damage:
        raise error(
            f"{path}: {info.filename} is not an .npy array ({' '.join(str(damage).split())[:120]})"
        ) from damage
    if dtype.hasobject or dtype.kind not in "biufU":
        what = "Python objects (a pickle), which are never read" if dtype.hasobject else f"dtype {dtype}"
        raise error(f"{path}: {info.filename} holds {what}; save plain numbers")
    body = len(raw) - stream.tell()
    if any(d < 0 for d in shape) or math.prod(shape) * dtype.itemsize != body:
        raise error(f"{path}: {info.filename} states shape {shape} of {dtype}, but holds {body:,} bytes")
    flat = (
        np.frombuffer(raw, dtype.newbyteorder("="), offset=stream.tell())
        if dtype.isnative
        else (np.frombuffer(raw, dtype, offset=stream.tell()).astype(dtype.newbyteorder("=")))
    )
    return flat.reshape(shape, order="F" if fortran else "C").copy()
