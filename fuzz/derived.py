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

from .manifest import is_empty, read_json
from .partners import Partners
from .preview import strip
from .reading import Corpus
from .recipe import Recipe, rebuild
from .store import SHARD, norm, save_arrays, write_json

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


def copy_failure(
    corpus: Corpus,
    record: Mapping[str, Any],
    folder: Path,
    moved: Mapping[str, Any] | None = None,
    start: int = 0,
) -> None:
    """The folder of a stored failure, checked.

    moved: its record there, if that is another; start: where the seeds of its corpus begin there.
    """
    failure = corpus.failure(record)  # FormatError unless all of it is sound
    there = moved or record
    source = corpus.folder / "failures" / record["class"] / record["id"]
    target = folder / "failures" / there["class"] / there["id"]
    target.mkdir(parents=True)
    for name in _FILES:
        copy_file(source / name, target / name, needed=name in _FILES[:3])
    if moved is not None:
        small = Recipe.parse(failure.minimised_recipe)
        recipe = str(Recipe(small.root + start, small.steps))
        write_json(target / "recipe.json", {"recipe": moved["recipe"], "minimised": recipe})
        write_json(target / "meta.json", {**read_json(source / "meta.json"), **moved, "minimised": recipe})


def make_failure(corpus: Corpus, record: Mapping[str, Any], folder: Path, moved: Mapping[str, Any]) -> None:
    """A folder for a failure that has none, rebuilt from its recipe and not minimised.

    moved: its record there.
    """
    root = record["root"]
    x, ref = rebuild(
        Recipe.parse(record["recipe"]),
        corpus.roots.x[root],
        corpus.bounds,
        kind=corpus.kind,
        partners=Partners(corpus.roots, np.array([root])),
    )
    target = folder / "failures" / moved["class"] / moved["id"]
    target.mkdir(parents=True)
    for name, array in (("input", x), ("ref", ref), ("min", x)):
        np.save(target / f"{name}.npy", array, allow_pickle=False)
    write_json(target / "recipe.json", {"recipe": moved["recipe"], "minimised": moved["recipe"]})
    l2 = norm(x - ref)
    facts = {
        "minimised": moved["recipe"],
        "minimised_operations": len(Recipe.parse(moved["recipe"]).steps),
        "l2": l2,
        "minimised_l2": l2,
        "replay": f"armour corpus replay . --case {moved['id']}",
    }
    write_json(target / "meta.json", {**moved, **facts})
    low, high = corpus.bounds
    (target / "preview.png").write_bytes(strip(corpus.roots.x[root], x, x, (low, high)))


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
    source = dict(source) if isinstance(source, dict) else {}
    name = source.get("model")
    if isinstance(name, str):
        source |= located(name if is_url(name) else str(corpus.folder.resolve().parent / name), out)
    return {**corpus.manifest, "source": source, "derived": {"by": by, **facts}}


def located(model: str | None, out: Path) -> dict[str, str]:
    """How a manifest names a model: a URL as it is, a path as seen from the folder that holds `out`."""
    if model is None:
        return {}
    return {"model": model if is_url(model) else os.path.relpath(model, out.resolve().parent)}


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """manifest.json."""
    write_json(folder / "manifest.json", manifest)
