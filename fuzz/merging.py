"""Merging corpora: what several campaigns found in one, each failing input once.

Corpora of the same model are joined without running it. What another model failed on is rebuilt and judged
by the one model of the result; what that reads correctly is counted and left where it is.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.events import OnEvent, emit
from armour.model import Model

from . import derived
from .holdings import level_of, read_survivors, rebuild_all, recipe_of, required
from .joining import fingerprint_of, join_counts, join_seeds
from .ledger import class_key, pair_key, sha256
from .manifest import is_empty, read_json, read_manifest
from .oracles.base import ORACLES
from .reading import Corpus
from .recipe import Recipe
from .replay import replay
from .roots import Roots
from .store import write_json


@dataclass(slots=True, kw_only=True)
class Part:
    """What one corpus brought: failing inputs it has, those new to the result, and classes with them.

    kept, new_kept: kept inputs, likewise. judged: whether its failures were judged again, as it was made with
    another model; gone: those that do not fail on this one, or whose seed it misreads. below: those that do
    not reach the level that the result asks for. unknown: those that cannot be rebuilt from their recipe.
    """

    folder: str
    failures: int = 0
    new: int = 0
    classes: int = 0
    kept: int = 0
    new_kept: int = 0
    judged: bool = False
    gone: int = 0
    below: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A merged corpus: its folder and counts, what each part brought, and notes on what was not joined."""

    folder: Path
    survivors: int
    failures: int
    classes: int
    parts: tuple[Part, ...]
    notes: tuple[str, ...]


def needs_model(corpora: Sequence[Corpus]) -> bool:
    """Whether they were made with different models, so that one of them has to judge."""
    return len({corpus.manifest["model"]["fingerprint"] for corpus in corpora}) > 1


def occupied(out: Path) -> bool:
    """Whether `out` is a corpus that can be merged into; InvalidArgument for any other folder with content.

    A corpus that a campaign may go on with is not merged into, since it could not be resumed any more.
    """
    if is_empty(out):
        return False
    if read_manifest(out).get("derived") is None:
        raise InvalidArgument(
            f"{out} holds the state of a campaign, which merging would end; name a new folder: "
            f"armour corpus merge {out}-merged {out} ..."
        )
    return True


@dataclass(slots=True)
class _Result:
    """What is being put together. blocks: (first number, seeds) of each group of seeds."""

    corpora: Sequence[Corpus]
    folder: Path
    model: Model | None
    source: str | None
    blocks: list[tuple[int, Corpus]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    survivors: list[dict[str, Any]] = field(default_factory=list)
    x: list[np.ndarray] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)

    def offset(self, corpus: Corpus) -> int:
        """Where the seeds of this corpus begin; a new group unless one before has the same."""
        for start, other in self.blocks:
            if _same_seeds(corpus.roots, other.roots):
                return start
        self.blocks.append((sum(len(other.roots) for _, other in self.blocks), corpus))
        return self.blocks[-1][0]


def _same_seeds(a: Roots, b: Roots) -> bool:
    """Whether recipes of one rebuild the same from the other."""
    pairs = [(a.x, b.x), (a.labels, b.labels), (a.pools, b.pools)]
    digests = [None if one.slopes is None else one.slopes.digest for one in (a, b)]
    return digests[0] == digests[1] and all(x.shape == y.shape and np.array_equal(x, y) for x, y in pairs)


