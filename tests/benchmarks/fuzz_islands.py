"""Executions a second of two islands in two processes beside one: `make bench BENCH=fuzz_islands`.

The same campaign, run by one process and by two in turn, each several times. Wants two idle cores: the ratio
is of wall-clock time. Where the cores are shared with others it says little; then the ratio of the processor
time of the busiest process is the better figure, printed beside it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import armour
from armour.fuzz import FuzzConfig, Fuzzer
from benchmarks import mnist_networks

_TARGET = 1.7


def main() -> int:
    """Run, print each time, and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?", help="a checkpoint; by default LeNet-5 on MNIST")
    parser.add_argument("--executions", type=int, default=20_000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--islands", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-baseline", action="store_true")
    args = parser.parse_args()
    model = mnist_networks.network("lenet5") if args.model is None else armour.load(args.model)
    x, y = mnist_networks.samples(args.samples)
    config = FuzzConfig(islands=args.islands, baseline=not args.no_baseline)
    speeds: dict[int, list[float]] = {1: [], 2: []}
    busiest: dict[int, list[float]] = {1: [], 2: []}
    found = set()
    Fuzzer(model, x, y, config=config).run(executions=512, jobs=1)  # whatever is compiled on the way
    for _ in range(args.repeats):
        for jobs, own in speeds.items():
            used, begin = os.times(), time.perf_counter()
            result = Fuzzer(model, x, y, config=config).run(executions=args.executions, jobs=jobs)
            seconds, now = time.perf_counter() - begin, os.times()
            found.add((result.guided.failures, tuple(result.guided.class_counts.items())))
            own.append(args.executions / seconds)
            here, there = (now[i] - used[i] + now[i + 1] - used[i + 1] for i in (0, 2))
            busiest[jobs].append(max(here, there))
            spent = f"{here:.1f} and {there:.1f} s of processor"
            print(f"jobs {jobs}: {own[-1]:>7,.0f}/s  {seconds:>6.1f} s, {spent}", flush=True)
    if len(found) != 1:
        raise SystemExit("the runs differ, which they must not")
    one, two = (statistics.median(own) for own in speeds.values())
    spread = ", ".join(f"{b / a:.2f}" for a, b in zip(*speeds.values(), strict=True))
    print(f"{model.name}, {args.islands} islands: {one:,.0f}/s and {two:,.0f}/s")
    work = statistics.median(busiest[1]) / statistics.median(busiest[2])
    print(f"ratio {two / one:.2f} ({spread}); of the busiest process's time {work:.2f}, as on idle cores")
    print(f"target {_TARGET}: {'reached' if two / one >= _TARGET else 'missed'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
