"""manifest.json of a corpus: what it was made with, and whether a run may go on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armour.errors import FormatError, InvalidArgument

from .aids import Aids
from .machine import armour_version, environment
from .mutators import MUTATORS
from .oracles.base import ORACLES
from .plugins import origins
from .roots import Roots

if TYPE_CHECKING:
    from .engine import Fuzzer

FORMAT = 1
KIND = "armour-fuzz-corpus"
_MAX_JSON = 1 << 20


def describe(
    fuzzer: Fuzzer, seed: int, data: str, roots: Roots, mutators: Sequence[str], fingerprint: str
) -> dict[str, Any]:
    """The manifest of a run; data: sha256 of its seeds and labels; fingerprint: the model's.

    inputs: their kind, "image", "array" or "whole", and validator: what that makes the levels ask.
    """
    model = fuzzer.model
    return {
        "kind": KIND,
        "format": FORMAT,
        "armour": armour_version(),
        "model": {
            "name": model.name,
            "fingerprint": fingerprint,
            "input_shape": list(fuzzer.x.shape[1:]),
            "num_classes": int(roots.gaps.shape[1]),
            "bounds": list(model.bounds),
        },
        "data": {"sha256": data, "seeds": len(fuzzer.x), "roots": len(roots)},
        "config": json.loads(json.dumps({**asdict(fuzzer.config), "seed": seed})),  # as it is read back
        "mutators": list(mutators),
        **_plugins(mutators, [one.name for one in fuzzer.config.named]),
        **({} if roots.slopes is None else {"slopes": {"sha256": roots.slopes.digest}}),
        "inputs": fuzzer.kind.name,
        **_aids(fuzzer.kind.aids),
        "validator": fuzzer.kind.validator,
        "others": {name: model.fingerprint for name, model in sorted(fuzzer.others.items())},
        "source": fuzzer.source,
        "environment": environment(),
    }


def _plugins(mutators: Sequence[str], oracles: Sequence[str]) -> dict[str, Any]:
    """Where mutators and oracles come from that are not armour's own, if there are any."""
    found = {"plugins": origins(MUTATORS, mutators), "oracle_plugins": origins(ORACLES, oracles)}
    return {name: rows for name, rows in found.items() if rows}


def _aids(aids: Aids) -> dict[str, Any]:
    """What was stated of the inputs, or inferred, if anything."""
    return {"aids": {"sha256": aids.digest, "files": list(aids.source)}} if aids.digest else {}


def read_manifest(folder: Path) -> dict[str, Any]:
    """manifest.json of a corpus folder; FormatError if there is none or it is of another kind or version."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise FormatError(f"{folder}: expected a corpus folder with a manifest.json; check the path")
    manifest = read_json(path)
    if manifest.get("kind") != KIND or manifest.get("format") != FORMAT:
        raise FormatError(
            f"{path}: expected kind {KIND!r} and format {FORMAT}, got {str(manifest.get('kind'))[:40]!r} and "
            f"{str(manifest.get('format'))[:20]}; another version of armour wrote it"
        )
    model, config = manifest.get("model"), manifest.get("config")
    shape = model.get("input_shape") if isinstance(model, dict) else None
    if (
        not isinstance(model, dict)
        or not isinstance(config, dict)
        or not isinstance(shape, list)
        or not 0 < len(shape) <= 8
        or not all(isinstance(side, int) and 0 < side < 1 << 20 for side in shape)
        or not isinstance(model.get("num_classes"), int)
        or not isinstance(model.get("fingerprint"), str)
    ):
        raise FormatError(f"{path}: expected model and config as armour writes them; the file is damaged")
    return manifest


def read_json(path: Path, most: int = _MAX_JSON) -> dict[str, Any]:
    """A JSON object of at most `most` bytes, 1 MiB; FormatError otherwise."""
    try:
        if path.stat().st_size > most:
            raise FormatError(f"{path}: expected at most {most:,} bytes, got {path.stat().st_size:,}")
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror}; the corpus is not whole") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"{path}: not JSON ({' '.join(str(error).split())[:80]}); the file is damaged"
        ) from error
    if not isinstance(value, dict):
        raise FormatError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def is_empty(folder: Path) -> bool:
    """True if there is no such folder, or nothing in it but files that a killed process left half-written."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(
        p.name.startswith(".") and p.name.endswith(".tmp") for p in folder.iterdir()
    )


def check_same(folder: Path, stored: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """InvalidArgument, naming what differs, unless both manifests are of one model, data and settings."""
    made = stored.get("derived")
    if made is not None:
        by = made.get("by") if isinstance(made, dict) else None
        how = by if by in ("minimize", "merge") else "another command"
        raise InvalidArgument(
            f"{folder} was made by armour corpus {how} and holds no state of a campaign, so it cannot be "
            "resumed; fuzz into another folder, and merge them"
        )
    names = {"model": "another model", "data": "other data", "config": "other settings"}
    names |= {"aids": "another schema or dictionary", "mutators": "other mutators"}
    names |= {"plugins": "other plug-ins", "oracle_plugins": "other plug-ins of oracles"}
    for key, name in {**names, "others": "other models to compare with"}.items():
        if (stored.get(key) or None) != (now.get(key) or None):
            raise InvalidArgument(
                f"{folder} was made with {name}{_difference(stored.get(key), now.get(key))}; "
                "resume it with the same, or name another folder"
            )


def _difference(stored: Any, now: Any) -> str:
    if isinstance(stored, dict) and isinstance(now, dict):
        for name in now:
            if stored.get(name) != now[name]:
                was, is_ = str(stored.get(name))[:40], str(now[name])[:40]
                return f" ({name} {was}, now {is_})"
    return ""