def merge(
    corpora: Sequence[Corpus],
    out: Path,
    model: Model | None = None,
    on_event: OnEvent = None,
    *,
    source: str | None = None,
) -> Merged:
    """Merge corpora, the first of which gives bounds, levels and density model, into `out`, in one step.

    out: a new folder, or a merged or minimised corpus, which then should be the first of the corpora and is
    replaced. model: what the result is of; None if all were made with the same. source: the file or
    URL of such a model. Failing inputs are told apart
    by their sha256, classes (D2) by their key. Raises InvalidArgument for corpora that cannot be joined,
    FormatError for a damaged one; nothing is changed then.
    """
    base = corpora[0]
    fingerprint = base.manifest["model"]["fingerprint"] if model is None else model.fingerprint
    if model is None and needs_model(corpora):
        raise InvalidArgument("expected a model to judge by, since the corpora were made with different ones")
    for corpus in corpora[1:]:
        _check_alike(base, corpus)
    replaced = occupied(out)
    target = out.absolute()
    place = target.with_name(f".{target.name[:64]}.{secrets.token_hex(6)}.merged") if replaced else target
    with derived.new_folder(place) as folder:
        result = _Result(corpora, folder, model, source)
        (folder / "failures").mkdir()
        parts = []
        for number, corpus in enumerate(corpora):
            emit(on_event, "merge", number, len(corpora), corpus.folder.name)
            parts.append(_take(result, corpus, fingerprint, required(base)))
        notes = _finish(result, fingerprint, target)
        emit(on_event, "merge", len(corpora), len(corpora), f"{len(result.failures)} failures")
    if replaced:
        old = target.with_name(f".{target.name[:64]}.{secrets.token_hex(6)}.before")
        os.replace(target, old)
        os.replace(place, target)
        shutil.rmtree(old)
    return Merged(
        folder=out,
        survivors=len(result.survivors),
        failures=len(result.failures),
        classes=len(result.classes),
        parts=tuple(parts),
        notes=tuple(notes),
    )


def _check_alike(base: Corpus, other: Corpus) -> None:
    """InvalidArgument, naming what differs, unless both are of inputs of one kind."""
    for name in ("input_shape", "num_classes", "bounds"):
        a, b = base.manifest["model"].get(name), other.manifest["model"].get(name)
        if a != b:
            raise InvalidArgument(
                f"expected corpora of one kind of inputs, got {name} {str(a)[:40]} in {base.folder} and "
                f"{str(b)[:40]} in {other.folder}; merge those that agree"
            )
    for name in ("inputs", "aids", "plugins", "oracle_plugins"):
        if base.manifest.get(name) != other.manifest.get(name):
            raise InvalidArgument(
                f"expected corpora of the same {name.replace('_', ' ')}, got others in {base.folder} and "
                f"{other.folder}; merge those that agree"
            )
    a, b = base.manifest["config"], other.manifest["config"]
    for name in ("oracles", "against", "relations"):
        if a.get(name, []) != b.get(name, []):
            raise InvalidArgument(
                f"expected corpora of the same {name}, got others in {base.folder} and {other.folder}; merge "
                "those that agree"
            )


def _take(result: _Result, corpus: Corpus, fingerprint: str, least: int) -> Part:
    """Add what is new in a corpus."""
    start = result.offset(corpus)
    other = corpus.manifest["model"]["fingerprint"] != fingerprint
    part = Part(folder=str(corpus.folder), judged=other)
    kept, records = read_survivors(corpus), corpus.records()
    right = np.ones(len(corpus.roots), bool)
    judged: dict[str, Any] = {}
    keep = np.ones(len(kept), bool)
    if other and result.model is not None:
        right = result.model.predict(corpus.roots.x) == corpus.roots.labels
        judged = {one.id: one for one in replay(corpus, result.model)} if records else {}
        root = np.array([one["root"] for one in kept.records], np.int64)
        if len(kept):
            keep = right[root] & (result.model.predict(kept.x) == corpus.roots.labels[root])
    part.kept, part.failures = len(kept), len(records)
    for x, record, good in zip(kept.x, kept.records, keep.tolist(), strict=True):
        digest = sha256(x)
        if good and digest not in result.known:
            result.known.add(digest)
            number = len(result.survivors)
            moved = _moved(corpus, record, start, "corpus/index.jsonl")
            result.survivors.append({**moved, "id": number})
            result.x.append(x)
            part.new_kept += 1
    for record in records:
        sound, now = bool(right[record["root"]]), judged.get(record["id"])
        _take_failure(result, corpus, record, now, start, least, sound, part)
    return part


