"""IDX files, the format of MNIST: a header of big-endian sizes, then the values; plain or gzip."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from armour.archive import GIB, file_size
from armour.bounds import Bounds
from armour.data import Dataset
from armour.errors import DataError

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_BYTES = 4 * GIB
_MAX_RATIO = 1_100  # deflate cannot do better than 1,032


def is_idx(path: Path) -> bool:
    """True if the file, or what a .gz holds, begins as an IDX file does."""
    try:
        with _open(path) as stream:
            head = stream.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in _TYPES and 1 <= head[3] <= 4


def read_idx(path: Path) -> np.ndarray:
    """The array of one IDX file; the sizes in its header are checked against the file before allocating."""
    size = file_size(path, DataError)
    packed = _is_gzip(path)
    try:
        with _open(path) as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or not 1 <= head[3] <= 4:
                raise DataError(
                    f"{path}: not an IDX file (it should begin with 00 00, a type and a number of axes)"
                )
            dtype, axes = np.dtype(_TYPES[head[2]]), head[3]
            sizes = stream.read(4 * axes)
            if len(sizes) < 4 * axes:
                raise DataError(f"{path}: the IDX header is cut off; the file is truncated")
            shape = tuple(int(v) for v in np.frombuffer(sizes, ">u4"))
            expected = math.prod(shape) * dtype.itemsize
            room = size * _MAX_RATIO if packed else size - 4 - 4 * axes
            if expected > min(room, _MAX_BYTES):
                raise DataError(
                    f"{path}: the header states {shape}, more than the file can hold; it is truncated"
                )
            body = stream.read(expected + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as damage:
        raise DataError(
            f"{path}: cannot be unpacked ({damage}); the file is truncated or damaged"
        ) from damage
    if len(body) != expected:
        raise DataError(
            f"{path}: the header states {shape}, the file holds {'less' if len(body) < expected else 'more'}"
        )
    return np.frombuffer(body, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def read_pair(path: Path, bounds: Bounds | None = None, name: str | None = None) -> Dataset:
    """A Dataset from a file of images (or of labels) and its sibling, named as MNIST's are."""
    from armour.datafiles import make

    images, labels = (
        path.with_name(path.name.replace("labels", "images").replace("idx1", "idx3")),
        path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1")),
    )
    if images == labels:
        raise DataError(
            f"{path}: expected a name with 'images' or 'labels' in it, to find the other file of the pair"
        )
    for part in (images, labels):
        if not part.is_file():
            raise DataError(f"{part}: no such file; an IDX data set needs images and labels side by side")
    return make(name or str(path), read_idx(images), read_idx(labels), bounds)


def has_idx(folder: Path) -> bool:
    """True if the folder holds MNIST's four files, plain or .gz."""
    return all(_find(folder, stem) is not None for stem in ("train-images", "t10k-images"))


def read_folder(folder: Path, name: str | None = None) -> tuple[Dataset, Dataset]:
    """Training and test Dataset of MNIST's four files."""
    parts = []
    for stem in ("train-images", "t10k-images"):
        path = _find(folder, stem)
        if path is None:
            raise DataError(f"{folder}: no file {stem}-idx3-ubyte or {stem}-idx3-ubyte.gz")
        parts.append(read_pair(path, None, name or str(folder)))
    return parts[0], parts[1]


def _find(folder: Path, stem: str) -> Path | None:
    names = (f"{stem}-idx3-ubyte", f"{stem}.idx3-ubyte")
    for path in (folder / f"{name}{suffix}" for name in names for suffix in ("", ".gz")):
        if path.is_file():
            return path
    return None


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if _is_gzip(path) else path.open("rb")
