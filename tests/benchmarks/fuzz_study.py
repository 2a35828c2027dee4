"""Does guidance find more? The niche schedule against stacked random, at equal executions, on four networks.

`make fuzz-study` (ARGS="--jobs 2"; "--pairs mnist-mlp --repeats 3 --executions 5000" for a glance). Each run
is kept under build/fuzz-study as soon as it ends, so that Ctrl-C or a kill costs the runs at hand only, and
the same command goes on. When all are there, docs/benchmarks/fuzz-study.json is written: every run's counts,
medians, A12 with its bootstrap interval, Mann-Whitney's p after Holm's correction over all pairs and counts.
--tuning uses other seeds and other inputs, for whoever changes a schedule; --ablation adds schedules that
lack one part each.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from armour import stats
from armour.events import Event
from armour.fuzz import Comparison, Fuzzer
from armour.fuzz.comparison import COUNTS
from armour.fuzz.machine import armour_version, environment
from armour.fuzz.schedule import SCHEDULES, Children, Parents, Scene
from armour.fuzz.schedules.niche import MarginNiche
from armour.fuzz.schedules.stacked import Random
from benchmarks import fuzz_pairs

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "fuzz-study"
RECORD = ROOT / "docs" / "benchmarks" / "fuzz-study.json"
TUNING_SEED = 100
LARGE, NOT_BELOW, LEVEL = 0.71, 0.44, 0.01  # A12 and Holm's p of the goal
GOALS = (("distinct",), ("classes", "roots"))  # each of these rows: one of its counts
POINTS = 16  # of a growth curve that is recorded


@SCHEDULES.register("niche-equal-mutators")
class EqualMutators(MarginNiche):
    """Niches without learning which mutators work."""

    def weights(self, rng: np.random.Generator) -> np.ndarray:
        """Equal ones."""
        super().weights(rng)
        return np.ones(self.mutators)


@SCHEDULES.register("random-learned-mutators")
class LearnedMutators(Random):
    """Random roots, but mutators drawn as the niche schedule draws them."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.inner = MarginNiche(scene)

    def weights(self, rng: np.random.Generator) -> np.ndarray:
        """As learned."""
        return self.inner.weights(rng)

    def learn(self, children: Children) -> np.ndarray:
        """As the niche schedule does."""
        return self.inner.learn(children)


@SCHEDULES.register("niche-from-roots")
class FromRoots(MarginNiche):
    """Niches choose the root, but every mutant starts from it anew."""

    def pick(self, rng: np.random.Generator, n: int) -> Parents:
        """The niches' roots."""
        parents = super().pick(rng, n)
        x = self.roots.x[parents.root]
        return Parents(parents.root, x, x, [()] * n)


ABLATION = ("niche-equal-mutators", "niche-from-roots", "random-learned-mutators")


def study(name: str, options: argparse.Namespace) -> tuple[Comparison, int]:
    """The comparison on one pair, as far as it got, and how many inputs it was given."""
    pair = fuzz_pairs.pair(name, options.tuning)
    folder = options.work / ("tuning" if options.tuning else "study") / f"{name}-{options.executions}"
    schedules = ["niche", *(ABLATION if options.ablation else ())]
    last = 0.0

    def show(event: Event) -> None:
        nonlocal last
        if event.stage == "compare" and (time.monotonic() - last > 30 or event.done == event.total):
            last = time.monotonic()
            print(f"{name}: {event.done:,} of {event.total:,} executions; {event.text}", flush=True)

    found = Fuzzer(pair.model, pair.x, pair.y, corpus=folder).compare(
        schedules,
        repeats=options.repeats,
        executions=options.executions,
        rng=TUNING_SEED if options.tuning else 0,
        resume=True,
        jobs=options.jobs,
        on_event=show,
    )
    return found, len(pair.x)


def record(found: dict[str, tuple[Comparison, int]]) -> dict[str, Any]:
    """All figures as plain JSON, corrected over all pairs and counts."""
    cells = [(name, line) for name, (one, _) in found.items() for line in one.lines]
    corrected = stats.holm([line.p for _, line in cells])
    pairs: dict[str, Any] = {}
    for name, (one, given) in found.items():
        pairs[name] = {
            "model": one.fingerprint,
            "inputs": given,
            "roots": one.roots,
            "repeats": {schedule: len(one.of(schedule)) for schedule in one.schedules},
            "valid": {s: round(statistics.mean(r.valid for r in one.of(s)), 4) for s in one.schedules},
            "cpu_seconds": {
                s: round(statistics.mean(r.seconds for r in one.of(s)), 2) for s in one.schedules
            },
            "runs": {s: {c: [_plain(v) for v in one.values(s, c)] for c in COUNTS} for s in one.schedules},
            "growth": {s: _growth(one, s) for s in one.schedules},
            "lines": [
                {
                    "schedule": line.schedule,
                    "count": line.count,
                    "median": _plain(line.median),
                    "random": _plain(line.baseline),
                    "a12": round(line.effect.value, 4),
                    "a12_interval": [round(line.effect.low, 4), round(line.effect.high, 4)],
                    "p": float(f"{line.p:.3g}"),
                    "holm": float(f"{holm:.3g}"),
                }
                for (own, line), holm in zip(cells, corrected, strict=True)
                if own == name
            ],
        }
    first = next(iter(found.values()))[0]
    return {
        "format": 1,
        "what": "niche against stacked random; Holm over all pairs and counts",
        "executions": first.executions,
        "repeats": first.repeats,
        "seeds": [first.seed, first.seed + first.repeats - 1],
        "validity": first.validity,
        "armour": armour_version(),
        "environment": environment(),
        "goal": goal(pairs),
        "pairs": pairs,
    }


