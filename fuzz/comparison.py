"""What repeated runs of several schedules come to: medians, effect sizes, corrected p-values, and a verdict.

Klees et al., Evaluating Fuzz Testing, CCS 2018, https://doi.org/10.1145/3243734.3243804: repeat, give the
spread, and compare with a baseline at equal work.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from armour import stats

BASELINE = "random"
# Name -> what it counts. The first is what margin niches are made of, so the others are the better judges.
COUNTS = {
    "distinct": "(seed, label) pairs",
    "classes": "failure classes (D2)",
    "pairs": "label pairs (D1)",
    "roots": "seeds broken",
    "failures": "failing inputs",
    "class_area": "classes, mean over the run",
    "root_area": "seeds broken, mean over the run",
}
JUDGED = ("distinct", "classes", "roots", "class_area", "root_area")  # what the verdict is about
CURVE = ("executions", "distinct", "classes", "roots", "coverage")
LEVEL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One campaign of a comparison.

    counts: by the names of COUNTS; the areas are those under the curve of classes and of roots broken,
    divided by the executions. valid: share of the executions. seconds: of processor time. curve: rows of
    CURVE, one a round; coverage is KMNC.
    """

    schedule: str
    repeat: int
    seed: int
    counts: dict[str, float]
    valid: float
    seconds: float
    curve: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One count of one schedule against stacked random.

    median: of the schedule, with the ends of its 95 % interval (low, high); baseline: the median of random.
    effect: A12 with its bootstrap interval; p: two-sided Mann-Whitney; holm: corrected for all lines.
    """

    schedule: str
    count: str
    median: float
    low: float
    high: float
    baseline: float
    effect: stats.Effect
    p: float
    holm: float

    @property
    def better(self) -> bool:
        """More than random, and not by chance."""
        return self.effect.value > 0.5 and self.holm < LEVEL


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Schedules on one model, from the same seeds, with as many executions each.

    repeats: asked for; there are fewer runs if it was interrupted. roots: seeds fuzzed. notes: what a reader
    of the figures should know.
    """

    model: str
    fingerprint: str
    data_sha256: str
    schedules: tuple[str, ...]
    repeats: int
    executions: int
    seed: int
    validity: str
    roots: int
    runs: tuple[Run, ...]
    interrupted: bool = False
    notes: tuple[str, ...] = field(default=())

    def of(self, schedule: str) -> list[Run]:
        """The runs of a schedule, by repeat."""
        return sorted((r for r in self.runs if r.schedule == schedule), key=lambda run: run.repeat)

    def values(self, schedule: str, count: str) -> list[float]:
        """A count of each of its runs."""
        return [run.counts[count] for run in self.of(schedule)]

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """Every count of every schedule but the baseline; none without runs of both."""
        names = [n for n in self.schedules if n != BASELINE and self.of(n) and self.of(BASELINE)]
        cells = [(name, count) for name in names for count in COUNTS]
        p = [stats.mann_whitney(self.values(n, c), self.values(BASELINE, c)).p for n, c in cells]
        return tuple(
            self._line(name, count, own, corrected)
            for (name, count), own, corrected in zip(cells, p, stats.holm(p), strict=True)
        )

    def line(self, schedule: str, count: str) -> Line:
        """One of them."""
        return next(one for one in self.lines if (one.schedule, one.count) == (schedule, count))

    def verdicts(self) -> list[str]:
        """What the figures say of each schedule, in a sentence."""
        names = dict.fromkeys(line.schedule for line in self.lines)
        return [self._verdict(name) for name in names] or ["nothing to compare yet: no whole repeat was run"]

    def growth(self, schedule: str, column: str) -> list[tuple[float, float, float, float]]:
        """(executions, median, low, high) of a column of CURVE where all of the schedule's runs have a point.

        low, high: the 95 % interval of the median, the whole range of the runs if they are fewer than six.
        """
        at = CURVE.index(column)
        tables = [{row[0]: row[at] for row in run.curve} for run in self.of(schedule)]
        shared = sorted(set.intersection(*(set(one) for one in tables))) if tables else []
        rows = []
        for x in shared:
            values = [one[x] for one in tables]
            rows.append((x, statistics.median(values), *stats.median_interval(values)))
        return rows

    def _line(self, name: str, count: str, p: float, corrected: float) -> Line:
        values, base = self.values(name, count), self.values(BASELINE, count)
        return Line(
            schedule=name,
            count=count,
            median=statistics.median(values),
            low=stats.median_interval(values).low,
            high=stats.median_interval(values).high,
            baseline=statistics.median(base),
            effect=stats.a12_interval(values, base),
            p=p,
            holm=corrected,
        )

    def _few(self, name: str) -> bool:
        """Whether not even runs that are all above the baseline's would be above chance."""
        own, base = len(self.of(name)), len(self.of(BASELINE))
        return 2 / math.comb(own + base, own) * len(self.lines) >= LEVEL

    def _verdict(self, name: str) -> str:
        found = {count: self.line(name, count) for count in JUDGED}
        good = [f"{COUNTS[count]} (A12 {one.effect.value:.2f})" for count, one in found.items() if one.better]
        rest = [f"{COUNTS[c]} (A12 {one.effect.value:.2f})" for c, one in found.items() if not one.better]
        n = len(self.of(name))
        if not good and self._few(name):
            said = f"{name} cannot be told from stacked random by {n} repeats, which are too few"
            return f"{said}: {_listed(rest)}"
        if not good:
            return f"{name} is not better than stacked random, as far as {n} repeats tell: {_listed(rest)}"
        said = f"{name} finds more than stacked random: {_listed(good)}"
        return f"{said}; {n} repeats do not show it for {_listed(rest)}" if rest else said


def area(curve: Sequence[Sequence[float]], column: str) -> float:
    """Mean of a column over the executions, from 0 at 0 and straight between the points of the curve."""
    at = CURVE.index(column)
    points = [(0.0, 0.0), *((row[0], row[at]) for row in curve)]
    total = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))
    return float(total / points[-1][0]) if points[-1][0] else 0.0


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
