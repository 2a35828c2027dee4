"""How a running campaign is doing: what the live screen, stats.json and `armour corpus stats` show.

Wall-clock figures are all here; nothing of it enters a decision.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from armour import stats

from .execution import Executor
from .stop import CONFIDENCE, Standing, StopRules

_WINDOW = 5.0  # seconds that the present speed is taken over
_POINTS = 60  # of the growth curve that is shown
_QUIET_EXECUTIONS, _QUIET_SHARE = 20_000, 0.25  # without a new class, before that is said
_FEW_ROOTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One look at a campaign. Counts are of the guided search in all; seconds of all its runs together.

    budget, limit: executions and seconds of this run, if it ends by them; remaining: seconds that it still
    takes, if that can be known. executions_per_second: of this run, and in its last few seconds. coverage:
    share of the sections inside the profiles (KMNC). stability: share of a batch that gave the same bits when
    it was run again, None if that was not tried. since_executions, since_seconds: since the newest class.
    once: classes that one input has shown; residual: Good-Turing, with its two-sided 95 % interval and
    one-sided bound. failure_bound: 95 % bound of the share of valid mutants that fail, where none did.
    baseline: executions, failures, distinct, classes and roots of the random search. growth: (executions,
    classes, classes of the baseline). warnings: what a user should look at.
    """

    executions: int
    seconds: float
    executions_per_second: float
    executions_per_second_now: float
    budget: int | None
    limit: float | None
    remaining: float | None
    failures: int
    classes: int
    distinct: int
    roots_broken: int
    roots: int
    valid: int
    valid_share: float
    coverage: float
    stability: float | None
    since_executions: int
    since_seconds: float
    once: int
    residual: float
    residual_low: float
    residual_high: float
    residual_bound: float
    failure_bound: float | None
    baseline: dict[str, int] | None
    growth: list[list[int]]
    warnings: list[str]

    def values(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


class Monitor:
    """Keeps the times that a Status needs. before: seconds of earlier runs of this campaign."""

    def __init__(self, before: float) -> None:
        self.before = before
        self.start = time.monotonic()
        self._ticks: deque[tuple[float, int]] = deque()
        self._growth: list[list[int]] = []
        self._every = 1
        self._steps = 0
        self._newest = (0, 0.0)  # classes, and seconds of this run when there were first so many
        self._first = 0

    def begin(self, now: Standing) -> None:
        """Note where this run starts."""
        self._first = now.executions
        self._ticks.append((0.0, now.executions))
        self._newest = (now.classes, 0.0)

    @property
    def elapsed(self) -> float:
        """Seconds of this run."""
        return time.monotonic() - self.start

    def step(self, now: Standing, baseline: int) -> None:
        """Note a step; baseline: the random search's classes."""
        elapsed = self.elapsed
        self._ticks.append((elapsed, now.executions))
        while len(self._ticks) > 2 and self._ticks[1][0] < elapsed - _WINDOW:
            self._ticks.popleft()
        if now.classes != self._newest[0]:
            self._newest = (now.classes, elapsed)
        if self._steps % self._every == 0:
            self._growth.append([now.executions, now.classes, baseline])
        if len(self._growth) >= 2 * _POINTS:
            self._growth, self._every = self._growth[::2], 2 * self._every
        self._steps += 1

    def status(
        self,
        now: Standing,
        rules: StopRules,
        row: list[float],
        *,
        roots: int,
        stability: float | None,
        baseline: list[float] | None,
    ) -> Status:
        """The status now; row, baseline: last rows of the growth curves of both searches."""
        elapsed = self.elapsed
        (then, made), (last, done) = self._ticks[0], self._ticks[-1]
        speed = (now.executions - self._first) / max(elapsed, 1e-9)
        coverage = row[6] if row else 0.0
        distinct, broken = (int(row[2]), int(row[4])) if row else (0, 0)
        share = now.valid / max(now.executions, 1)
        interval = stats.clopper_pearson(now.once, max(now.executions, now.once, 1), CONFIDENCE)
        other = None if not baseline else dict(zip(_OTHER, map(int, baseline), strict=False))
        status = Status(
            executions=now.executions,
            seconds=round(self.before + elapsed, 3),
            executions_per_second=round(speed, 1),
            executions_per_second_now=round(
                (done - made) / max(last - then, 1e-9) if done > made else speed, 1
            ),
            budget=rules.budget,
            limit=rules.seconds,
            remaining=_remaining(now, rules, speed, elapsed),
            failures=now.failures,
            classes=now.classes,
            distinct=distinct,
            roots_broken=broken,
            roots=roots,
            valid=now.valid,
            valid_share=round(share, 4),
            coverage=round(coverage, 6),
            stability=stability,
            since_executions=now.executions - now.latest,
            since_seconds=round(elapsed - self._newest[1], 1),
            once=now.once,
            residual=now.residual,
            residual_low=interval.low,
            residual_high=interval.high,
            residual_bound=now.residual_bound,
            failure_bound=None if now.failures else now.failure_bound,
            baseline=other,
            growth=[*self._growth],
            warnings=[],
        )
        status.warnings.extend(warnings(status))
        return status


_OTHER = ("executions", "failures", "distinct", "classes", "roots", "valid")


def _remaining(now: Standing, rules: StopRules, speed: float, elapsed: float) -> float | None:
    ends = []
    if rules.budget is not None and speed > 0:
        ends.append((rules.budget - now.executions) / speed)
    if rules.seconds is not None:
        ends.append(rules.seconds - elapsed)
    return round(max(0.0, min(ends)), 1) if ends else None


def warnings(status: Status) -> list[str]:
    """What is wrong with a campaign, the worst first, each in a few words and with what to do."""
    found = []
    if status.stability is not None and status.stability < 1:
        found.append(f"unstable model: {100 * (1 - status.stability):.3g} % of a batch differ when run again")
    if status.executions >= 1000 and status.valid_share < 0.5:
        share = 100 * status.valid_share
        found.append(f"only {share:.0f} % of the mutants are valid: check bounds and data, or --validity V1")
    if status.roots < _FEW_ROOTS:
        found.append(f"only {status.roots} seeds to mutate: give more with --data or -n")
    if status.since_executions >= max(_QUIET_EXECUTIONS, _QUIET_SHARE * status.executions):
        found.append(
            f"no new class in {status.since_executions:,} executions: --plateau would end such a run"
        )
    if status.coverage > 0.99:
        found.append("coverage is saturated: it says nothing any more")
    other = status.baseline
    if other is not None and status.executions >= 5000 and other["classes"] > status.classes:
        found.append(f"stacked random is ahead: {other['classes']:,} classes against {status.classes:,}")
    return found


class Stability:
    """Whether a model gives the same bits when the same batch is run again. x: (n, *shape), one batch."""

    def __init__(self, executor: Executor, x: np.ndarray) -> None:
        self._executor, self._x = executor, x
        self._logits: np.ndarray | None = None
        self.share: float | None = None

    def check(self) -> None:
        """Run the batch; from the second time on `share` says how much of it was the same, at the least."""
        made = self._executor.executions
        logits = self._executor.run(self._x, taps=False).logits.copy()
        self._executor.executions = made
        if self._logits is None:
            self._logits = logits
            return
        same = (logits.view(np.uint32) == self._logits.view(np.uint32)).all(axis=1)
        share = float(same.mean())
        self.share = share if self.share is None else min(share, self.share)


_LISTS = ("growth", "warnings")
_MOST_TEXT, _MOST_POINTS = 200, 4 * _POINTS


def read(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a stats.json, which may come from a stranger, says at its top; None if it is of another kind.

    Numbers are finite and texts printable.
    """
    found: dict[str, Any] = {}
    for one in fields(Status):
        value, optional = values.get(one.name), "None" in str(one.type)
        if one.name in _LISTS or one.name == "baseline" or (value is None and optional):
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return None
        found[one.name] = int(value) if str(one.type).startswith("int") else float(value)
    other = values.get("baseline")
    names = [name for name in _OTHER if isinstance(other, Mapping) and type(other.get(name)) is int]
    found["baseline"] = {name: other[name] for name in names} if isinstance(other, Mapping) else None
    growth, said = values.get("growth"), values.get("warnings")
    points = growth[:_MOST_POINTS] if isinstance(growth, list) else []
    good = [p for p in points if isinstance(p, list) and len(p) == 3 and all(type(n) is int for n in p)]
    found["growth"] = good
    texts = said if isinstance(said, list) else []
    found["warnings"] = [printable(text) for text in texts[:10] if isinstance(text, str)]
    return {**dict.fromkeys(("budget", "limit", "remaining", "stability", "failure_bound")), **found}


def printable(text: str) -> str:
    """At most 200 characters of a text on one line, without what a terminal might obey."""
    return "".join(c for c in text[:_MOST_TEXT] if c.isprintable())


def stamp(status: Status, *, ended: str | None, islands: int, jobs: int) -> dict[str, Any]:
    """What stats.json says at its top, for scripts that watch; ended: why the run has ended, None if not."""
    return {
        **status.values(),
        "state": "running" if ended is None else "ended",
        "stopped": ended,
        "pid": os.getpid(),
        "updated": round(time.time(), 3),
        "islands": islands,
        "jobs": jobs,
    }
