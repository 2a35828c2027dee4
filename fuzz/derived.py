"""Writing a corpus that was made from others: by minimising one, or by merging several.

Such a corpus is read, replayed and minimised like any other. It holds no state of a campaign, so that it
cannot be resumed; its manifest says so under "derived".
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from armour.errors import FormatError, InvalidArgument
from armour.files import writable_folder
from armour.remote import is_url

from .manifest import is_empty
from .reading import Corpus
from .store import SHARD, save_arrays, write_json

_MAX_FILE = 64 << 20
_FILES = ("input.npy", "ref.npy", "min.npy", "recipe.json", "meta.json", "preview.png")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out` when the block ends, whole, or is removed on any error.

    Raises InvalidArgument if `out` is there and not empty.
    """
    if not is_empty(out):
        raise InvalidArgument(f"expected a new folder for the result, got {out}, which is not empty")
    parent = writable_folder(out.absolute().parent)
    building = parent / f".{out.name[:64]}.{secrets.token_hex(6)}.building"
    building.mkdir()
    try:
        yield building
        if out.is_dir():
            shutil.rmtree(out)
        os.replace(building, out)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def write_survivors(
    folder: Path, x: Sequence[np.ndarray] | np.ndarray, records: Sequence[Mapping[str, Any]]
) -> None:
    """corpus/ of a new corpus: shards of x (n, *shape) and the lines of its index."""
    (folder / "corpus").mkdir()
    lines = []
    for at in range(0, len(records), SHARD):
        name = f"{at // SHARD:05d}"
        save_arrays(folder / "corpus" / f"{name}.npz", x=np.stack(list(x[at : at + SHARD])))
        lines += [{**record, "shard": name} for record in records[at : at + SHARD]]
    write_lines(folder / "corpus" / "index.jsonl", lines)


def write_lines(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """A .jsonl file of these objects."""
    text = "".join(json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n" for record in records)
    path.write_text(text, encoding="utf-8")


def copy_failure(corpus: Corpus, record: Mapping[str, Any], folder: Path, key: str | None = None) -> None:
    """The folder of a stored failure, checked; key: its class there, if that is another."""
    corpus.failure(record)  # FormatError unless all of it is sound
    source = corpus.folder / "failures" / record["class"] / record["id"]
    target = folder / "failures" / (key or record["class"]) / record["id"]
    target.mkdir(parents=True)
    for name in _FILES:
        copy_file(source / name, target / name, needed=name != "preview.png")


def copy_file(source: Path, target: Path, *, needed: bool = True) -> None:
    """A plain file, by its content; FormatError for a link, a huge one, or a needed one that is not there."""
    if source.is_symlink() or (source.exists() and not source.is_file()):
        raise FormatError(f"{source}: expected a plain file; the corpus is not to be trusted")
    if not source.is_file():
        if needed:
            raise FormatError(f"{source}: there is no such file; the corpus is not whole")
        return
    if source.stat().st_size > _MAX_FILE:
        raise FormatError(f"{source}: expected at most {_MAX_FILE:,} bytes, got {source.stat().st_size:,}")
    shutil.copyfile(source, target)


def copy_seeds(corpus: Corpus, folder: Path) -> None:
    """seeds/ and the profile, as they are."""
    for name in ("seeds", "coverage"):
        (folder / name).mkdir()
        source = corpus.folder / name
        for path in sorted(source.iterdir()) if source.is_dir() else []:
            if not path.name.startswith("."):
                copy_large(path, folder / name / path.name)


def copy_large(source: Path, target: Path) -> None:
    """A plain file of any size; it was read and checked, or will be when it is used."""
    if source.is_symlink() or not source.is_file():
        raise FormatError(f"{source}: expected a plain file; the corpus is not to be trusted")
    shutil.copyfile(source, target)


def derived_manifest(corpus: Corpus, out: Path, by: str, **facts: Any) -> dict[str, Any]:
    """The manifest of a corpus made from this one by the command `armour corpus BY`, to lie at `out`."""
    source = corpus.manifest.get("source", {})
    model = source.get("model") if isinstance(source, dict) else None
    if isinstance(model, str) and not is_url(model):  # as seen from the folder that holds the corpus
        place = corpus.folder.resolve().parent / model
        source = {**source, "model": os.path.relpath(place, out.resolve().parent)}
    return {**corpus.manifest, "source": source, "derived": {"by": by, **facts}}


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """manifest.json."""
    write_json(folder / "manifest.json", manifest)
