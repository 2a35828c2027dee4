"""The folder of a comparison: comparison.json, which says what is compared, and one file for each run.

DIR/comparison.json          model, data, settings, executions and seed that all runs share
DIR/runs/niche-0003.json     one run, written whole when it ends
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armour.errors import FormatError, InvalidArgument
from armour.files import writable_folder, write_text

from .comparison import COUNTS, CURVE, Run
from .machine import armour_version, environment
from .manifest import is_empty
from .schedules import SCHEDULES

if TYPE_CHECKING:
    from .engine import Fuzzer

FILE, RUNS = "comparison.json", "runs"
_MOST_BYTES = 1 << 20
_MOST_POINTS = 1024


def begin(fuzzer: Fuzzer, folder: Path, data: str, executions: int, seed: int, resume: bool) -> list[str]:
    """Make the folder, or check that it is of the same comparison; what a reader of the figures should know.

    InvalidArgument if it holds something and resume was not asked for, or another comparison; FormatError if
    it is damaged.
    """
    config = asdict(fuzzer.config)
    del config["schedule"], config["baseline"]
    fixed = {
        "format": 1,
        "kind": "comparison",
        "model": {"name": fuzzer.model.name, "fingerprint": fuzzer.model.fingerprint},
        "data": data,
        "inputs": fuzzer.kind.name,
        "others": {name: model.fingerprint for name, model in sorted(fuzzer.others.items())},
        "aids": fuzzer.kind.aids.digest or "",
        "config": json.loads(json.dumps(config)),
        "executions": executions,
        "seed": seed,
    }
    where = {"armour": armour_version(), "environment": json.loads(json.dumps(environment()))}
    if is_empty(folder):
        writable_folder(folder / RUNS)
        write_text(folder / FILE, json.dumps(fixed | where, indent=1, sort_keys=True) + "\n")
        return []
    if not resume:
        raise InvalidArgument(
            f"expected an empty folder for a new comparison, got {folder}; resume it, or name another folder"
        )
    stored = read(folder / FILE)
    for name, value in fixed.items():
        if stored.get(name) != value:
            raise InvalidArgument(
                f"expected {folder} to be a comparison with the same {name}, got {_short(stored.get(name))} "
                f"instead of {_short(value)}; name another folder"
            )
    writable_folder(folder / RUNS)
    same = {name: stored.get(name) for name in where} == where
    return [] if same else ["some runs were made in another environment (see comparison.json)"]


def keep(folder: Path, run: Run) -> None:
    """Write a run."""
    values = asdict(run) | {"curve": [list(row) for row in run.curve]}
    write_text(folder / RUNS / f"{run.schedule}-{run.repeat:04d}.json", json.dumps(values) + "\n")


def runs(folder: Path, executions: int, seed: int) -> Iterator[Run]:
    """The runs that are there; FormatError for a file that is none of this comparison."""
    for path in sorted((folder / RUNS).glob("*.json")):
        try:
            run = _run(read(path))
            fits = run.seed == seed + run.repeat and run.curve[-1][0] == executions
            if not fits or path.name != f"{run.schedule}-{run.repeat:04d}.json":
                raise ValueError("of another comparison")
        except (KeyError, TypeError, ValueError, IndexError) as error:
            reason = " ".join(str(error).split())[:80]
            raise FormatError(f"{path}: not a run of this comparison ({reason}); remove the file") from error
        yield run


def read(path: Path) -> dict[str, Any]:
    """The object in a file; FormatError if there is none."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise FormatError(f"{path}: expected at most {_MOST_BYTES:,} bytes; remove the file")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path}: cannot be read ({type(error).__name__}); name another folder") from error
    if not isinstance(found, dict):
        raise FormatError(f"{path}: expected a JSON object; name another folder")
    return found


def _run(values: dict[str, Any]) -> Run:
    curve = tuple(tuple(_number(value) for value in row) for row in values["curve"])
    if not 0 < len(curve) <= _MOST_POINTS or any(len(row) != len(CURVE) for row in curve):
        raise ValueError("a curve of another shape")
    if any(later[0] <= earlier[0] for earlier, later in pairwise(curve)):
        raise ValueError("a curve that goes back")
    repeat, seed = values["repeat"], values["seed"]
    if type(repeat) is not int or type(seed) is not int or repeat < 0 or seed < 0:
        raise ValueError("repeat and seed")
    if values["schedule"] not in SCHEDULES.names() or set(values["counts"]) != set(COUNTS):
        raise ValueError("another schedule or other counts")
    return Run(
        schedule=values["schedule"],
        repeat=repeat,
        seed=seed,
        counts={name: _number(values["counts"][name]) for name in COUNTS},
        valid=_number(values["valid"]),
        seconds=_number(values["seconds"]),
        curve=curve,
    )


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"expected a number at or above 0, got {str(value)[:20]!r}")
    return float(value)


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
