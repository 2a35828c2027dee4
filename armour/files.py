"""Files that are either whole or not there: atomic writes, early checks of output paths, and hashes."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from armour.errors import InvalidArgument


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, sync: bool = True) -> Iterator[BinaryIO]:
    """A binary handle whose content appears under `path` when the block ends, whole, or not at all.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and replace `path` in one
    step. On any error (full disk, Ctrl-C, an exception in the block) the temporary file is removed and an
    older `path` stays as it was. A link is followed; a device or pipe (/dev/stdout) is written directly.
    sync=False leaves the flushing to the system: enough against a killed process, not against a power cut,
    and much faster for thousands of small files.
    Raises OSError naming `path` if it cannot be written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file() and not target.is_dir():
        with target.open("wb") as stream:
            yield stream
        return
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "expected a file to write, got a folder", str(path))
    temporary = target.with_name(f".{target.name[:64]}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            if sync:
                os.fsync(stream.fileno())
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        # A failing write does not say which file it was for.
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise
    if sync:
        _sync_folder(target.parent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 with atomic_write."""
    with atomic_write(path) as stream:
        stream.write(text.encode("utf-8"))


def check_writable(path: str | os.PathLike[str]) -> Path:
    """The path, if a file could be written there now; ask before hours of work.

    Nothing is left behind and an existing file is not touched.
    Raises InvalidArgument if the folder is missing or cannot be written to, or if `path` is a folder.
    """
    given = Path(path)
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise InvalidArgument(f"expected a file to write, got the folder {given}; add a file name")
    if target.exists() and not target.is_file():
        return given
    if not target.parent.is_dir():
        raise InvalidArgument(f"cannot write {given}: there is no folder {target.parent}; create it first")
    _probe(target.parent, given)
    return given


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """The folder, made with its parents if it was not there, and found to be writable.

    Raises InvalidArgument if it cannot be made or written to, or if `path` is a file.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InvalidArgument(
            f"expected a folder to write to, got the file {folder}; name another folder"
        ) from None
    except OSError as error:
        raise InvalidArgument(
            f"cannot make the folder {folder}: {error.strerror}; name another folder"
        ) from error
    _probe(folder, folder)
    return folder


def sha256_file(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's content, in hexadecimal. Raises OSError if it cannot be read."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _probe(folder: Path, wanted: Path) -> None:
    # Permission bits do not tell of read-only mounts and full disks, so try it with a byte.
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
            probe.flush()
    except OSError as error:
        raise InvalidArgument(
            f"cannot write {wanted}: {error.strerror} in {folder}; choose another place"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut, where the system lets folders be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
