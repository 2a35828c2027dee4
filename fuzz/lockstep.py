"""One fuzzing run: the guided islands and their baselines in lock-step, and the corpus they write."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from armour.errors import ArmourError, FormatError, InvalidArgument
from armour.events import Event, OnEvent
from armour.npz import read_arrays, under

from .campaign import Setup
from .islands import Islands, meet
from .isolation import IsolatedExecutor
from .machine import armour_version, environment
from .manifest import check_same, describe, is_empty, read_manifest
from .mutators import MUTATORS
from .oracles.base import ORACLES
from .plugins import check_loaded
from .pool import Pool
from .reading import Corpus
from .result import Failure, FuzzResult
from .roots import digest
from .rounds import Round
from .setup import prepare
from .special import probe
from .status import Monitor, Stability, Status, stamp
from .stop import Standing, StopRules
from .store import Store

if TYPE_CHECKING:
    from .engine import Fuzzer

log = logging.getLogger(__name__)

SNAPSHOT_SECONDS = 5.0  # between states on disk; what is lost by a kill, and nothing else depends on it
SNAPSHOT_SHARE = 0.05  # of the time may go into writing states
_AHEAD = 1.0  # seconds of rounds that processes are given at a time


class Lockstep:
    """One call of Fuzzer.run."""

    def __init__(self, fuzzer: Fuzzer, seed: int, resume: bool, on_event: OnEvent) -> None:
        self.fuzzer, self.config, self.seed, self.on_event = fuzzer, fuzzer.config, seed, on_event
        self.data = digest(fuzzer.x, fuzzer.y)
        setup = prepare(fuzzer, seed, on_event)
        self.executor, self.roots = setup.executor, setup.roots
        try:
            apart = isinstance(self.executor, IsolatedExecutor)
            self.special = probe(fuzzer.model, self.roots.x[0], apart=apart)
            self._begin(setup, resume)
        except BaseException:
            self.executor.close()
            raise

    def _begin(self, setup: Setup, resume: bool) -> None:
        fuzzer = self.fuzzer
        count = self.config.islands
        self.guided = Islands(setup, self.config.schedule, count, stream=0, shrink=True, place=0)
        self.groups, self.baseline = [self.guided], None
        if self.config.baseline:
            self.baseline = Islands(setup, "random", count, stream=1, shrink=False, place=count)
            self.groups.append(self.baseline)
        self.pool = Pool([], fuzzer.model, 1)
        self.rules = StopRules()
        self.stopped: str | None = None
        self.pace = 0.0  # seconds of a step
        self.newest = (0.0, 0.0)  # executions when the newest class was found, and how many there were then
        self.failures: list[Failure] = []
        self.notes: list[str] = []
        self.before = 0.0
        self.monitor = Monitor(0.0)
        self.stability = Stability(setup.executor, self.roots.x[: setup.executor.batch])
        self.ended: str | None = None
        self.expected: dict[tuple[int | None, int], str] = {}
        # The state after the last whole round, kept for a model that may stop answering in the middle of one.
        self.kept: dict[str, np.ndarray] | None = None
        self.fingerprint = self.executor.fingerprint()
        corpus = self.fuzzer.corpus
        self.store = None if corpus is None else self._open(corpus, setup, resume)

    # -- the loop --------------------------------------------------------------------------------------------

    def go(self, rules: StopRules, stop: threading.Event, jobs: int) -> FuzzResult:
        self.rules = rules
        self.pool = Pool([one for group in self.groups for one in group.campaigns], self.fuzzer.model, jobs)
        self.monitor = Monitor(self.before)
        saved, pause = self.monitor.elapsed, SNAPSHOT_SECONDS
        try:
            self.monitor.begin(self.standing())
            self._look_again()
            self._keep()
            while not stop.is_set():
                at = self.guided.at_barrier
                self.stopped = rules.reached(self.standing(), self.monitor.elapsed, judged=at)
                if self.stopped is not None:
                    break
                self._advance()
                self._keep()
                if self.monitor.elapsed - saved >= pause:
                    began = self.monitor.elapsed
                    self._look_again()
                    self._snapshot()
                    saved = self.monitor.elapsed
                    pause = max(SNAPSHOT_SECONDS, (saved - began) / SNAPSHOT_SHARE)
                self._report()
            self._look_again()
            return self._end(interrupted=stop.is_set())
        except (ArmourError, KeyboardInterrupt) as error:
            if self.kept is not None:
                error.partial = self._broken_off(self.kept)  # type: ignore[union-attr]
            raise
        finally:
            if self.store is not None:
                self.store.close()
            self.pool.close()
            self.executor.close()

    def _look_again(self) -> None:
        """See whether the model still gives what it gave; a remote one would charge for it."""
        if not self.fuzzer.model.remote:
            self.stability.check()

    def _end(self, *, interrupted: bool) -> FuzzResult:
        """The state saved for the last time, and what came of the run."""
        self.ended = self.rules.said(None if interrupted else self.stopped, self.standing())
        seconds = self.before + self.monitor.elapsed
        self._snapshot()
        return self._result(seconds, interrupted)

    def _advance(self) -> None:
        """Some steps: a round of each island and of its baseline, and a barrier if they come to one."""
        began = self.monitor.elapsed
        steps = self._ahead()
        left = None if self.rules.budget is None else self.rules.budget - self.guided.executions
        limits = [own for group in self.groups for own in group.sizes(steps, left)]
        briefs = self.pool.rounds(limits)
        for step in range(max(map(len, limits))):
            for group in self.groups:
                for number, place in enumerate(group.places):
                    if step < len(briefs[place]):
                        one = group.absorb(number, briefs[place][step])
                        if group is self.guided:
                            self._note(one)
                group.close_step()
            now = self.standing()
            self.monitor.step(now, 0 if self.baseline is None else int(self.baseline.row[3]))
            if self.store is not None:
                self.store.plot(self._plot(now))
        self.pace = (self.monitor.elapsed - began) / max(map(len, limits))
        meet(self.groups, self.pool)

    def _ahead(self) -> int:
        """Steps to make before looking up: not beyond the next barrier, and about a second at most."""
        if self.guided.alone or not self.pool.workers:
            return 1
        leg = self.guided.leg - self.guided.steps % self.guided.leg
        return max(1, min(leg, int(_AHEAD / self.pace))) if self.pace else 1

    def standing(self) -> Standing:
        """The counts that stop rules are judged by."""
        whole, guided = self.guided.whole, self.guided
        if whole.curve and whole.curve[-1][3] != self.newest[1]:
            self.newest = next((row[0], row[3]) for row in whole.curve if row[3] == whole.curve[-1][3])
        return Standing(
            executions=guided.executions,
            valid=whole.valid,
            failures=len(whole.ledger.inputs),
            classes=len(whole.ledger.classes),
            once=sum(count == 1 for count in whole.ledger.classes.values()),
            latest=int(self.newest[0]) if self.newest[1] else 0,
        )

    def _note(self, one: Round) -> None:
        expected = self.expected.pop((one.island, one.number), None)
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
            self.store.add(one, self.roots)

    def _keep(self) -> None:
        if self.fuzzer.model.remote:
            self.kept = {name: array.copy() for name, array in self._arrays().items()}

    def _broken_off(self, kept: dict[str, np.ndarray]) -> FuzzResult:
        """Go back to the last whole round, save it, and say what there was: as if Ctrl-C had come then."""
        self.guided.restore(under(kept, "guided."))
        if self.baseline is not None:
            self.baseline.restore(under(kept, "baseline."))
        return self._end(interrupted=True)

    def _plot(self, now: Standing) -> list[float | str]:
        executions, failures, distinct, classes, roots, valid, coverage, *criteria = self.guided.row
        row: list[float | str] = [
            int(executions),
            round(self.before + self.monitor.elapsed, 3),
            int(failures),
            int(distinct),
            int(classes),
        ]
        row += [int(roots), int(valid), round(coverage, 6)]
        other = self.baseline
        row += [int(other.row[2]), int(other.row[3])] if other is not None and other.row else ["", ""]
        row += [round(now.valid / max(now.executions, 1), 6), float(f"{now.residual:.6g}")]
        return row + [round(value, 9) for value in criteria]

    def _status(self) -> Status:
        return self.monitor.status(
            self.standing(),
            self.rules,
            self.guided.row,
            roots=len(self.roots),
            stability=self.stability.share,
            baseline=None if self.baseline is None else self.baseline.row,
        )

    def _report(self) -> None:
        if self.on_event is None:
            return
        now, limit, budget = self.standing(), self.rules.seconds, self.rules.budget
        status, seconds = self._status(), self.monitor.elapsed
        by_time = budget is None and limit is not None
        values = {"failures": now.failures, "classes": now.classes, "valid": 100 * status.valid_share}
        if self.baseline is not None:
            values["baseline"] = self.baseline.row[3]
        event = Event(
            "fuzz",
            min(int(seconds), int(limit)) if by_time and limit is not None else now.executions,
            int(limit) if by_time and limit is not None else budget,
            f"{status.executions_per_second:,.0f}/s",
            values,
            status.values(),
        )
        self.on_event(event)

    # -- the corpus ------------------------------------------------------------------------------------------

    def _open(self, folder: Path, setup: Setup, resume: bool) -> Store:
        manifest = describe(
            self.fuzzer, self.seed, self.data, self.roots, self.guided.whole.mutators, self.fingerprint
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
            self.guided.restore(under(arrays, "guided."))
            if self.baseline is not None:
                self.baseline.restore(under(arrays, "baseline."))
            counters = self.guided.whole.counters
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
        states = self.pool.arrays()
        arrays = {f"guided.{name}": array for name, array in self.guided.arrays(states).items()}
        if self.baseline is not None:
            arrays |= {f"baseline.{name}": array for name, array in self.baseline.arrays(states).items()}
        return arrays

    def _snapshot(self) -> None:
        """Save the state; without a corpus, only for processes that die."""
        if self.store is not None:
            self.store.snapshot(self._arrays(), self.guided.whole.coverage.counts, self._stats())
        elif self.pool.workers:
            self.pool.arrays()

    def _stats(self) -> dict[str, Any]:
        def figures(group: Islands) -> dict[str, Any]:
            values = asdict(group.result(self.pool, 0.0))
            for name in ("curve", "class_counts", "pair_counts", "seconds"):
                del values[name]
            return values

        return {
            **stamp(
                self._status(), ended=self.ended, islands=self.config.islands, jobs=1 + len(self.pool.workers)
            ),
            "guided": figures(self.guided),
            "baseline": None if self.baseline is None else figures(self.baseline),
        }

    def _unsteady(self) -> list[str]:
        share = self.stability.share
        if share is None or share == 1:
            return []
        return [
            f"the model gives other results for the same inputs ({100 * (1 - share):.3g} % of a batch): "
            "failures may not replay, and the same seed may give another corpus"
        ]

    def _result(self, seconds: float, interrupted: bool) -> FuzzResult:
        # In turn, each campaign had half of the time; in a process of its own, all of it.
        share = seconds if self.baseline is None or self.pool.workers else seconds / 2
        guided = self.guided.result(self.pool, share)
        return FuzzResult(
            failures=tuple(self.failures),
            executions=guided.executions,
            classes=guided.classes,
            seconds=seconds,
            guided=guided,
            baseline=None if self.baseline is None else self.baseline.result(self.pool, share),
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
            mutators=tuple(self.guided.whole.mutators),
            oracles=self.guided.whole.panel.names,
            interrupted=interrupted,
            stopped=self.ended or "",
            islands=self.config.islands,
            notes=(*self.notes, *self._unsteady()),
            special=self.special,
        )


def _seconds(path: Path) -> float:
    try:
        return max(0.0, float(json.loads(path.read_text(encoding="utf-8"))["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
