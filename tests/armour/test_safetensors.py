"""The safetensors layout: equal to the public package's, and every lie in a header is refused."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from armour.errors import CheckpointError
from armour.formats.safetensors import MAX_HEADER, dump, parse

DTYPES = ("<f8", "<f4", "<f2", "<i8", "<i4", "<i2", "i1", "<u8", "<u4", "<u2", "u1", "?")


def built(header: Any, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(start: int, end: int, shape: tuple[int, ...] = (1,), dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


@given(
    arrays=st.dictionaries(
        st.text(min_size=1, max_size=12).filter(lambda s: s != "__metadata__" and s.isprintable()),
        hnp.arrays(
            st.sampled_from(DTYPES).map(np.dtype),
            hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3),
        ),
        max_size=5,
    )
)
def test_arrays_come_back_to_the_bit(arrays: dict[str, np.ndarray]) -> None:
    raw = dump(arrays)
    again = parse(raw, "file")
    assert again.keys() == arrays.keys() and dump(again) == raw
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array, strict=True)
        assert again[name].flags.writeable and again[name].flags.owndata


def test_the_public_package_reads_ours_and_we_read_its() -> None:
    theirs = pytest.importorskip("safetensors.numpy")
    rng = np.random.default_rng(0)
    arrays = {
        f"a{i}": (100 * rng.standard_normal((i % 3 + 1, 4))).astype(dtype) for i, dtype in enumerate(DTYPES)
    }
    for ours in (theirs.load(dump(arrays)), parse(theirs.save(arrays, {"format": "np"}), "file")):
        assert ours.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(ours[name], array, strict=True)


def test_the_order_of_names_does_not_matter_and_any_memory_order_is_written() -> None:
    a, b = np.arange(6.0).reshape(2, 3), np.arange(4, dtype=">i4")
    raw = dump({"b": b, "a": a.T})
    assert raw == dump({"a": np.ascontiguousarray(a.T), "b": b.astype("<i4")})
    np.testing.assert_array_equal(parse(raw, "file")["a"], a.T)


def test_bfloat16_becomes_float32() -> None:
    values = np.array([1.0, -2.5, 3.0e38, 0.0], np.float32)
    halves = (values.view(np.uint32) >> 16).astype("<u2")
    out = parse(built({"w": entry(0, 8, (2, 2), "BF16")}, halves.tobytes()), "file")["w"]
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out.reshape(-1).view(np.uint32) >> 16, halves)


def test_dtypes_it_cannot_hold() -> None:
    with pytest.raises(CheckpointError, match="complex64"):
        dump({"z": np.zeros(2, np.complex64)})


LONG = "n" * 5000
HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "too few"),
    "seven bytes": (b"\0" * 7, "too few"),
    "header longer than the file": (built(b"{}", length=3), "header states 3 bytes"),
    "header of 2^64": (built(b"{}", length=2**64 - 1), "header states"),
    "header above the limit": (built(b" " * (MAX_HEADER + 1)), "header states"),
    "no JSON": (built(b"{"), "not JSON"),
    "no text": (built(b"\xff\xfe\xfd"), "not JSON"),
    "nested deep": (built(b"[" * 100_000), "not JSON"),
    "a huge number": (built(b'{"a": ' + b"9" * 5000 + b"}"), "not JSON"),
    "a list": (built([]), "not an object"),
    "a name twice": (built(b'{"a": 1, "a": 2}'), "twice"),
    "entry of text": (built({"a": "F32"}), "not described"),
    "entry without offsets": (built({"a": {"dtype": "F32", "shape": []}}), "not described"),
    "entry with more": (built({"a": entry(0, 4) | {"code": "x"}}, bytes(4)), "not described"),
    "unknown dtype": (built({"a": entry(0, 4, dtype="F8_E4M3")}, bytes(4)), "unknown dtype 'F8_E4M3'"),
    "dtype of a list": (built({"a": entry(0, 4) | {"dtype": ["F32"]}}, bytes(4)), "unknown dtype"),
    "negative length": (built({"a": entry(0, 4, (-1,))}, bytes(4)), "natural numbers"),
    "length that is true": (built({"a": entry(0, 4) | {"shape": [True]}}, bytes(4)), "natural numbers"),
    "length of 1.0": (built({"a": entry(0, 4) | {"shape": [1.0]}}, bytes(4)), "natural numbers"),
    "too many axes": (built({"a": entry(0, 4, (1,) * 33)}, bytes(4)), "natural numbers"),
    "three offsets": (built({"a": entry(0, 4) | {"data_offsets": [0, 4, 4]}}, bytes(4)), "natural numbers"),
    "product that wraps around": (built({"a": entry(0, 0, (2**32, 2**32))}), "has 0 bytes"),
    "huge shape": (built({"a": entry(0, 4, (2**61,))}, bytes(4)), "has 4 bytes"),
    "size that does not fit": (built({"a": entry(0, 5)}, bytes(5)), "has 5 bytes"),
    "end before start": (built({"a": entry(4, 0)}, bytes(4)), "has -4 bytes"),
    "past the end": (built({"a": entry(0, 8, (2,))}, bytes(4)), "ends at 8"),
    "overlap": (built({"a": entry(0, 8, (2,)), "b": entry(4, 8)}, bytes(8)), "starts at 4 instead of 8"),
    "the same bytes twice": (built({"a": entry(0, 4), "b": entry(0, 4)}, bytes(4)), "starts at 0 instead"),
    "hole": (built({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)), "starts at 8 instead of 4"),
    "hole at the start": (built({"a": entry(4, 8)}, bytes(8)), "starts at 4 instead of 0"),
    "bytes of no array": (built({"a": entry(0, 4)}, bytes(5)), "1 bytes belong to no array"),
    "a long name": (built({LONG: entry(4, 8)}, bytes(8)), "starts at"),
    "a name with an escape": (built({"\x1b[2J\n": entry(4, 8)}, bytes(8)), "starts at"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_header_that_lies_is_refused(name: str) -> None:
    raw, message = HOSTILE[name]
    with pytest.raises(CheckpointError, match=message) as caught:
        parse(raw, "some.file")
    text = str(caught.value)
    assert text.startswith("some.file: ") and text.isprintable() and len(text) < 300


@given(data=st.data())
def test_bytes_changed_at_random_are_refused_or_read(data: st.DataObject) -> None:
    raw = bytearray(dump({"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, bool)}))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(0, len(raw))) :]
    try:
        arrays = parse(bytes(raw), "file")
    except CheckpointError as error:
        assert "\n" not in str(error)
    else:
        assert sum(a.nbytes for a in arrays.values()) <= 2 * len(raw)