def _take_failure(
    result: _Result,
    corpus: Corpus,
    record: dict[str, Any],
    now: Any,
    start: int,
    least: int,
    right: bool,
    part: Part,
) -> None:
    made = record  # as its corpus has it
    if now is not None:
        if not now.rebuilt:
            part.unknown += 1
            return
        if not now.fails or not right:
            part.gone += 1
            return
        record = {**record, "validity": now.validity}
        if not now.same or (record["first"] and not now.minimised):
            # Its minimised input fails otherwise here, or not at all, so the whole recipe gives the class.
            pair = pair_key(record["oracle"], record["true"], now.now)
            key = class_key(pair, recipe_of(corpus, record).families)
            record = {**record, "predicted": now.now, "pair": pair, "class": key, "first": False}
    if level_of(corpus, record) < least and _needs_validity(record["oracle"]):
        part.below += 1
        return
    if record["sha256"] in result.known:
        return
    result.known.add(record["sha256"])
    moved = _moved(corpus, record, start, "failures/index.jsonl")
    moved["first"] = record["class"] not in result.classes
    if moved["first"] and record["first"]:
        derived.copy_failure(corpus, made, result.folder, moved, start)
    elif moved["first"]:  # the one with a folder is not here, or another failure on this model
        derived.make_failure(corpus, made, result.folder, moved)
    result.classes.add(record["class"])
    result.failures.append(moved)
    part.new += 1
    part.classes += moved["first"]


def _needs_validity(oracle: str) -> bool:
    rows = [row for name, row in ORACLES.items() if oracle == name or oracle.startswith(f"{name}-")]
    return all(row.needs_validity for row in rows)


def _moved(corpus: Corpus, record: dict[str, Any], start: int, where: str) -> dict[str, Any]:
    """A record with its seed's number in the result."""
    recipe = recipe_of(corpus, record, where)
    root = recipe.root + start
    return {**record, "root": root, "recipe": str(Recipe(root, recipe.steps))}


def _finish(result: _Result, fingerprint: str, out: Path) -> list[str]:
    """Seeds, kept inputs, coverage, stats and manifest; notes on what was not joined."""
    base, folder = result.corpora[0], result.folder
    derived.write_lines(folder / "failures" / "index.jsonl", result.failures)
    derived.write_survivors(folder, result.x, result.survivors)
    derived.copy_seeds(base, folder)
    notes, facts = join_seeds([other for _, other in result.blocks], result.corpora, folder)
    notes += join_counts(result.corpora, folder, fingerprint)
    # A corpus and what was minimised from it are of one campaign, whose executions count once.
    stats = {_campaign(corpus): _stats(corpus) for corpus in reversed(result.corpora)}
    figures = {name: sum(int(one.get(name, 0)) for one in stats.values()) for name in ("executions", "valid")}
    coverage = _stats(base).get("coverage", {})
    write_json(
        folder / "stats.json", {"seconds": 0.0, "guided": {**figures, "coverage": coverage}, "baseline": None}
    )
    made = [
        {"folder": one.folder.name, "data": one.manifest["data"], "model": fingerprint_of(one)}
        for one in result.corpora
    ]
    manifest = derived.derived_manifest(base, out, "merge", merged=made)
    manifest["data"] = {**manifest["data"], "roots": sum(len(other.roots) for _, other in result.blocks)}
    if fingerprint != base.manifest["model"]["fingerprint"] and result.model is not None:
        manifest["model"] = {**manifest["model"], "name": result.model.name, "fingerprint": fingerprint}
        manifest["source"] = {**manifest["source"], **derived.located(result.source, out)}
    derived.write_manifest(folder, manifest | facts)
    return notes + _check(Corpus.read(folder))


def _campaign(corpus: Corpus) -> str:
    parts = [corpus.manifest.get(name) for name in ("model", "data", "config")]
    return json.dumps(parts, sort_keys=True)


def _stats(corpus: Corpus) -> dict[str, Any]:
    path = corpus.folder / "stats.json"
    guided = read_json(path).get("guided") if path.is_file() else None
    return guided if isinstance(guided, dict) else {}


def _check(corpus: Corpus) -> list[str]:
    """Read the result back; a note on failing inputs that are not what their recipes give here."""
    read_survivors(corpus)
    corpus.failures()
    records = corpus.records()
    x = rebuild_all(corpus, [recipe_of(corpus, record) for record in records])
    wrong = [record["id"] for one, record in zip(x, records, strict=True) if sha256(one) != record["sha256"]]
    if not wrong:
        return []
    return [
        f"{len(wrong)} failing inputs are not what their recipes give here ({wrong[0]}); another version of "
        "armour or another machine made them"
    ]
