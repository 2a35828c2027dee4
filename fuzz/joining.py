"""Joining what merged corpora share: their seeds side by side, and the counts of their sections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from armour.errors import FormatError, InvalidArgument
from armour.npz import read_arrays

from . import derived
from .ledger import sha256
from .reading import Corpus
from .roots import Roots
from .slopes import MOST_BYTES, Slopes
from .store import save_arrays

_PLAIN = {"roots.npz", "roots.jsonl", "validity.npz", "slopes.npz", "aids.npz"}  # files of seeds/


def join_seeds(
    blocks: Sequence[Corpus], corpora: Sequence[Corpus], folder: Path
) -> tuple[list[str], dict[str, Any]]:
    """Write the seeds of all blocks side by side; a note, and what the manifest says of their slopes.

    blocks: the first corpus of each set of seeds.
    """
    if len(blocks) == 1:
        return [], {}
    for corpus in corpora:
        extra = sorted({p.name for p in (corpus.folder / "seeds").iterdir() if p.name[0] != "."} - _PLAIN)
        if extra:
            raise InvalidArgument(
                f"{corpus.folder} is of other seeds than {corpora[0].folder}, and its seeds come "
                f"with {extra[0]}, which cannot be joined; merge corpora of the same seeds"
            )
    roots, groups, shift = [one.roots for one in blocks], [], 0
    for one in roots:
        own = np.zeros(len(one), np.int64) if one.group is None else one.group
        groups.append(own + shift)
        shift += int(own.max()) + 1
    names = ("x", "labels", "source")
    arrays = {name: np.concatenate([getattr(one, name) for one in roots]) for name in names}
    save_arrays(folder / "seeds" / "roots.npz", **arrays, group=np.concatenate(groups))
    x, labels, source = arrays.values()
    rows = zip(x, labels.tolist(), source.tolist(), strict=True)
    lines = [{"root": i, "sha256": sha256(a), "label": y, "index": at} for i, (a, y, at) in enumerate(rows)]
    derived.write_lines(folder / "seeds" / "roots.jsonl", lines)
    facts = {}
    slopes = _slopes(roots)
    if slopes is not None:
        save_arrays(folder / "seeds" / "slopes.npz", **slopes.arrays())
        facts["slopes"] = {"sha256": slopes.digest}
    note = (
        f"{len(roots)} sets of seeds stand side by side; what is in several is counted once in stats; levels "
    )
    return [f"{note}are judged by the density model of {corpora[0].folder}"], facts


def _slopes(roots: Sequence[Roots]) -> Slopes | None:
    """The slopes of all of them, 0 where there are none; None if no set has any."""
    shapes = {(one.slopes.steps.shape[1], one.slopes.features.shape[1]) for one in roots if one.slopes}
    if not shapes:
        return None
    (steps, features), *more = shapes
    if more or sum(len(one) for one in roots) * (steps + 1 + features) * roots[0].x[0].size > MOST_BYTES:
        raise InvalidArgument(
            f"expected slopes of one kind and at most {MOST_BYTES:,} bytes in all; merge fewer corpora"
        )
    found = []
    for one in roots:
        shape = one.x.shape[1:]
        counts = (steps, 1, features)
        empty = (np.zeros((len(one), count, *shape), np.int8) for count in counts)
        found.append(one.slopes or Slopes(*empty))
    return Slopes(
        *(np.concatenate([getattr(one, n) for one in found]) for n in ("steps", "walks", "features"))
    )


def join_counts(corpora: Sequence[Corpus], folder: Path, fingerprint: str) -> list[str]:
    """Sum the section counts of those with the same model and profile as the first."""
    base = corpora[0]
    profile, total = _coverage(base)
    left = []
    for corpus in corpora[1:]:
        own, counts = _coverage(corpus)
        same = own.keys() == profile.keys() and all(np.array_equal(own[k], profile[k]) for k in profile)
        if same and counts.shape == total.shape and fingerprint_of(corpus) == fingerprint_of(base):
            total = total + counts
        else:
            left.append(str(corpus.folder))
    counts = np.minimum(total, 2**32 - 1).astype(np.uint32)
    np.save(folder / "coverage" / "counts.npy", counts, allow_pickle=False)
    notes = []
    if left:
        notes.append(f"section counts of {', '.join(left)} are of another profile and not joined")
    if fingerprint != fingerprint_of(base):
        notes.append("section counts and profile are still those of the model before")
    return notes


def _coverage(corpus: Corpus) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The profile, and the section counts (N, k + 2) as uint64."""
    folder = corpus.folder / "coverage"
    profile = read_arrays(folder / "profile.npz", FormatError)
    try:
        # Mapped, so that a header that promises more than the file holds allocates nothing.
        counts = np.load(folder / "counts.npy", allow_pickle=False, mmap_mode="r")
        if not isinstance(counts, np.ndarray) or counts.dtype != np.uint32 or counts.ndim != 2:
            raise ValueError("another kind of array")
    except (OSError, ValueError, EOFError, TypeError, SyntaxError) as error:
        reason = " ".join(str(error).split())[:80]
        raise FormatError(
            f"{folder / 'counts.npy'}: expected uint32 counts of sections ({reason}); the corpus is damaged"
        ) from error
    return profile, counts.astype(np.uint64)


def fingerprint_of(corpus: Corpus) -> str:
    """Of the model that it was made with."""
    return str(corpus.manifest["model"]["fingerprint"])
