"""A corpus on disk: what is written while a campaign runs, and how a run that was killed is taken up again.

Only `state.npz` counts: it is replaced in one step and says how long each growing file was at that moment.
Taking up a corpus cuts those files back to that length and removes what came later; the rounds that are run
again then write the same bytes. Wall-clock figures stand in stats.json and plot.csv alone.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from armour.bounds import Bounds
from armour.errors import FormatError
from armour.files import atomic_write, writable_folder
from armour.npz import read_arrays, write_arrays

from .kinds import IMAGE, Kind
from .ledger import sha256
from .minimize import Case
from .preview import strip
from .roots import Roots
from .rounds import LEVELS, Found, Round, Survivor
from .sections import Profile
from .validity import ValidityModel

SHARD = 1024  # survivors in one file
_SHARD_VALUES = 1 << 24  # and values in it, at most
GROWING = ("corpus/index.jsonl", "failures/index.jsonl", "journal.jsonl")
_PLOT = (
    "executions,seconds,failures,distinct,classes,roots,valid,coverage,baseline_distinct,baseline_classes,"
    "valid_share,residual"
)


class Store:
    """Writes one corpus folder. folder: made if it is not there; kind: of the inputs; coverage: criteria."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        bounds: tuple[float, float],
        kind: Kind = IMAGE,
        coverage: Sequence[str] = (),
    ) -> None:
        self.folder = writable_folder(folder)
        self.bounds = bounds
        self.kind = kind
        self.columns = ",".join([_PLOT, *(f"coverage_{name}" for name in coverage)]) + "\n"
        self.shard = SHARD
        self._open: dict[str, IO[bytes]] = {}
        self._shard: list[np.ndarray] = []
        self._shards = 0

    # -- starting --------------------------------------------------------------------------------------------

    def begin(
        self, manifest: Mapping[str, Any], roots: Roots, profile: Profile, validity: ValidityModel
    ) -> None:
        """Write what does not change, the manifest first; whatever an earlier start left is removed."""
        self._clean()
        self.shard = _shard(roots)
        for name in ("seeds", "corpus", "failures", "coverage"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in ("journal.jsonl", "plot.csv", "stats.json", "state.npz"):
            (self.folder / name).unlink(missing_ok=True)
        write_json(self.folder / "manifest.json", manifest)
        for name in ("seeds", "corpus", "failures", "coverage"):
            (self.folder / name).mkdir()
        save_arrays(self.folder / "seeds" / "roots.npz", x=roots.x, labels=roots.labels, source=roots.source)
        if self.kind.aids.arrays():
            save_arrays(self.folder / "seeds" / "aids.npz", **self.kind.aids.arrays())
        if roots.slopes is not None:
            save_arrays(self.folder / "seeds" / "slopes.npz", **roots.slopes.arrays())
        save_arrays(self.folder / "seeds" / "validity.npz", **validity.arrays())
        rows = zip(roots.x, roots.labels.tolist(), roots.source.tolist(), strict=True)
        lines = [
            _line({"root": i, "sha256": sha256(x), "label": label, "index": index})
            for i, (x, label, index) in enumerate(rows)
        ]
        with atomic_write(self.folder / "seeds" / "roots.jsonl") as stream:
            stream.write(b"".join(lines))
        save_arrays(self.folder / "coverage" / "profile.npz", low=profile.low, high=profile.high)
        for name in GROWING:
            self._open[name] = (self.folder / name).open("wb")
        self._open["plot.csv"] = (self.folder / "plot.csv").open("wb")
        self._open["plot.csv"].write(self.columns.encode())

    def resume(
        self, lengths: Mapping[str, int], survivors: int, executions: int, roots: Roots
    ) -> dict[tuple[int | None, int], str]:
        """Cut everything back to the stored state; of the rounds that the journal has beyond, (island, round)
        -> state.

        lengths: bytes of the growing files; survivors, executions: how many there were. FormatError if a file
        is shorter than that or a shard is missing.
        """
        self._clean()
        self.shard = _shard(roots)
        for name in GROWING:
            path, length = self.folder / name, int(lengths[name])
            if not path.is_file() or path.stat().st_size < length:
                raise FormatError(
                    f"{path}: expected at least {length:,} bytes, as state.npz says; the corpus is damaged, "
                    "start a new one"
                )
        beyond = self._beyond(int(lengths["journal.jsonl"]))
        for name in GROWING:
            stream = (self.folder / name).open("r+b")
            stream.truncate(int(lengths[name]))
            stream.seek(0, os.SEEK_END)
            self._open[name] = stream
        self._resume_plot(executions)
        self._remove_later_failures()
        self._shards = survivors // self.shard
        rest = survivors % self.shard
        for path in (self.folder / "corpus").glob("*.npz"):
            if int(path.stem) > self._shards or (int(path.stem) == self._shards and not rest):
                path.unlink()
        if rest:
            path = self.folder / "corpus" / f"{self._shards:05d}.npz"
            held = read_arrays(path, FormatError, only=("x",)).get("x", np.zeros(0))
            if len(held) < rest:
                raise FormatError(
                    f"{path}: expected at least {rest} inputs, as state.npz says, got {len(held)}; the "
                    "corpus is damaged, start a new one"
                )
            self._shard = list(held[:rest])
        return beyond

    # -- growing ---------------------------------------------------------------------------------------------

    def add(self, one: Round, roots: Roots) -> None:
        """Write what a round brought."""
        for survivor in one.survivors:
            self._survivor(survivor, one.number)
        for found in one.found:
            self._failure(found, one.number, roots)
        record = {
            "round": one.number,
            "executions": one.executions,
            "picks": one.picks,
            "accepted": [s.number for s in one.survivors],
            "failures": [f.digest[:12] for f in one.found],
            "state": one.state,
            **({} if one.island is None else {"island": one.island}),
        }
        self._open["journal.jsonl"].write(_line(record))

    def plot(self, row: Sequence[float | str]) -> None:
        """Add a row to the growth curve."""
        self._open["plot.csv"].write((",".join(map(str, row)) + "\n").encode())

    def snapshot(
        self, arrays: Mapping[str, np.ndarray], counts: np.ndarray, stats: Mapping[str, Any]
    ) -> None:
        """Make all that was written durable, then replace the state in one step."""
        if self._shard:
            save_arrays(self.folder / "corpus" / f"{self._shards:05d}.npz", x=np.stack(self._shard))
        lengths = {}
        for name, stream in self._open.items():
            stream.flush()
            os.fsync(stream.fileno())
            # The plot holds wall-clock times: its length is no part of a state that two runs must share.
            if name in GROWING:
                lengths[name] = stream.tell()
        with atomic_write(self.folder / "coverage" / "counts.npy") as stream:
            np.save(stream, counts, allow_pickle=False)
        write_json(self.folder / "stats.json", stats)
        text = json.dumps(lengths, sort_keys=True).encode()
        save_arrays(self.folder / "state.npz", lengths=np.frombuffer(text, np.uint8), **arrays)

    def close(self) -> None:
        """Close the growing files."""
        for stream in self._open.values():
            with suppress(OSError):
                stream.close()
        self._open = {}

    # -- inside ----------------------------------------------------------------------------------------------

    def _survivor(self, one: Survivor, number: int) -> None:
        record = {
            "id": one.number,
            "shard": f"{self._shards:05d}",
            "root": one.recipe.root,
            "recipe": str(one.recipe),
            "depth": len(one.recipe.steps),
            "margin": one.margin,
            "niche": one.niche,
            "gain": one.gain,
            "sig64": f"{one.signature:016x}",
            "validity": LEVELS[one.level + 1],
            "round": number,
        }
        self._open["corpus/index.jsonl"].write(_line(record))
        self._shard.append(one.x)
        if len(self._shard) == self.shard:
            save_arrays(self.folder / "corpus" / f"{self._shards:05d}.npz", x=np.stack(self._shard))
            self._shard, self._shards = [], self._shards + 1

    def _failure(self, one: Found, number: int, roots: Roots) -> None:
        record = failure_record(one, number, int(roots.source[one.case.recipe.root]))
        if one.first:
            self._folder(one, record, roots.x[one.case.recipe.root])
        self._open["failures/index.jsonl"].write(_line(record))

    def _folder(self, one: Found, record: Mapping[str, Any], root: np.ndarray) -> None:
        """A failure's folder, made under another name and moved into place whole."""
        final = self.folder / "failures" / one.key / one.digest[:12]
        building = self.folder / "failures" / f".building-{one.digest[:12]}"
        building.mkdir()
        small = one.minimised or one.case
        for name, array in (
            ("input", one.case.x),
            ("ref", one.case.ref),
            ("min", small.x),
        ):
            np.save(building / f"{name}.npy", array, allow_pickle=False)
        recipes = {"recipe": str(one.case.recipe), "minimised": str(small.recipe)}
        (building / "recipe.json").write_text(_text(recipes), encoding="utf-8")
        meta = {
            **record,
            "minimised": str(small.recipe),
            "minimised_operations": len(small.recipe.steps),
            "l2": norm(one.case.x - one.case.ref),
            "minimised_l2": norm(small.x - small.ref),
            "replay": f"armour corpus replay . --case {one.digest[:12]}",
            **self._measures(small),
        }
        (building / "meta.json").write_text(_text(meta), encoding="utf-8")
        (building / "preview.png").write_bytes(strip(root, one.case.x, small.x, self.bounds))
        final.parent.mkdir(exist_ok=True)
        if final.exists():
            shutil.rmtree(final)
        os.replace(building, final)

    def _measures(self, small: Case) -> dict[str, Any]:
        """What the minimised input was judged by, where that is not what it is for images."""
        kind = self.kind
        if kind.name == IMAGE.name:
            return {}
        x, ref = small.x[None], small.ref[None]
        likeness = float(kind.likeness_to(x, ref, Bounds(*self.bounds))[0])
        return {
            "inputs": kind.name,
            "minimised_changed": _number(float(kind.share(x, ref)[0])),
            "minimised_likeness": _number(likeness),
            "likeness": kind.compared,
        }

    def _clean(self) -> None:
        """Remove what a killed process was in the middle of writing."""
        for path in self.folder.rglob(".*.tmp"):
            path.unlink(missing_ok=True)
        for path in self.folder.glob("failures/.building-*"):
            shutil.rmtree(path, ignore_errors=True)

    def _beyond(self, length: int) -> dict[tuple[int | None, int], str]:
        with (self.folder / "journal.jsonl").open("rb") as stream:
            stream.seek(length)
            lines = stream.read().split(b"\n")[:-1]
        beyond: dict[tuple[int | None, int], str] = {}
        for line in lines:
            # The last line may be cut off by the kill.
            with suppress(ValueError, KeyError, TypeError):
                record = json.loads(line)
                beyond[record.get("island"), int(record["round"])] = str(record["state"])
        return beyond

    def _resume_plot(self, executions: int) -> None:
        """Keep the rows up to the stored state; their lengths vary with the wall clock, so they are read."""
        path = self.folder / "plot.csv"
        lines = path.read_bytes().split(b"\n")[1:-1] if path.is_file() else []
        kept = [
            line for line in lines if line.split(b",")[0].isdigit() and int(line.split(b",")[0]) <= executions
        ]
        with atomic_write(path) as stream:
            stream.write(b"\n".join([self.columns.strip().encode(), *kept, b""]))
        self._open["plot.csv"] = path.open("ab")

    def _remove_later_failures(self) -> None:
        stream = self._open["failures/index.jsonl"]
        stream.seek(0)
        try:
            records = [json.loads(line) for line in stream.read().splitlines()]
            known = {(record["class"], record["id"]) for record in records if record["first"]}
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(
                f"{self.folder / 'failures/index.jsonl'}: a line is no record of a failure ({error}); the "
                "corpus is damaged, start a new one"
            ) from error
        stream.seek(0, os.SEEK_END)
        for path in (self.folder / "failures").glob("*/*"):
            if path.is_dir() and not path.is_symlink() and (path.parent.name, path.name) not in known:
                shutil.rmtree(path)
        for path in (self.folder / "failures").iterdir():
            if path.is_dir() and not path.is_symlink():
                with suppress(OSError):
                    path.rmdir()


def _shard(roots: Roots) -> int:
    """Survivors in one file: fewer of large inputs, since they are held in memory until it is full."""
    return max(1, min(SHARD, _SHARD_VALUES // int(roots.x[0].size)))


def failure_record(one: Found, number: int, source: int) -> dict[str, Any]:
    """A failure as a line of failures/index.jsonl and the head of meta.json."""
    case = one.case
    return {
        "id": one.digest[:12],
        "sha256": one.digest,
        "oracle": case.oracle,
        "severity": one.severity,
        "true": case.label,
        "predicted": case.predicted,
        "root": case.recipe.root,
        "source": source,
        "recipe": str(case.recipe),
        "validity": LEVELS[case.level + 1],
        "pair": one.pair,
        "class": one.key,
        "variant": one.variant,
        "families": list(case.recipe.families),
        "confidence": _number(one.confidence),
        "margin": _number(one.margin),
        "execution": one.execution,
        "round": number,
        "first": one.first,
        **({"trouble": one.trouble} if one.trouble else {}),
    }


def norm(x: np.ndarray) -> float:
    """The Euclidean norm, to six digits."""
    return float(f"{np.sqrt(np.square(x.astype(np.float64)).sum()):.6g}")


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """An .npz written in one step; the same arrays give the same bytes."""
    with atomic_write(path) as stream:
        write_arrays(stream, arrays)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """A JSON file written in one step."""
    with atomic_write(path) as stream:
        stream.write(_text(value).encode())


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _line(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, allow_nan=False, separators=(",", ":")) + "\n").encode()


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None
