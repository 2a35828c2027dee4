"""Data sets in .csv files: one row per sample, one column with the label."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from armour.archive import file_size
from armour.bounds import Bounds
from armour.data import Dataset
from armour.errors import DataError

_LABELS = ("label", "class", "target", "y")
_MAX_TEXT = 1 << 30


def read_csv(path: Path, bounds: Bounds | None = None, name: str | None = None) -> Dataset:
    """A Dataset from text with commas, plain or gzip.

    The label is the column named label, class, target or y, and the last one without a header. Labels that
    are not whole numbers are names: classes are numbered in alphabetical order. Features that are whole
    numbers in 0..255, with a square number of columns from 64 on, are the pixels of (1, side, side) images
    and are divided by 255.
    """
    raw = _text(path)
    title = name or str(path)
    numbers = _whole_numbers(raw)
    if numbers is not None:
        return _build(title, numbers[:, :-1], numbers[:, -1].astype(np.int64), (), bounds)
    rows = _rows(path, raw)
    header, width = _header(rows[0]), len(rows[0])
    if header is not None:
        rows = rows[1:]
    if not rows:
        raise DataError(f"{path}: expected at least one row of numbers, got none")
    for i, row in enumerate(rows):
        if len(row) != width:
            raise DataError(
                f"{path}: row {i + 1 + (header is not None)} has {len(row)} columns instead of {width}"
            )
    at = width - 1 if header is None else header
    try:
        with np.errstate(over="ignore"):  # beyond float32 is infinity, which is refused by name
            x = np.array([row[:at] + row[at + 1 :] for row in rows], dtype=np.float32)
    except ValueError as error:
        raise DataError(f"{path}: expected numbers in every column but the label ({error})") from error
    y, classes = _labels([row[at].strip() for row in rows])
    return _build(title, x, y, classes, bounds)


def _build(
    name: str, x: np.ndarray, y: np.ndarray, classes: tuple[str, ...], bounds: Bounds | None
) -> Dataset:
    from armour.datafiles import make

    side = math.isqrt(x.shape[1])
    whole = bounds is None and x.size > 0 and np.isfinite(x).all() and bool((x == np.round(x)).all())
    if whole and x.min() >= 0 and 1 < x.max() <= 255 and side * side == x.shape[1] and side >= 8:
        x = x.astype(np.uint8).reshape(len(x), 1, side, side)
    elif x.dtype != np.float32:
        with np.errstate(over="ignore"):
            x = x.astype(np.float32)
    return make(name, x, y, bounds, classes)


def _text(path: Path) -> bytes:
    size = file_size(path, DataError)
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    if size > _MAX_TEXT:
        raise DataError(
            f"{path}: expected at most {_MAX_TEXT:,} bytes of text, got {size:,}; save it as .npz"
        )
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            text = stream.read(_MAX_TEXT + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as damage:
        raise DataError(
            f"{path}: cannot be unpacked ({damage}); the file is truncated or damaged"
        ) from damage
    if len(text) > _MAX_TEXT:
        raise DataError(f"{path}: expands to more than {_MAX_TEXT:,} bytes of text; save it as .npz")
    if not text.strip():
        raise DataError(f"{path}: the file is empty")
    return text


def _whole_numbers(raw: bytes) -> np.ndarray | None:
    """Rows of whole numbers of at most three digits, parsed without a Python loop; None for any other text.

    5,000 rows of 785 columns take a tenth of a second.
    """
    text = np.frombuffer(raw if raw.endswith(b"\n") else raw + b"\n", np.uint8)
    if ((text < 48) | (text > 57)).sum() != ((text == 44) | (text == 10)).sum():
        return None
    ends = np.flatnonzero(text < 48)
    length = np.diff(ends, prepend=-1) - 1
    if length.min() < 1 or length.max() > 3:
        return None
    lines = np.flatnonzero(text[ends] == 10)
    width = int(lines[0]) + 1
    if width < 2 or len(ends) % width or not np.array_equal(lines, np.arange(width - 1, len(ends), width)):
        return None
    digits = text.astype(np.float32) - 48
    values = digits[ends - 1]
    two, three = length > 1, length > 2
    values[two] += 10 * digits[ends[two] - 2]
    values[three] += 100 * digits[ends[three] - 3]
    return values.reshape(-1, width)


def _rows(path: Path, raw: bytes) -> list[list[str]]:
    try:
        text = raw.decode("utf-8-sig")
        if "\0" in text[:4096]:
            raise DataError(
                f"{path}: not text, and no format that is known; expected .npz, .csv, idx or a folder"
            )
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text in UTF-8, and no format that is known ({error.reason})") from error
    except csv.Error as error:
        raise DataError(f"{path}: not a table with commas ({error})") from error
    if not rows or len(rows[0]) < 2:
        raise DataError(f"{path}: expected columns separated by commas, features and a label; got one column")
    return rows


def _header(row: list[str]) -> int | None:
    """The label's column if the row is a header, else None."""
    cells = [cell.strip().lower() for cell in row]
    named = [cells.index(label) for label in _LABELS if label in cells]
    if named:
        return named[0]
    return None if any(_is_number(cell) for cell in cells) else len(cells) - 1


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _labels(cells: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    if all(_is_number(cell) for cell in cells):
        return np.array([float(cell) for cell in cells]), ()
    classes = sorted(set(cells))
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number[cell] for cell in cells]), tuple(classes)
