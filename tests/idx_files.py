"""Writes IDX files, the format of MNIST."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np


def packed(array: np.ndarray, kind: int = 8) -> bytes:
    """The bytes of an IDX file; kind: the code of the array's type."""
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, kind, array.ndim]) + sizes + array.tobytes()


def write(folder: Path, stem: str, images: np.ndarray, labels: np.ndarray, suffix: str = "") -> None:
    """Images and labels side by side under MNIST's names; suffix: "" or ".gz"."""
    squeeze = gzip.compress if suffix else bytes
    (folder / f"{stem}-images-idx3-ubyte{suffix}").write_bytes(squeeze(packed(images)))
    (folder / f"{stem}-labels-idx1-ubyte{suffix}").write_bytes(squeeze(packed(labels)))
