"""One fuzzing run: the guided campaign and its baseline in lock-step, and the corpus they write."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from armour.errors import ArmourError, FormatError, InvalidArgument
from armour.events import OnEvent, emit
from armour.npz import read_arrays

from .beside import Beside, InTurn, beside
from .campaign import Campaign, Setup
from .machine import armour_version, environment
from .manifest import check_same, describe, is_empty, read_manifest
from .mutators import MUTATORS
from .oracles.base import ORACLES
from .plugins import check_loaded
from .reading import Corpus
from .result import Failure, FuzzResult
from .roots import digest
from .rounds import Round
from .setup import prepare
from .special import probe
from .store import Store

if TYPE_CHECKING:
    from .engine import Fuzzer

log = logging.getLogger(__name__)

SNAPSHOT_SECONDS = 5.0  # between states on disk; what is lost by a kill, and nothing else depends on it
SNAPSHOT_SHARE = 0.05  # of the time may go into writing states


class Lockstep:
    """One call of Fuzzer.run."""

    def __init__(self, fuzzer: Fuzzer, seed: int, resume: bool, on_event: OnEvent) -> None:
        self.fuzzer, self.config, self.seed, self.on_event = fuzzer, fuzzer.config, seed, on_event
        self.data = digest(fuzzer.x, fuzzer.y)
        setup = prepare(fuzzer, seed, on_event)
        self.executor, self.roots = setup.executor, setup.roots
        try:
            self.special = probe(fuzzer.model, self.roots.x[0])
            self._begin(setup, resume)
        except BaseException:
            self.executor.close()
            raise

    def _begin(self, setup: Setup, resume: bool) -> None:
        self.guided = Campaign(setup, self.config.schedule, stream=0, shrink=True)
        self.random = Campaign(setup, "random", stream=1, shrink=False) if self.config.baseline else None
        self.baseline: Beside | None = None
        self.failures: list[Failure] = []
        self.notes: list[str] = []
        self.before = 0.0
        self.other: list[float] = []
        self.expected: dict[int, str] = {}
        # The state after the last whole round, kept for a model that may stop answering in the middle of one.
        self.kept: dict[str, np.ndarray] | None = None
        self.fingerprint = self.executor.fingerprint()
        corpus = self.fuzzer.corpus
        self.store = None if corpus is None else self._open(corpus, setup, resume)

    # -- the loop --------------------------------------------------------------------------------------------

    def go(self, budget: int | None, limit: float | None, stop: threading.Event, jobs: int) -> FuzzResult:
        if self.random is not None:
            self.baseline = beside(self.random, self.fuzzer.model, jobs)
        start = saved = time.monotonic()
        first, pause = self.guided.counters.executions, SNAPSHOT_SECONDS
        try:
            self._keep()
            while not stop.is_set():
                now = time.monotonic()
                left = None if budget is None else budget - self.guided.counters.executions
                if (left is not None and left <= 0) or (limit is not None and now - start >= limit):
                    break
                if self.baseline is not None:
                    self.baseline.start(left)
                one = self.guided.round(left)
                if self.baseline is not None:
                    self.other = self.baseline.finish()
                self._note(one, self.before + time.monotonic() - start)
                self._keep()
                if self.store is not None and time.monotonic() - saved >= pause:
                    now = time.monotonic()
                    self._snapshot(self.before + now - start)
                    saved = time.monotonic()
                    pause = max(SNAPSHOT_SECONDS, (saved - now) / SNAPSHOT_SHARE)
                self._report(budget, limit, first, time.monotonic() - start)
            total = self.before + time.monotonic() - start
            if self.store is not None:
                self._snapshot(total)
            return self._result(total, stop.is_set())
        except (ArmourError, KeyboardInterrupt) as error:
            if self.kept is not None:
                error.partial = self._broken_off(self.kept, self.before + time.monotonic() - start)  # type: ignore[union-attr]
            raise
        finally:
            if self.store is not None:
                self.store.close()
            if self.baseline is not None:
                self.baseline.close()
            self.executor.close()

    def _note(self, one: Round, seconds: float) -> None:
        expected = self.expected.pop(one.number, None)
        if expected is not None and expected != one.state:
            self.expected.clear()
            self.notes.append(
                f"round {one.number} gave another result than before the interruption: another environment"
            )
            log.warning("%s", self.notes[-1])
        folder = self.fuzzer.corpus
        for found in one.found:
            if found.first:
                replay = "" if folder is None else f"armour corpus replay {folder} --case {found.digest[:12]}"
                self.failures.append(found.failure(self.roots, replay))
        if self.store is not None:
            self.store.add(one, self._plot(seconds), self.roots)

    def _keep(self) -> None:
        if self.fuzzer.model.remote:
            self.kept = {name: array.copy() for name, array in self._arrays().items()}

    def _broken_off(self, kept: dict[str, np.ndarray], seconds: float) -> FuzzResult:
        """Go back to the last whole round, save it, and say what there was: as if Ctrl-C had come then."""
        self.guided.restore(_part(kept, "guided."))
        if self.random is not None:
            self.random.restore(_part(kept, "baseline."))
        if self.store is not None:
            self._snapshot(seconds)
        return self._result(seconds, interrupted=True)

    def _plot(self, seconds: float) -> list[float | str]:
        executions, failures, distinct, classes, roots, valid, coverage, *criteria = self.guided.curve[-1]
        row: list[float | str] = [
            int(executions),
            round(seconds, 3),
            int(failures),
            int(distinct),
            int(classes),
        ]
        row += [int(roots), int(valid), round(coverage, 6)]
        row += [int(self.other[2]), int(self.other[3])] if self.other else ["", ""]
        return row + [round(value, 6) for value in criteria]

    def _report(self, budget: int | None, limit: float | None, first: int, seconds: float) -> None:
        done = self.guided.counters.executions
        speed = (done - first) / max(seconds, 1e-9)
        ledger = self.guided.ledger
        by_time = budget is None and limit is not None
        emit(
            self.on_event,
            "fuzz",
            min(int(seconds), int(limit)) if by_time and limit is not None else done,
            int(limit) if by_time and limit is not None else budget,
            f"{speed:,.0f}/s",
            failures=len(ledger.inputs),
            classes=len(ledger.classes),
            valid=100 * self.guided.valid / done,
            **({"baseline": self.other[3]} if self.other else {}),
        )

    # -- the corpus ------------------------------------------------------------------------------------------

    def _open(self, folder: Path, setup: Setup, resume: bool) -> Store:
        manifest = describe(
            self.fuzzer, self.seed, self.data, self.roots, self.guided.mutators, self.fingerprint
        )
        fresh = is_empty(folder)
        if not fresh and not resume:
            raise InvalidArgument(
                f"expected an empty folder for a new corpus, got {folder}; resume it, or name another folder"
            )
        if not fresh:
            stored = read_manifest(folder)
            check_loaded(MUTATORS, stored.get("plugins"), str(folder))
            check_loaded(ORACLES, stored.get("oracle_plugins"), str(folder))
            check_same(folder, stored, manifest)
        low, high = self.fuzzer.model.bounds
        store = Store(folder, (low, high), self.fuzzer.kind, self.config.coverage)
        try:
            if fresh or not (folder / "state.npz").is_file():
                store.begin(manifest, self.roots, setup.profile, setup.validity)
            else:
                self._restore(folder, store)
        except BaseException:
            store.close()
            raise
        return store

    def _restore(self, folder: Path, store: Store) -> None:
        path = folder / "state.npz"
        arrays = read_arrays(path, FormatError)
        try:
            lengths = json.loads(arrays["lengths"].tobytes())
            self.guided.restore(_part(arrays, "guided."))
            if self.random is not None:
                self.random.restore(_part(arrays, "baseline."))
            counters = self.guided.counters
            self.expected = store.resume(lengths, counters.survivors, counters.executions, self.roots)
        except FormatError:
            raise
        except (ArmourError, KeyError, ValueError, TypeError, IndexError) as error:
            reason = " ".join(str(error).split())[:100]
            raise FormatError(
                f"{path}: not a state of this campaign ({reason}); start a new corpus"
            ) from error
        self.failures = Corpus.read(folder).failures()
        self.before = _seconds(folder / "stats.json")
        manifest = read_manifest(folder)
        if (manifest.get("environment"), manifest.get("armour")) != (environment(), armour_version()):
            self.notes.append(
                "resumed in another environment than the corpus was started in (see manifest.json)"
            )

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {f"guided.{name}": array for name, array in self.guided.arrays().items()}
        if self.baseline is not None:
            arrays |= {f"baseline.{name}": array for name, array in self.baseline.arrays().items()}
        return arrays

    def _snapshot(self, seconds: float) -> None:
        if self.store is not None:
            self.store.snapshot(self._arrays(), self.guided.coverage.counts, self._stats(seconds))

    def _stats(self, seconds: float) -> dict[str, Any]:
        def figures(campaign: Campaign | Beside) -> dict[str, Any]:
            values = asdict(campaign.result(0.0))
            for name in ("curve", "class_counts", "pair_counts", "seconds"):
                del values[name]
            return values

        return {
            "seconds": round(seconds, 3),
            "executions_per_second": round(self.guided.counters.executions / max(seconds, 1e-9), 1),
            "guided": figures(self.guided),
            "baseline": None if self.baseline is None else figures(self.baseline),
        }

    def _result(self, seconds: float, interrupted: bool) -> FuzzResult:
        # In turn, each campaign had half of the time; in a process of its own, all of it.
        share = seconds / 2 if isinstance(self.baseline, InTurn) else seconds
        guided = self.guided.result(share)
        return FuzzResult(
            failures=tuple(self.failures),
            executions=guided.executions,
            classes=guided.classes,
            seconds=seconds,
            guided=guided,
            baseline=None if self.baseline is None else self.baseline.result(share),
            validity=self.config.validity,
            validator=self.fuzzer.kind.validator,
            seeds=len(self.fuzzer.x),
            roots=len(self.roots),
            skipped=len(self.fuzzer.x) - len(self.roots),
            seed=self.seed,
            corpus=self.fuzzer.corpus,
            data_sha256=self.data,
            fingerprint=self.fingerprint,
            inputs=self.fuzzer.kind.name,
            mutators=tuple(self.guided.mutators),
            oracles=self.guided.panel.names,
            interrupted=interrupted,
            notes=tuple(self.notes),
            special=self.special,
        )


def _seconds(path: Path) -> float:
    try:
        return max(0.0, float(json.loads(path.read_text(encoding="utf-8"))["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def _part(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
