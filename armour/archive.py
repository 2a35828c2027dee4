"""Zip files from strangers: what is listed is checked before anything is unpacked."""

from __future__ import annotations

import errno
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from armour.errors import FormatError

GIB = 1 << 30
# Refused for members that expand beyond _SMALL: deflate reaches 1,032 at most, real arrays about 20.
_MAX_RATIO = 200
_SMALL = 64 << 20
_MAX_MEMBERS = 10_000
_READ = 1 << 12  # LZMA and bzip2 expand a whole block at once, so what is fed to them stays small
_TAIL = struct.Struct("<4s4H2LH")  # end of central directory: signature, disks, counts, size, offset, comment

# What zipfile raises for a damaged file, besides BadZipFile.
_DAMAGE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    IndexError,
    NotImplementedError,
    RuntimeError,
    UnicodeError,
)


@contextmanager
def open_zip(
    path: Path, error: type[FormatError], max_bytes: int = 4 * GIB, max_total: int = 4 * GIB
) -> Iterator[zipfile.ZipFile]:
    """An open zip whose listing has been checked: size, member count, unique plain names, sizes and ratios.

    error: the class raised for everything wrong with the file. max_bytes: largest file; max_total: largest
    sum of the sizes that its members state.
    """
    size = file_size(path, error)
    if size > max_bytes:
        raise error(f"{path}: expected at most {max_bytes:,} bytes, got {size:,}")
    try:
        _check_count(path, size, error)
        archive = zipfile.ZipFile(path)
    except (*_DAMAGE, OSError) as damage:
        if isinstance(damage, OSError) and not _no_fault_of_the_disk(damage):
            raise
        raise error(
            f"{path}: not a readable zip file ({_reason(damage)}); it is truncated or damaged, get it again"
        ) from damage
    with archive:
        _check_listing(path, archive, error, max_total)
        yield archive


def read_member(
    path: Path, archive: zipfile.ZipFile, name: str, error: type[FormatError], max_bytes: int
) -> bytes:
    """The bytes of one member, at most `max_bytes`; its real size must be what the listing states."""
    info = archive.getinfo(name)
    if info.file_size > max_bytes:
        raise error(f"{path}: {name!r} expands to {info.file_size:,} bytes, above the limit of {max_bytes:,}")
    out = bytearray()
    step = 1 << 20 if info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else _READ
    try:
        with archive.open(info) as stream:
            while part := stream.read(step):
                out += part
                if len(out) > info.file_size:
                    raise error(f"{path}: {name!r} is larger than the {info.file_size:,} bytes it states")
    except _DAMAGE as damage:
        raise error(
            f"{path}: {name!r} cannot be unpacked ({_reason(damage)}); the file is damaged"
        ) from damage
    except Exception as damage:
        # LZMAError is known only where Python was built with lzma.
        if type(damage).__name__ != "LZMAError" and not _no_fault_of_the_disk(damage):
            raise
        raise error(
            f"{path}: {name!r} cannot be unpacked ({_reason(damage)}); the file is damaged"
        ) from damage
    if len(out) != info.file_size:
        raise error(f"{path}: {name!r} has {len(out):,} bytes instead of the {info.file_size:,} it states")
    return bytes(out)


def holdable(shape: Sequence[int], itemsize: int) -> bool:
    """True if NumPy can hold such a shape: it refuses huge axes even beside an empty one."""
    return math.prod(max(n, 1) for n in shape) * itemsize < 1 << 60


def file_size(path: Path, error: type[FormatError]) -> int:
    """Bytes of a regular file; `error` if it is missing, a folder, or a device."""
    if not path.exists():
        raise error(f"{path}: no such file; check the path")
    if not path.is_file():
        raise error(f"{path}: expected a file, got a {'folder' if path.is_dir() else 'device'}")
    return path.stat().st_size


def _check_count(path: Path, size: int, error: type[FormatError]) -> None:
    """zipfile makes an object of every listed member, so the count is looked at first."""
    with path.open("rb") as stream:
        stream.seek(max(0, size - _TAIL.size - 0xFFFF))
        tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _TAIL.size:
        raise error(
            f"{path}: not a readable zip file (no directory at its end); "
            "it is truncated or damaged, get it again"
        )
    members = _TAIL.unpack_from(tail, at)[4]
    if members > _MAX_MEMBERS:
        raise error(f"{path}: expected at most {_MAX_MEMBERS:,} members in the zip, got {members:,} or more")


def _check_listing(path: Path, archive: zipfile.ZipFile, error: type[FormatError], max_total: int) -> None:
    seen: set[str] = set()
    total = 0
    if len(archive.infolist()) > _MAX_MEMBERS:
        raise error(f"{path}: expected at most {_MAX_MEMBERS:,} members in the zip, got more")
    for info in archive.infolist():
        name = info.filename
        if name in seen:
            raise error(f"{path}: the zip lists {name!r} twice; such a file is damaged or forged")
        seen.add(name)
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
            raise error(f"{path}: the zip member {name!r} points outside the file; it is forged")
        if info.flag_bits & 0x1:
            raise error(f"{path}: {name!r} is encrypted; decrypt the file first")
        total += info.file_size
        if info.file_size > _SMALL and info.file_size > _MAX_RATIO * max(info.compress_size, 1):
            raise error(
                f"{path}: {name!r} expands from {info.compress_size:,} to {info.file_size:,} bytes, "
                "which no real array does (a zip bomb)"
            )
    if total > max_total:
        raise error(
            f"{path}: its members expand to {total:,} bytes, above the limit of {max_total:,} (a zip bomb?)"
        )


def _no_fault_of_the_disk(error: Exception) -> bool:
    """True for the OSErrors that damaged content causes: a seek before the start, an invalid bzip2 stream."""
    return isinstance(error, OSError) and error.errno in (None, errno.EINVAL)


def _reason(damage: BaseException) -> str:
    text = " ".join(str(damage).split()) or type(damage).__name__
    text = text if len(text) <= 200 else text[:197] + "..."  # zipfile quotes whatever it found
    return text if text.isprintable() else ascii(text)
