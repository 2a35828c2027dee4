"""Reading a corpus folder, which may come from a stranger: sizes, types and shapes are checked, nothing is
unpickled.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from armour.bounds import Bounds
from armour.errors import ArmourError, FormatError, InvalidArgument
from armour.npz import read_arrays

from .aids import NOTHING, Aids
from .kinds import IMAGE, KINDS, Kind
from .ledger import sha256
from .manifest import read_json, read_manifest
from .oracles.base import SEVERITIES
from .partners import Partners
from .recipe import Recipe, rebuild
from .result import Failure
from .roots import Roots
from .slopes_store import read_slopes

_MAX_LINE = 1 << 20  # bytes of one line of a .jsonl file
_MAX_ARRAY = 64 << 20  # bytes of one .npy file
_MAX_ROOTS = 4 << 30


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus as read.

    folder, manifest; roots: x (R, *shape) with labels and source (R,); aids: what was stated of the inputs.
    """

    folder: Path
    manifest: dict[str, Any]
    roots: Roots
    aids: Aids = NOTHING

    @classmethod
    def read(cls, folder: Path) -> Corpus:
        """The manifest and the seeds; FormatError for anything that is not what a corpus holds."""
        manifest = read_manifest(folder)
        path = folder / "seeds" / "roots.npz"
        arrays = read_arrays(path, FormatError, max_bytes=_MAX_ROOTS)
        x, labels, source = (arrays.get(name) for name in ("x", "labels", "source"))
        shape = tuple(manifest["model"]["input_shape"])
        if x is None or labels is None or source is None:
            raise FormatError(f"{path}: expected the arrays x, labels and source, got {sorted(arrays)}")
        good = x.dtype == np.float32 and x.shape[1:] == shape and len(x) > 0 and bool(np.isfinite(x).all())
        good = good and all(a.dtype == np.int64 and a.shape == (len(x),) for a in (labels, source))
        classes = int(manifest["model"]["num_classes"])
        if not good or labels.min() < 0 or labels.max() >= classes:
            raise FormatError(
                f"{path}: expected finite float32 seeds (n, {', '.join(map(str, shape))}) with labels in "
                f"0..{classes - 1}, got x {x.shape} {x.dtype}, labels {labels.shape} {labels.dtype}"
            )
        group = arrays.get("group")
        if group is not None and (
            group.dtype != np.int64
            or group.shape != labels.shape
            or not 0 <= group.min() <= group.max() < len(x)
        ):
            raise FormatError(f"{path}: expected group as a number below {len(x)} for each seed")
        slopes = read_slopes(folder, manifest, x)
        gaps = np.zeros((len(x), classes), np.int64)
        roots = Roots(x, labels, source, gaps, slopes, group=group)
        return cls(folder, manifest, roots, read_aids(folder, manifest))

    @property
    def same_seed(self) -> np.ndarray:
        """(R,) int64: the first seed that equals each; groups of a merged corpus may share some."""
        first: dict[str, int] = {}
        keys = (f"{label}|{sha256(x)}" for x, label in zip(self.roots.x, self.roots.labels, strict=True))
        return np.array([first.setdefault(key, i) for i, key in enumerate(keys)], np.int64)

    @property
    def bounds(self) -> Bounds:
        """The model's bounds."""
        return Bounds.of(self.manifest["model"]["bounds"])

    @property
    def kind(self) -> Kind:
        """The kind of its inputs; corpora of older versions are all of images."""
        name = self.manifest.get("inputs", IMAGE.name)
        if name not in KINDS:
            raise FormatError(
                f"{self.folder / 'manifest.json'}: inputs {str(name)[:40]!r} are none that are known"
            )
        kind = KINDS.get(name)
        return kind if self.aids is NOTHING else replace(kind, aids=self.aids)

    def records(self) -> list[dict[str, Any]]:
        """The lines of failures/index.jsonl, each checked."""
        path = self.folder / "failures" / "index.jsonl"
        return [self._record(path, number, record) for number, record in read_lines(path)]

    def failures(self) -> list[Failure]:
        """The stored failures, one of each class, in the order they were found."""
        kept = [record for record in self.records() if record["first"]]
        return [self.failure(record) for record in sorted(kept, key=lambda r: r["execution"])]

    def failure(self, record: Mapping[str, Any]) -> Failure:
        """The stored failure of a record of failures/index.jsonl."""
        folder = self.folder / "failures" / record["class"] / record["id"]
        root = record["root"]
        meta = read_json(folder / "meta.json")
        shape = self.roots.x.shape[1:]
        arrays = {name: read_image(folder / f"{name}.npy", shape) for name in ("input", "ref", "min")}
        if sha256(arrays["input"]) != record["sha256"]:
            raise FormatError(
                f"{folder / 'input.npy'}: its sha256 is not the one in failures/index.jsonl; it was changed"
            )
        try:
            minimised = Recipe.parse(meta["minimised"])
        except (KeyError, ArmourError) as error:
            raise FormatError(f"{folder / 'meta.json'}: no recipe under 'minimised' ({error})") from error
        return Failure(
            id=record["id"],
            oracle=record["oracle"],
            true=record["true"],
            predicted=record["predicted"],
            root=record["root"],
            source=record["source"],
            recipe=record["recipe"],
            minimised_recipe=str(minimised),
            validity=record["validity"],
            pair=record["pair"],
            key=record["class"],
            families=minimised.families,
            confidence=_float(record["confidence"]),
            margin=_float(record["margin"]),
            execution=record["execution"],
            root_image=self.roots.x[record["root"]],
            reference=arrays["ref"],
            mutant=arrays["input"],
            minimised=arrays["min"],
            minimised_reference=self._rebuilt(minimised, root),
            replay=f"armour corpus replay {self.folder} --case {record['id']}",
            severity=str(record.get("severity", "medium")),
            trouble=str(record.get("trouble", "")),
        )

    def _rebuilt(self, recipe: Recipe, root: int) -> np.ndarray:
        """The reference of a recipe of that root."""
        partners = Partners(self.roots, np.array([root]))
        return np.asarray(
            rebuild(recipe, self.roots.x[root], self.bounds, kind=self.kind, partners=partners)[1]
        )

    def _record(self, path: Path, number: int, record: dict[str, Any]) -> dict[str, Any]:
        kinds: dict[str, Any] = {name: str for name in ("id", "sha256", "oracle", "recipe", "validity")}
        kinds |= {"pair": str, "class": str, "first": bool}
        record.setdefault("variant", 0)  # older corpora have none
        kinds |= {name: int for name in ("variant", "true", "predicted", "root", "source", "execution")}
        for name, kind in kinds.items():
            if not isinstance(record.get(name), kind) or (kind is int and isinstance(record[name], bool)):
                raise FormatError(f"{path}, line {number}: expected {name} to be {kind.__name__}")
        plain = all(
            part.replace("-", "").replace("+", "").isalnum() for part in (record["id"], record["class"])
        )
        severe = record.get("severity", "medium") in SEVERITIES
        if not severe or not isinstance(record.get("trouble", ""), str):
            raise FormatError(f"{path}, line {number}: expected a severity of {', '.join(SEVERITIES)}")
        if not plain or not 0 <= record["root"] < len(self.roots):
            raise FormatError(f"{path}, line {number}: id, class or root is none that this corpus can have")
        return record


