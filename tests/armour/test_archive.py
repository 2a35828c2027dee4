"""Zip files from strangers: listings checked first, members no larger than they say."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armour import archive
from armour.archive import open_zip, read_member
from armour.errors import DataError

KINDS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def packed(members: list[tuple[str, bytes]], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as zipped, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile warns about one name twice
        for name, raw in members:
            zipped.writestr(name, raw)
    return out.getvalue()


def read(path: Path, name: str = "a", limit: int = 1 << 20) -> bytes:
    with open_zip(path, DataError) as zipped:
        return read_member(path, zipped, name, DataError, limit)


def refused(path: Path, raw: bytes, message: str, **options: int) -> None:
    path.write_bytes(raw)
    with pytest.raises(DataError, match=message) as caught, open_zip(path, DataError, **options):
        pytest.fail("the listing was accepted")
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1, 5_000, 300_000])
def test_members_come_back(tmp_path: Path, kind: int, size: int) -> None:
    raw = bytes(i * i % 251 for i in range(size))
    path = tmp_path / "z"
    path.write_bytes(packed([("a", raw), ("b", b"")], kind))
    assert read(path) == raw
    if size:
        with pytest.raises(DataError, match=f"expands to {size:,} bytes, above the limit"):
            read(path, limit=size - 1)


def test_listings_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "z"
    refused(path, packed([("a", b"1"), ("a", b"2")]), "lists 'a' twice")
    for name in ("../a", "/etc/a", "x/../../a", "..\\a", "\\a"):
        refused(path, packed([(name, b"1")]), "points outside the file")
    refused(path, packed([("a", b"1")])[:-30], "truncated or damaged")
    refused(path, b"", "truncated or damaged")
    refused(path, packed([("a", b"1" * 50)], zipfile.ZIP_STORED), "at most 60 bytes", max_bytes=60)
    refused(path, packed([("a", bytes(600)), ("b", bytes(600))]), "expand to 1,200 bytes", max_total=1_000)


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_MAX_MEMBERS", 5)
    raw = packed([(str(i), b"") for i in range(6)])
    refused(tmp_path / "z", raw, "at most 5 members")
    # The count at the end may lie; what zipfile lists counts too.
    at = raw.rfind(b"PK\x05\x06")
    refused(tmp_path / "z", raw[: at + 8] + struct.pack("<2H", 1, 1) + raw[at + 12 :], "at most 5 members")


def test_a_bomb_is_known_by_its_ratio(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped, zipped.open("a", "w") as stream:
        for _ in range(80):
            stream.write(bytes(1 << 20))
    refused(tmp_path / "z", out.getvalue(), "zip bomb")


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_member_that_states_too_little_is_cut_short(tmp_path: Path, kind: int) -> None:
    """30 MB behind a listing that says 1,000 bytes: refused, and never unpacked as a whole."""
    raw = packed([("a", bytes(30_000_000))], kind)
    lie = raw.replace(struct.pack("<I", 30_000_000), struct.pack("<I", 1_000))
    assert lie != raw
    path = tmp_path / "z"
    path.write_bytes(lie)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"cannot be unpacked|larger than"):
        read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # bzip2 and LZMA expand the piece they are fed at once, here the whole of a few hundred bytes.
    assert peak < (4 << 20 if kind == zipfile.ZIP_DEFLATED else 80 << 20)


def test_an_encrypted_member(tmp_path: Path) -> None:
    raw = bytearray(packed([("a", b"1")]))
    at = raw.rfind(b"PK\x01\x02")
    raw[at + 8] |= 1
    refused(tmp_path / "z", bytes(raw), "'a' is encrypted")


def test_what_is_no_file(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "none", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(DataError, match=message), open_zip(path, DataError):
            pytest.fail("it was opened")


@given(st.data())
def test_bytes_changed_at_random_are_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    raw = bytearray(packed([("a", b"some text, some text"), ("b", bytes(99))], kind))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("z") / "z"
    path.write_bytes(raw)
    try:
        with open_zip(path, DataError) as zipped:
            for name in zipped.namelist():
                assert len(read_member(path, zipped, name, DataError, 1 << 16)) <= 1 << 16
    except DataError as error:
        assert "\n" not in str(error)
