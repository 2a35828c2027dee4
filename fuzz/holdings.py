"""What a corpus holds besides its seeds: the inputs that were kept, and the failing ones by their recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from armour.errors import FormatError, InvalidArgument
from armour.npz import read_arrays

from .partners import Partners
from .reading import Corpus, read_lines
from .recipe import Recipe, apply_steps
from .rounds import LEVELS

_REBUILT = 256  # inputs at once
_MAX_SHARD = 1 << 30  # bytes of one
_KINDS: dict[str, Any] = {
    **dict.fromkeys(("shard", "recipe", "sig64", "validity"), str),
    **dict.fromkeys(("id", "root", "round", "gain"), int),
    "niche": bool,
}


@dataclass(frozen=True, slots=True)
class Survivors:
    """Kept inputs x (n, *shape) and their lines of corpus/index.jsonl.

    missing: lines whose shard a killed process had not written yet; they are left out.
    """

    x: np.ndarray
    records: list[dict[str, Any]]
    missing: int = 0

    def __len__(self) -> int:
        return len(self.records)


def read_survivors(corpus: Corpus) -> Survivors:
    """The kept inputs in their order; FormatError for anything that is none."""
    path = corpus.folder / "corpus" / "index.jsonl"
    places: dict[str, int] = {}
    records, rows, shards = [], [], {}
    missing = 0
    for number, record in read_lines(path):
        _check(corpus, record, f"{path}, line {number}")
        name = record["shard"]
        row = places.setdefault(name, 0)
        places[name] += 1
        if name not in shards:
            shards[name] = _shard(corpus, name)
        if row >= len(shards[name]):
            missing += 1
            continue
        records.append(record)
        rows.append(shards[name][row])
    shape = corpus.roots.x.shape[1:]
    x = np.stack(rows) if rows else np.zeros((0, *shape), np.float32)
    return Survivors(x, records, missing)


def rebuild_all(corpus: Corpus, recipes: Sequence[Recipe]) -> np.ndarray:
    """Inputs (n, *shape) of recipes, from the corpus' seeds."""
    x = np.zeros((len(recipes), *corpus.roots.x.shape[1:]), np.float32)
    for at in range(0, len(recipes), _REBUILT):
        part = recipes[at : at + _REBUILT]
        root = np.array([recipe.root for recipe in part], np.int64)
        origin, partners = corpus.roots.x[root], Partners(corpus.roots, root)
        steps = [recipe.steps for recipe in part]
        x[at : at + len(part)] = apply_steps(
            origin, origin, steps, corpus.bounds, kind=corpus.kind, partners=partners
        )[0]
    return x


def recipe_of(corpus: Corpus, record: dict[str, Any], where: str = "failures/index.jsonl") -> Recipe:
    """The recipe of a checked record; FormatError if it is none or of another seed."""
    try:
        recipe = Recipe.parse(record["recipe"])
    except InvalidArgument as error:
        raise FormatError(f"{corpus.folder / where}: {record['id']}: {error}") from error
    if recipe.root != record["root"]:
        raise FormatError(f"{corpus.folder / where}: {record['id']} contradicts itself; it is damaged")
    return recipe


def level_of(corpus: Corpus, record: dict[str, Any]) -> int:
    """The validity level of a record as a number, -1 to 2; FormatError for another text."""
    if record["validity"] not in LEVELS:
        raise FormatError(f"{corpus.folder}: {record['id']}: expected validity {', '.join(LEVELS)}")
    return LEVELS.index(record["validity"]) - 1


def required(corpus: Corpus) -> int:
    """The level that the corpus' campaign asked of a failure, -1 to 2."""
    level = corpus.manifest["config"].get("validity")
    if level not in LEVELS:
        raise FormatError(f"{corpus.folder / 'manifest.json'}: expected validity as {', '.join(LEVELS)}")
    return LEVELS.index(level) - 1


def _check(corpus: Corpus, record: dict[str, Any], where: str) -> None:
    for name, kind in _KINDS.items():
        value = record.get(name)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise FormatError(f"{where}: expected {name} to be {kind.__name__}")
    name = record["shard"]
    if not name.isdecimal() or not name.isascii() or len(name) > 9:
        raise FormatError(f"{where}: expected the number of a shard, got {name[:40]!r}")
    if not 0 <= record["root"] < len(corpus.roots):
        raise FormatError(f"{where}: expected one of {len(corpus.roots)} roots, got {record['root']}")


def _shard(corpus: Corpus, name: str) -> np.ndarray:
    path = corpus.folder / "corpus" / f"{name}.npz"
    shape = corpus.roots.x.shape[1:]
    if not path.is_file():
        return np.zeros((0, *shape), np.float32)
    x = read_arrays(path, FormatError, max_bytes=_MAX_SHARD, only=("x",)).get("x")
    if x is None or x.dtype != np.float32 or x.shape[1:] != shape or not np.isfinite(x).all():
        raise FormatError(f"{path}: expected finite float32 inputs x of shape {shape}; the corpus is damaged")
    return x
