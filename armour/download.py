"""Fetch a published file once: size and sha256 known in advance, progress told, nothing half-written."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from armour.errors import DataError
from armour.events import OnEvent, emit
from armour.files import atomic_write

_TIMEOUT = 20.0  # seconds without an answer
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A file at its public homes: name, bytes, sha256 and the folders (URLs ending in "/") that hold it."""

    name: str
    size: int
    sha256: str
    homes: tuple[str, ...]


def cache_folder() -> Path:
    """Where downloads go: ARMOUR_DATA if set, else armour/ in the user's cache folder."""
    if named := os.environ.get("ARMOUR_DATA"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "armour"


def fetch(files: Sequence[Published], folder: Path, on_event: OnEvent = None) -> list[Path]:
    """Paths of the files in `folder`, downloaded if not there yet; DataError if one cannot be had."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for wanted in files:
        path = folder / wanted.name
        if not path.is_file():
            _from_any_home(wanted, path, on_event)
        paths.append(path)
    return paths


def _from_any_home(wanted: Published, path: Path, on_event: OnEvent) -> None:
    failures = []
    for home in wanted.homes:
        try:
            _download(home + wanted.name, wanted, path, on_event)
            return
        except (OSError, http.client.HTTPException, DataError) as error:
            # URLError and HTTPError are OSErrors; a full disk or an unwritable folder names its file.
            if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
                raise
            failures.append(" ".join(str(error).split()))
    raise DataError(f"{wanted.name} could not be downloaded ({'; '.join(dict.fromkeys(failures))})")


def _download(url: str, wanted: Published, path: Path, on_event: OnEvent) -> None:
    digest, done = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, atomic_write(path) as out:
        while part := answer.read(_CHUNK):
            done += len(part)
            if done > wanted.size:
                break
            digest.update(part)
            out.write(part)
            emit(on_event, "download", done, wanted.size, wanted.name)
        if done != wanted.size or digest.hexdigest() != wanted.sha256:
            raise DataError(f"{url} is not the published file (its size or sha256 differs)")
