"""Adversarial training on 5,000 MNIST digits, as issue 7 asks: LeNet, linf 0.3, several seeds.

`PYTHONPATH=.:tests python -m benchmarks.defense_study [--defense pgd,trades] [--seeds 3]`. Settings were
chosen on validation samples; the 1,000 test digits are looked at once, here. Networks are kept in
ARMOUR_NETWORKS or build/networks and trained once (1 to 2 minutes each with the kernels of the extra fast).
Prints clean accuracy and accuracy under PGD-30 with n and interval for each seed, the spread over seeds, and
what the watch said; writes build/bench/defense_study.json. Exits with 1 where a goal of the issue is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

import armour
from armour import data, training
from armour.cli import train
from armour.defenses import AdversarialTraining
from armour.model import ModuleModel
from benchmarks import mnist_networks

ROOT = Path(__file__).resolve().parents[2]
EPSILON = 0.3
# Least clean accuracy and accuracy under PGD-30, in the mean over seeds; None: it must be told as collapsed.
GOALS: dict[str, tuple[float, float] | None] = {
    "pgd": (0.93, 0.64),
    "trades": (0.87, 0.68),
    "fgsm-rs": None,
}
DEFENSES = (*GOALS, "n-fgsm")
# FGSM-RS as published has its budget from the start; grown slowly over more epochs it holds longer.
RAMPS = {"fgsm-rs": 0.2}


def main() -> int:
    """Run the study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--defense", default=",".join(DEFENSES))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows, missed = [], 0
    with threadpool_limits(1):
        for name in options.defense.split(","):
            found = [facts(name, seed) for seed in range(options.seeds)]
            rows += found
            missed += not verdict(name, found)
    folder = ROOT / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "defense_study.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 1 if missed else 0


def facts(name: str, seed: int) -> dict[str, Any]:
    """One network's figures, printed; it is trained if it is not there yet."""
    path = mnist_networks.folder() / f"defended-{name}-{EPSILON:g}-{seed}.ckpt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        defense = AdversarialTraining(objective=name, epsilon=EPSILON, ramp=RAMPS.get(name, 0.4))
        samples, test = data.load_split("mnist")
        config = training.recipe("lenet5", True)
        train.run(samples, test, "lenet5", config, seed, path, False, None, defense)
    model = armour.load(path)
    assert isinstance(model, ModuleModel)
    record = model.provenance["training"]
    low, high = record["robust_interval"]
    collapsed = record["defense"]["collapse"]
    print(
        f"{name:<8} seed {seed}: clean {record['test_accuracy']:.3f}, PGD-30 {record['robust_accuracy']:.3f} "
        f"(n={record['robust_samples']:,}, 95 % interval {low:.3f}-{high:.3f}), epoch {record['best_epoch']} "
        f"of {record['epochs']}; {collapsed['text'] if collapsed else 'no collapse'}",
        flush=True,
    )
    keys = ("test_accuracy", "robust_accuracy", "robust_samples", "robust_interval", "defense")
    return {"name": name, "seed": seed} | {key: record[key] for key in keys}


def verdict(name: str, found: list[dict[str, Any]]) -> bool:
    """Whether the goal is met; printed with the spread over seeds."""
    figures = {key: [row[f"{key}_accuracy"] for row in found] for key in ("test", "robust")}
    means = {key: statistics.mean(values) for key, values in figures.items()}
    spread = {key: max(values) - min(values) for key, values in figures.items()}
    told = sum(row["defense"]["collapse"] is not None for row in found)
    goal = GOALS.get(name, (0.0, 0.0))
    met = told == len(found) if goal is None else means["test"] >= goal[0] and means["robust"] >= goal[1]
    print(
        f"{name:<8} mean of {len(found)} seeds: clean {means['test']:.3f} (spread {spread['test']:.3f}), "
        f"PGD-30 {means['robust']:.3f} (spread {spread['robust']:.3f}), collapse told {told} times; "
        f"goal {goal or 'collapse told'}: {'met' if met else 'MISSED'}",
        flush=True,
    )
    return met


if __name__ == "__main__":
    sys.exit(main())
