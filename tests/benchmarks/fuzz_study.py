"""Does guidance find more? Campaigns of the niche schedule against stacked random, at equal executions.

`PYTHONPATH=.:tests python -m benchmarks.fuzz_study MODEL.ckpt [--seeds 10] [--executions 20000]`.
Prints the median of each count over the seeds, A12 with its bootstrap interval, and the Mann-Whitney p, and
writes all of it to build/bench/fuzz_study.json. The counts are those of CampaignResult: `distinct` (root,
label) pairs are what the schedule works towards; classes (D2), label pairs and roots it does not count.
--ablation adds schedules that lack one part each, to see where the difference comes from.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import armour
from armour import data, stats
from armour.fuzz import Campaign
from armour.fuzz.campaign import Setup
from armour.fuzz.execution import Executor
from armour.fuzz.roots import select
from armour.fuzz.schedule import SCHEDULES, Children, MarginNiche, Parents, Random
from armour.fuzz.sections import Profile
from armour.fuzz.validity import ValidityModel

ROOT = Path(__file__).resolve().parents[2]
COUNTS = ("distinct", "classes", "pairs", "roots", "failures")
NAMES = {
    "distinct": "(root, label)",
    "classes": "classes (D2)",
    "pairs": "pairs (D1)",
    "roots": "roots broken",
}


@SCHEDULES.register("niche, equal mutators")
class EqualMutators(MarginNiche):
    """Niches without learning which mutators work."""

    def weights(self, rng: np.random.Generator) -> None:
        """Equal ones."""


@SCHEDULES.register("random, learned mutators")
class LearnedMutators(Random):
    """Random roots, but mutators drawn as the niche schedule draws them."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.inner = MarginNiche(*arguments)

    def weights(self, rng: np.random.Generator) -> np.ndarray:
        """As learned."""
        return self.inner.weights(rng)

    def learn(self, children: Children) -> np.ndarray:
        """As the niche schedule does."""
        return self.inner.learn(children)


@SCHEDULES.register("niche, from roots")
class FromRoots(MarginNiche):
    """Niches choose the root, but every mutant starts from it anew."""

    def pick(self, rng: np.random.Generator, n: int) -> Parents:
        """The niches' roots."""
        parents = super().pick(rng, n)
        x = self.roots.x[parents.root]
        return Parents(parents.root, x, x, [()] * n)


def prepare(path: Path, samples: int) -> Setup:
    """Everything that the campaigns on one checkpoint share."""
    model = armour.load(path)
    _, test = data.load_split(model.provenance["data"]["name"], bounds=model.bounds)
    x, y = test.x[:samples], test.y[:samples]
    executor = Executor(model, 128)
    roots, outcome = select(executor, x, y)
    return Setup(
        executor=executor,
        roots=roots,
        validity=ValidityModel.fit(x, model.bounds),
        profile=Profile.fit(outcome.neurons),
        seed=0,
        round=1024,
        required=2,
        sections=10,
    )


def campaign(setup: Setup, schedule: str, seed: int, executions: int) -> dict[str, Any]:
    """One campaign's counts and time."""
    stream = 1 if schedule == "random" else 0
    one = Campaign(dataclasses.replace(setup, seed=seed), schedule, stream=stream, shrink=False)
    start = time.process_time()
    while one.counters.executions < executions:
        one.round(executions - one.counters.executions)
    result = one.result(0.0)
    counts = {name: getattr(result, name) for name in COUNTS}
    curve = [(p.executions, p.distinct, p.classes, p.roots) for p in result.curve]
    return {"seed": seed, **counts, "valid": result.valid / result.executions,
            "cpu_seconds": time.process_time() - start, "curve": curve}  # fmt: skip


def table(runs: dict[str, list[dict[str, Any]]]) -> str:
    """Medians of each schedule, and its A12 against stacked random."""
    lines = []
    for name in COUNTS:
        base = [run[name] for run in runs["random"]]
        lines.append(f"{NAMES.get(name, name):<16}{'random':<28}{statistics.median(base):>9,.1f}")
        for schedule, own in runs.items():
            if schedule == "random":
                continue
            values = [run[name] for run in own]
            effect = stats.a12_interval(values, base)
            p = stats.mann_whitney(values, base).p
            lines.append(
                f"{'':<16}{schedule:<28}{statistics.median(values):>9,.1f}   A12 {effect.value:.2f} "
                f"[{effect.low:.2f}, {effect.high:.2f}]   p {p:.2g}"
            )
    return "\n".join(lines)


def main() -> int:
    """Run the campaigns, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--executions", type=int, default=20_000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--ablation", action="store_true")
    options = parser.parse_args()
    schedules = ["random", "niche"]
    if options.ablation:
        schedules += ["niche, equal mutators", "niche, from roots", "random, learned mutators"]
    with threadpool_limits(1):
        setup = prepare(options.model, options.samples)
        print(
            f"{len(setup.roots)} roots, {options.executions:,} executions, {options.seeds} seeds", flush=True
        )
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in schedules}
        for seed in range(options.seeds):
            for name in schedules:
                runs[name].append(campaign(setup, name, seed, options.executions))
                print(".", end="", flush=True)
    print("\n" + table(runs))
    target = ROOT / "build" / "bench" / "fuzz_study.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    record = {"executions": options.executions, "roots": len(setup.roots), "runs": runs}
    target.write_text(json.dumps(record), encoding="utf-8")
    print(f"figures in {target.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