def goal(pairs: dict[str, Any]) -> dict[str, Any]:
    """Whether A12 >= .71 with Holm p < .01 holds on all pairs but one, and A12 >= .44 on all."""
    rows = []
    for counts in GOALS:
        for count in counts:
            lines = [
                line
                for pair in pairs.values()
                for line in pair["lines"]
                if (line["schedule"], line["count"]) == ("niche", count)
            ]
            large = sum(line["a12"] >= LARGE and line["holm"] < LEVEL for line in lines)
            lowest = min((line["a12"] for line in lines), default=0.0)
            met = large >= max(1, len(pairs) - 1) and lowest >= NOT_BELOW
            rows.append(
                {"count": count, "large_on": large, "of": len(pairs), "lowest_a12": lowest, "met": met}
            )
    met = all(any(row["met"] for row in rows if row["count"] in counts) for counts in GOALS)
    return {"rows": rows, "met": met}


def table(figures: dict[str, Any]) -> str:
    """Medians and effect sizes of each pair."""
    lines = []
    for name, pair in figures["pairs"].items():
        n = min(pair["repeats"].values())
        lines.append(f"\n{name}: {pair['roots']} roots of {pair['inputs']} inputs, {n} repeats")
        for line in pair["lines"]:
            low, high = line["a12_interval"]
            lines.append(
                f"  {COUNTS[line['count']]:<32}{line['schedule']:<24}{line['median']:>10,.1f}"
                f"  random {line['random']:>9,.1f}   A12 {line['a12']:.2f} [{low:.2f}, {high:.2f}]"
                f"   Holm p {line['holm']:.2g}"
            )
    lines.append("")
    for row in figures["goal"]["rows"]:
        lines.append(
            f"{COUNTS[row['count']]}: A12 >= {LARGE}, p < {LEVEL} on {row['large_on']} of {row['of']} pairs, "
            f"lowest A12 {row['lowest_a12']:.2f}: {'met' if row['met'] else 'not met'}"
        )
    return "\n".join(lines)


def _growth(found: Comparison, schedule: str) -> dict[str, list[list[float]]]:
    """A few points of each growth curve: executions, median, and its interval."""
    curves = {}
    for column in ("distinct", "classes", "roots", "coverage"):
        rows = found.growth(schedule, column)
        kept = sorted({round(i) for i in np.linspace(0, len(rows) - 1, min(POINTS, len(rows)))})
        curves[column] = [[_plain(round(value, 4)) for value in rows[i]] for i in kept]
    return curves


def _plain(value: float) -> float:
    return int(value) if value == int(value) else round(value, 3)


def main() -> int:
    """Run what is missing, print the table, keep the record once it is whole."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", default=",".join(fuzz_pairs.PAIRS), help="names, with commas between")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--executions", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; the counts are the same")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the runs")
    parser.add_argument("--tuning", action="store_true", help="seeds and inputs apart from the study's")
    parser.add_argument("--ablation", action="store_true")
    options = parser.parse_args()
    # Ended by a scheduler is as good as ended by Ctrl-C: the runs so far are kept either way.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    found: dict[str, tuple[Comparison, int]] = {}
    for name in options.pairs.split(","):
        found[name] = study(name, options)
        if found[name][0].interrupted:
            break
    compared = {name: one for name, one in found.items() if one[0].lines}
    if not compared:
        print("nothing to compare yet; the same command goes on")
        return 130
    figures = record(compared)
    print(table(figures))
    whole = set(compared) == set(fuzz_pairs.PAIRS) and not any(one.interrupted for one, _ in found.values())
    standard = options.repeats >= 20 and options.executions == 20_000 and not options.tuning
    target = RECORD if whole and standard and not options.ablation else options.work / "summary.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(figures, indent=None, sort_keys=True) + "\n", encoding="utf-8")
    print(f"figures in {target}")
    if any(one.interrupted for one, _ in found.values()):
        print("interrupted; the same command goes on")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
