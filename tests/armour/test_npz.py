"""The .npz reader: what NumPy wrote comes back; what lies about itself is refused before memory is taken."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from armour import npz
from armour.errors import DataError

DTYPES = ["<f4", ">f8", "<i8", ">i2", "u1", "?", "<U5", "<f2"]


def member(header: str, body: bytes, version: bytes = b"\x01\x00") -> bytes:
    text = header.encode() + b"\n"
    size = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + version + size + text + body


def packed(path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return path


def read(path: Path, **options: Any) -> dict[str, np.ndarray]:
    return npz.read_arrays(path, DataError, **options)


@given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(
            np.dtype(dtype),
            hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
            elements=st.just("ab") if "U" in dtype else st.integers(0, 1),
        )
    ),
    fortran=st.booleans(),
    compress=st.booleans(),
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, fortran: bool, compress: bool
) -> None:
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    (np.savez_compressed if compress else np.savez)(path, a=np.asarray(array, order="F" if fortran else "C"))
    found = read(path)["a"]
    assert found.dtype == array.dtype.newbyteorder("=") and found.shape == array.shape
    np.testing.assert_array_equal(found, array)
    assert found.flags.writeable


@pytest.mark.parametrize(
    "kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_every_compression(tmp_path: Path, kind: int) -> None:
    array = np.random.default_rng(0).integers(0, 9, (300, 40))
    raw = io.BytesIO()
    np.save(raw, array)
    path = packed(tmp_path / "a.npz", {"a.npy": raw.getvalue(), "b.npy": raw.getvalue()}, kind)
    assert npz.names(path, DataError) == ["a", "b"]
    assert list(read(path, only=["b"])) == ["b"]
    np.testing.assert_array_equal(read(path)["a"], array)


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"
LIARS = [
    ("more than there is", member(HUGE, b"\0" * 64), "states shape"),
    ("less", member("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", b"\0" * 64), "states shape"),
    (
        "negative",
        member("{'descr': '<f4', 'fortran_order': False, 'shape': (-4, -4), }", b"\0" * 64),
        "no .npy array",
    ),
    ("objects", member("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"\x80\x04."), "pickle"),
    (
        "records",
        member("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", b"\0" * 4),
        "dtype",
    ),
    ("dates", member("{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1,), }", b"\0" * 8), "dtype"),
    ("code", member("__import__('os').getcwd()", b""), "no .npy array"),
    ("no header", b"\x93NUMPY", "no .npy array"),
    ("other magic", b"GIF89a" * 9, "no .npy array"),
    ("version 9", member(HUGE, b"", b"\x09\x00"), "no .npy array"),
    ("long header", member(" " * 50_000, b""), "no .npy array"),
    ("nested", member("(" * 9_000, b""), "no .npy array"),
    ("empty", b"", "no .npy array"),
]


@pytest.mark.parametrize(("raw", "message"), [c[1:] for c in LIARS], ids=[c[0] for c in LIARS])
def test_liars(tmp_path: Path, raw: bytes, message: str) -> None:
    path = packed(tmp_path / "a.npz", {"a.npy": raw})
    tracemalloc.start()
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert peak < 8 << 20


def test_other_members(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"only \.npy arrays"):
        read(packed(tmp_path / "a.npz", {"setup.py": b"print()"}))


def test_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.zeros(10_000))
    with pytest.raises(DataError, match="at most 4,000 bytes"):
        read(path, max_bytes=4_000)


@given(hnp.arrays(st.sampled_from(["<f4", "<i8", "?", "<u8"]), hnp.array_shapes(min_dims=0, min_side=0)))
def test_what_is_written_comes_back(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    with path.open("wb") as stream:
        npz.write_arrays(stream, {"a": array, "turned": array.T})
    read = npz.read_arrays(path, DataError)
    for name, like in (("a", array), ("turned", array.T)):
        assert read[name].dtype == like.dtype and read[name].shape == like.shape
        np.testing.assert_array_equal(read[name], like)
    again = io.BytesIO()
    npz.write_arrays(
        again, {"a": array.copy(), "turned": np.ascontiguousarray(array.T).reshape(array.T.shape)}
    )
    assert again.getvalue() == path.read_bytes()


def test_objects_are_not_written() -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        npz.write_arrays(io.BytesIO(), {"a": np.array([{}], dtype=object)})


def test_huge_axes_beside_an_empty_one(tmp_path: Path) -> None:
    """NumPy cannot hold them, although the array has no elements."""
    header = (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999999999, 999999999999999999, 0), }\n"
    )
    path = packed(tmp_path / "a.npz", {"a.npy": member(header, b"")})
    with pytest.raises(DataError, match="but holds 0 bytes"):
        read(path)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("9" * 5000, "shape that no array has"),
        ("1," * 40, "shape that no array has"),
        (f"{'9' * 40}, {'9' * 40}, 1", "shape that no array has"),
        ("1 " * 3000 + "x", "no .npy array"),
        ("1 2,", "shape that no array has"),
    ],
    ids=["digits", "axes", "numbers", "never ends", "two in one"],
)
def test_shapes_that_once_took_for_ever(tmp_path: Path, shape: str, message: str) -> None:
    """A pattern that repeats inside a repeat looks at such headers for hours."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}\n"
    path = packed(tmp_path / "a.npz", {"a.npy": member(header, bytes(4))})
    with pytest.raises(DataError, match=message):
        read(path)
