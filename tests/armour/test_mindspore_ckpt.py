"""MindSpore's checkpoints: files written by hand, byte for byte as MindSpore writes them, and forged ones."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from mindspore_made import entry, lenet, number

import armour
from armour.errors import CheckpointError
from armour.formats import kinds, mindspore_ckpt


def read(path: Path, raw: bytes) -> dict[str, np.ndarray]:
    path.write_bytes(raw)
    return kinds.read_arrays(path)[1]


def test_the_first_bytes_of_a_real_file() -> None:
    raw, _ = lenet()
    assert raw.startswith(
        b"\x0a\xfd\x04\x0a\x0cconv1.weight\x12\xec\x04\x08\x06\x08\x01\x08\x05\x08\x05\x12\x07Float32\x1a\xd8\x04"
    )
    assert len(raw) < 512_000


@pytest.mark.parametrize("crc", [False, True])
def test_lenet(tmp_path: Path, crc: bool) -> None:
    raw, weights = lenet()
    if crc:
        raw += b"crc_num" + zlib.crc32(raw).to_bytes(10, "big")
    found = read(tmp_path / "lenet-10_1875.ckpt", raw)
    assert len(found) == 18
    for name, array in weights.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
        np.testing.assert_array_equal(found[f"moments.{name}"], 0)
    assert found["learning_rate"].shape == () and float(found["momentum"]) == 0.9
    assert kinds.detect(tmp_path / "lenet-10_1875.ckpt").name == "mindspore"


def test_what_is_written_is_what_mindspore_writes(tmp_path: Path) -> None:
    raw, weights = lenet()
    assert raw.startswith(mindspore_ckpt.dump(weights))
    arrays = {
        "scalar": np.array(0.5, np.float32), "empty": np.zeros(0, np.int32), "flags": np.array([True, False]),
        "half": np.ones((2, 3), np.float16), "wide": np.arange(300), "big-endian": np.arange(3, dtype=">f4"),
    }  # fmt: skip
    for crc in (False, True):
        found = read(tmp_path / "m.ckpt", mindspore_ckpt.dump(arrays, crc=crc))
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(
                found[name], array.astype(array.dtype.newbyteorder("=")), strict=True
            )
    with pytest.raises(CheckpointError, match="complex64"):
        mindspore_ckpt.dump({"a": np.zeros(1, np.complex64)})


@pytest.mark.parametrize("dims", [(), (0,)], ids=["new", "old"])
@pytest.mark.parametrize(
    ("kind", "code"), [(b"Float32", "<f4"), (b"Int64", "<i8"), (b"Bool", "?"), (b"Int8", "i1")]
)
def test_scalars_and_empty_arrays_are_told_apart(
    tmp_path: Path, dims: tuple[int, ...], kind: bytes, code: str
) -> None:
    one = np.ones((), code)
    raw = entry(b"one", dims, kind, one.tobytes()) + entry(b"none", dims, kind, b"")
    found = read(tmp_path / "m.ckpt", raw)
    np.testing.assert_array_equal(found["one"], one, strict=True)
    np.testing.assert_array_equal(found["none"], np.zeros(0, code), strict=True)


def test_chunks_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(100, dtype=np.float32).reshape(10, 10)
    monkeypatch.setattr(mindspore_ckpt, "SLICE_BYTES", 101)  # not at the border of a number
    raw = mindspore_ckpt.dump({"a": array, "b": array[:1]})
    assert raw.count(b"\x0a\x01a") == 4
    np.testing.assert_array_equal(read(tmp_path / "m.ckpt", raw)["a"], array, strict=True)
    first = entry(b"a", (10, 10), b"Float32", array[:5].tobytes())
    second = entry(b"a", (10, 10), b"Float32", array[5:].tobytes())
    other = entry(b"b", (1,), b"Float32", bytes(4))
    np.testing.assert_array_equal(read(tmp_path / "m.ckpt", first + second + other)["a"], array)
    for raw, message in (
        (first + other + second, "'a' is there twice"),
        (first + entry(b"a", (5, 10), b"Float32", array[5:].tobytes()), "differ in type or shape"),
        (first + entry(b"a", (10, 10), b"Int32", array[5:].tobytes()), "differ in type or shape"),
        (first, "has 200 bytes"),
        (first + second + second, "has 600 bytes"),
    ):
        with pytest.raises(CheckpointError, match=message):
            read(tmp_path / "m.ckpt", raw)


def test_packed_dims_and_fields_that_are_not_known(tmp_path: Path) -> None:
    tensor = b"\x0a\x02\x02\x03\x12\x04Int8\x1a\x06abcdef\x30\x07"
    value = b"\x0a\x01x\x12" + number(len(tensor)) + tensor + b"\x4d1234"
    with pytest.raises(CheckpointError, match="field 6"):
        read(tmp_path / "m.ckpt", b"\x0a" + number(len(value)) + value)
    tensor = tensor[:-2]
    value = b"\x0a\x01x\x12" + number(len(tensor)) + tensor + b"\x4d1234"
    found = read(tmp_path / "m.ckpt", b"\x0a" + number(len(value)) + value)
    np.testing.assert_array_equal(found["x"], np.frombuffer(b"abcdef", "i1").reshape(2, 3), strict=True)


def test_bfloat16_becomes_float32_and_text_is_left_out(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5], np.float32)
    raw = entry(b"a", (2,), b"BFloat16", (values.view(np.uint32) >> 16).astype("<u2").tobytes())
    raw += entry(b"random_op", (), b"Whatever", b"\0\1\2") + entry(
        b"note", (0,), b"str", "hé".encode("utf-32-le")
    )
    path = tmp_path / "m.ckpt"
    path.write_bytes(raw)
    _, arrays, leftovers = kinds.read_arrays(path)
    np.testing.assert_array_equal(arrays["a"], values, strict=True)
    assert list(arrays) == ["a"] and sorted(leftovers) == ["note", "random_op"]


@pytest.mark.parametrize("magic", [b"\xd8", b"\xd9", b"\xda"])
def test_encrypted_files_are_refused_by_name(tmp_path: Path, magic: bytes) -> None:
    (tmp_path / "m.ckpt").write_bytes(magic + b"\x5e\x3a\x7f\x10\0\0\0" + bytes(100))
    with pytest.raises(CheckpointError, match="an encrypted MindSpore checkpoint; decrypt it with MindSpore"):
        armour.load(tmp_path / "m.ckpt")


FLOATS = entry(b"a", (2,), b"Float32", bytes(8))
FORGED = {
    "cut": (FLOATS[:-1], "left"),
    "a length of 2 GB": (FLOATS + b"\x0a\xff\xff\xff\xff\x07", "only 0 left"),
    "a length of 2^63": (FLOATS + b"\x0a" + b"\xff" * 8 + b"\x7f", "only 0 left"),
    "a number of 11 bytes": (FLOATS + b"\x0a" + b"\xff" * 10 + b"\x01", "64 bits"),
    "a group": (FLOATS + b"\x0b\x0c", "wire type 3"),
    "another field": (FLOATS + b"\x12\x01a", "field 2"),
    "field number 0": (FLOATS + b"\x02\x01a", "number 0"),
    "no bytes for the shape": (entry(b"a", (3,), b"Float32", bytes(8)), "has 8 bytes"),
    "a shape of 2^40": (entry(b"a", (1 << 40, 1 << 20), b"Float32", bytes(8)), "has 8 bytes"),
    "a huge shape of nothing": (entry(b"a", (1 << 47, 1 << 47, 0), b"Float32", b""), "has 0 bytes"),
    "a negative dim": (entry(b"a", ((1 << 64) - 1,), b"Float32", bytes(8)), "no array has"),
    "40 dims": (entry(b"a", (1,) * 40, b"Float32", bytes(4)), "no array has"),
    "twice": (FLOATS + entry(b"b", (2,), b"Float32", bytes(8)) + FLOATS, "'a' is there twice"),
    "a tag that is no text": (FLOATS + entry(b"\xff\xfe", (2,), b"Float32", bytes(8)), "no UTF-8"),
    "a tag with an escape": (FLOATS + entry(b"\x1b[2J", (2,), b"Float32", bytes(8)), "not printable"),
    "an unknown type": (entry(b"a", (2,), b"Float8", bytes(2)), "'Float8', which is not read"),
    "a hash table": (FLOATS + b"\x0a\x05\x0a\x01m\x1a\x00", "MapTensor"),
    "no tensor": (FLOATS + b"\x0a\x03\x0a\x01m", "no values"),
    "two tensors": (b"\x0a\x0b\x0a\x01m\x12\x02\x08\x01\x12\x02\x08\x01", "an entry is damaged"),
    "a wrong checksum": (FLOATS + b"crc_num" + bytes(10), "its checksum is"),
    "a checksum alone": (FLOATS[:-3] + b"crc_num" + bytes(10), "its checksum is"),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_files_are_one_line(tmp_path: Path, name: str) -> None:
    raw, message = FORGED[name]
    path = tmp_path / "m.ckpt"
    path.write_bytes(raw)
    with pytest.raises(CheckpointError) as caught:
        kinds.read_arrays(path)
    text = str(caught.value)
    assert re.search(message, text), text
    assert text.startswith(f"{path}: ") and text.isprintable() and len(text) < 400 + len(str(path))
