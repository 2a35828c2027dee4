"""Data sets in files: the kind is told by content, then pixels are scaled and laid out as (n, c, h, w)."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from armour import npz
from armour.bounds import Bounds
from armour.data import Dataset, split_dataset
from armour.errors import DataError

log = logging.getLogger(__name__)

_X = ("x", "images", "data", "inputs", "features")
_Y = ("y", "labels", "label", "targets", "target", "classes")
_TEST_SHARE = 0.2


def read(path: Path, bounds: Bounds | None = None) -> tuple[Dataset, Dataset]:
    """Training and test Dataset of a .npz, .csv or idx file (or .gz of the last two), or of a folder.

    Raises DataError for anything else, and for files that are damaged or do not hold samples and labels.
    """
    if path.is_dir():
        return _folder(path, bounds)
    with path.open("rb") as stream:
        head = stream.read(8)
    if not head:
        raise DataError(f"{path}: the file is empty")
    if head.startswith(b"PK"):
        return read_npz(path, bounds)
    if head[0] == 0x80:
        raise DataError(
            f"{path}: a pickle, which can run code and is never read; save the arrays with numpy.savez"
        )
    if head.startswith(b"\x93NUMPY"):
        raise DataError(
            f"{path}: a single array without labels; save both with numpy.savez(file, x=..., y=...)"
        )
    if head.startswith(b"\x89HDF"):
        raise DataError(f"{path}: an HDF5 file; save the arrays with numpy.savez(file, x=..., y=...)")
    from armour import idx, tables

    if idx.is_idx(path):
        return _halves(idx.read_pair(path, bounds))
    return _halves(tables.read_csv(path, bounds))


def read_npz(path: Path, bounds: Bounds | None = None, name: str | None = None) -> tuple[Dataset, Dataset]:
    """The data set of an .npz with x and y (or images and labels), or with train_x, train_y, test_x, test_y.

    The arrays `bounds` (two numbers) and `class_names` (strings) are used if they are there.
    """
    known = {n.lower(): n for n in npz.names(path, DataError)}
    extra = npz.read_arrays(path, DataError, [known[k] for k in ("bounds", "class_names") if k in known])
    if bounds is None and "bounds" in known:
        bounds = Bounds.of(extra[known["bounds"]].reshape(-1).tolist())
    classes = tuple(str(c) for c in extra[known["class_names"]].reshape(-1)) if "class_names" in known else ()
    parts = []
    for keys in (
        (_pair(known, "train"), _pair(known, "test")) if _pair(known, "train") else (_pair(known, ""),)
    ):
        if keys is None:
            raise DataError(
                f"{path}: expected arrays x and y (or images and labels, or train_x, train_y, test_x, ...), "
                f"got {', '.join(known.values()) or 'none'}"
            )
        arrays = npz.read_arrays(path, DataError, keys)
        parts.append(make(name or str(path), arrays[keys[0]], arrays[keys[1]], bounds, classes))
    return (parts[0], parts[1]) if len(parts) == 2 else _halves(parts[0])


def make(
    name: str, x: np.ndarray, y: np.ndarray, bounds: Bounds | None = None, class_names: tuple[str, ...] = ()
) -> Dataset:
    """A Dataset from raw arrays: uint8 is divided by 255, images become (n, c, h, w); DataError if unfit."""
    if not len(x.reshape(-1)) or not len(y.reshape(-1)):
        raise DataError(
            f"{name}: expected at least one sample, got x of shape {x.shape} and y of shape {y.shape}"
        )
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and len(y) == len(x):
        raise DataError(f"{name}: expected labels (n,), got one-hot rows {y.shape}; save y.argmax(axis=1)")
    x = channels_first(name, x)
    if x.dtype == np.uint8:
        if bounds not in (None, Bounds(0, 1), Bounds(0, 255)):
            raise DataError(
                f"{name}: uint8 pixels are scaled to (0, 1), got bounds {bounds}; save floats instead"
            )
        x, bounds = x.astype(np.float32) / np.float32(255), Bounds(0, 1)
    return Dataset(x, y, bounds or Bounds(0, 1), name, class_names)


def channels_first(name: str, x: np.ndarray) -> np.ndarray:
    """(n, h, w) as (n, 1, h, w), and (n, h, w, c) as (n, c, h, w) where the channels can be told (1 or 3).

    (n, d) stays as it is. DataError if both or neither of the axes can be the channels.
    """
    if x.ndim == 2:
        return x
    if x.ndim == 3:
        return x[:, None]
    if x.ndim != 4:
        raise DataError(f"{name}: expected samples (n, d), (n, h, w) or (n, c, h, w), got shape {x.shape}")
    first, last = x.shape[1] in (1, 3), x.shape[3] in (1, 3)
    if first == last:
        problem = "both axes 1 and 3 could be" if first else "neither axis 1 nor 3 (length 1 or 3) can be"
        raise DataError(
            f"{name}: {problem} the channels in shape {x.shape}; save images as (n, c, h, w) with 1 or 3"
        )
    return x if first else np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def _pair(known: dict[str, str], part: str) -> tuple[str, str] | None:
    """The stored names of inputs and labels of one part ("train", "test" or "")."""

    def find(stems: tuple[str, ...]) -> str | None:
        for stem in stems:
            for key in (
                (stem,)
                if not part
                else (f"{part}_{stem}", f"{stem}_{part}", f"{part}{stem}", f"{stem}{part}")
            ):
                if key in known:
                    return known[key]
        return None

    x, y = find(_X), find(_Y)
    return None if x is None or y is None else (x, y)


def _halves(data: Dataset | tuple[Dataset, Dataset]) -> tuple[Dataset, Dataset]:
    if isinstance(data, tuple):
        return data
    if len(data) < 2:
        raise DataError(
            f"{data.name}: expected at least two samples to split into training and test, got {len(data)}"
        )
    train, test = split_dataset(data, _TEST_SHARE, 0)
    if not len(test):  # every class has one sample
        train, test = data[: len(data) - 1], data[len(data) - 1 :]
    return train, test


def _folder(path: Path, bounds: Bounds | None) -> tuple[Dataset, Dataset]:
    from armour import folders, idx

    if idx.has_idx(path):
        return idx.read_folder(path)
    parts = {p.name.lower(): p for p in path.iterdir() if p.is_dir()}
    if set(parts) == {"train", "test"}:
        train = folders.read_images(parts["train"], str(path))
        return train, folders.read_images(parts["test"], str(path), train.class_names)
    return _halves(folders.read_images(path, str(path)))