def read_aids(folder: Path, manifest: Mapping[str, Any]) -> Aids:
    """What was stated of the inputs of a corpus; FormatError for anything else."""
    recorded = manifest.get("aids")
    if recorded is None:
        return NOTHING
    path = folder / "seeds" / "aids.npz"
    arrays = read_arrays(path, FormatError, max_bytes=_MAX_ARRAY)
    try:
        found = Aids.from_arrays(arrays, tuple(manifest["model"]["input_shape"]))
    except InvalidArgument as error:
        raise FormatError(f"{path}: {error}; the corpus is damaged") from error
    if not isinstance(recorded, dict) or recorded.get("sha256") != found.digest:
        raise FormatError(f"{path}: its sha256 is not the one in manifest.json; it was changed")
    files = recorded.get("files")
    return replace(found, source=tuple(map(str, files)) if isinstance(files, list) else ())


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of a .jsonl file; a last line without its end is left out."""
    try:
        with path.open("rb") as stream:
            for number in itertools.count(1):
                line = stream.readline(_MAX_LINE)
                if not line.endswith(b"\n"):
                    if len(line) == _MAX_LINE:
                        raise FormatError(f"{path}, line {number}: expected at most {_MAX_LINE:,} bytes")
                    return
                yield number, _object(path, number, line)
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror}; the corpus is not whole") from error


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}, line {number}: not JSON; the file is damaged") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path}, line {number}: expected an object, got {type(value).__name__}")
    return value


def read_image(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A float32 array of that shape from an .npy file without pickle; FormatError otherwise."""
    try:
        if path.stat().st_size > _MAX_ARRAY:
            raise FormatError(f"{path}: expected at most {_MAX_ARRAY:,} bytes, got {path.stat().st_size:,}")
        # Mapped, so that a header that promises more than the file holds allocates nothing.
        array = np.load(path, allow_pickle=False, mmap_mode="r")
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror or error}; the corpus is not whole") from error
    except (ValueError, TypeError, EOFError, SyntaxError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise FormatError(f"{path}: expected a plain .npy array of numbers ({reason})") from error
    if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.shape != tuple(shape):
        raise FormatError(
            f"{path}: expected float32 of shape {tuple(shape)}, got another kind of file or shape"
        )
    return np.array(array)


def _float(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")
