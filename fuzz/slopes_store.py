"""The slopes of a campaign: asked of the model where mutators want them, or read from its corpus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from armour.errors import FormatError, InvalidArgument
from armour.events import OnEvent
from armour.npz import read_arrays

from . import slopes as model_slopes
from .manifest import read_manifest
from .mutators import SLOPES, get
from .partners import has_partners
from .roots import Roots
from .selection import select
from .slopes import MOST_BYTES, Slopes

if TYPE_CHECKING:
    from .engine import Fuzzer


def with_slopes(fuzzer: Fuzzer, roots: Roots, batch: int, on_event: OnEvent = None) -> Roots:
    """The roots, with the model's slopes there if a selected mutator needs them and the model has gradients.

    A corpus that is gone on with keeps those it was started with. batch: rows of a call. InvalidArgument if a
    mutator is selected by name that needs what the model cannot give.
    """
    kind, classes = fuzzer.kind, roots.gaps.shape[1]
    small = model_slopes.size(len(roots), roots.x.shape[1:], classes) <= MOST_BYTES
    able = fuzzer.model.can_grad and small and classes > 1
    names = select(fuzzer.config.mutators, roots.x.shape[1:], kind, paired=has_partners(roots), slopes=able)
    if not any(get(name).needs == SLOPES for name in names):
        return roots
    stored = _stored(fuzzer, roots)
    return replace(roots, slopes=stored or model_slopes.fit(fuzzer.model, roots, batch, on_event))


def _stored(fuzzer: Fuzzer, roots: Roots) -> Slopes | None:
    """Those of a corpus that is gone on with, if it is one of this model and these seeds."""
    folder = fuzzer.corpus
    if folder is None or not (folder / "state.npz").is_file():
        return None
    manifest = read_manifest(folder)
    seeds = {"seeds": len(fuzzer.x), "roots": len(roots)}
    recorded = manifest.get("data")
    same = isinstance(recorded, dict) and {name: recorded.get(name) for name in seeds} == seeds
    if not same or manifest["model"]["fingerprint"] != fuzzer.model.fingerprint:
        return None  # which is said once the manifests are compared
    return read_slopes(folder, manifest, roots.x)


def read_slopes(folder: Path, manifest: Mapping[str, Any], seeds: np.ndarray) -> Slopes | None:
    """The slopes of a corpus for its seeds (R, *shape), None if it has none; FormatError if damaged."""
    recorded = manifest.get("slopes")
    if recorded is None:
        return None
    path = folder / "seeds" / "slopes.npz"
    arrays = read_arrays(path, FormatError, max_bytes=MOST_BYTES + (1 << 20))
    try:
        found = Slopes.from_arrays(arrays, seeds)
    except InvalidArgument as error:
        raise FormatError(f"{path}: {error}; the corpus is damaged") from error
    if not isinstance(recorded, Mapping) or recorded.get("sha256") != found.digest:
        raise FormatError(f"{path}: its sha256 is not the one in manifest.json; it was changed")
    return found
