"""IDX files: MNIST's layout read back; headers that promise more than the file holds refused."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from idx_files import packed, write

from armour import data, idx
from armour.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 5, 6), np.uint8)
LABELS = (np.arange(12) % 3).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_of_four(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, "train", IMAGES[:9], LABELS[:9], suffix)
    write(tmp_path, "t10k", IMAGES[9:], LABELS[9:], suffix)
    train, test = data.load_split(tmp_path)
    np.testing.assert_array_equal(train.x, IMAGES[:9, None].astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(test.y, LABELS[9:])


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
def test_a_pair_by_either_name(tmp_path: Path, suffix: str, kind: str) -> None:
    write(tmp_path, "train", IMAGES, LABELS, suffix)
    x, y = data.load(tmp_path / f"train-{kind}-ubyte{suffix}")
    assert x.shape == (12, 1, 5, 6) and sorted(y) == sorted(LABELS)


@pytest.mark.parametrize(
    ("kind", "dtype"), [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")]
)
def test_types(tmp_path: Path, kind: int, dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    path = tmp_path / "a"
    path.write_bytes(packed(array, kind))
    found = idx.read_idx(path)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, array)


WHOLE = packed(IMAGES)
HUGE = bytes([0, 0, 8, 3]) + struct.pack(">3I", 60_000, 28_000, 28_000) + bytes(100)
DAMAGED = [
    ("truncated", WHOLE[:-1], "the file can hold"),
    ("trailing", WHOLE + b"\0", "holds more"),
    ("cut header", WHOLE[:10], "cut off"),
    ("huge", HUGE, "the file can hold"),
    ("huge gzip", gzip.compress(HUGE), "the file can hold"),
    ("truncated inside gzip", gzip.compress(WHOLE[:-5]), "holds less"),
    ("trailing inside gzip", gzip.compress(WHOLE + b"\0"), "holds more"),
    ("cut gzip", gzip.compress(WHOLE)[:-20], "truncated or damaged"),
    ("other type", b"\0\0\x07\x01" + WHOLE[4:], "not an IDX file"),
    ("no axes", b"\0\0\x08\x00" + WHOLE[4:], "not an IDX file"),
    ("text", b"label,pixel\n1,2\n", "not an IDX file"),
]


@pytest.mark.parametrize(("raw", "message"), [d[1:] for d in DAMAGED], ids=[d[0] for d in DAMAGED])
def test_damaged(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(raw)
    tracemalloc.start()
    with pytest.raises(DataError, match=message) as caught:
        idx.read_idx(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert peak < 1 << 20


def test_pairs_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(WHOLE)
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte: no such file"):
        data.load(path)
    (tmp_path / "digits.idx").write_bytes(WHOLE)
    with pytest.raises(DataError, match="'images' or 'labels'"):
        data.load(tmp_path / "digits.idx")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(packed(LABELS[:5]))
    with pytest.raises(DataError, match="labels"):
        data.load(path)
