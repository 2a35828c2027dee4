"""Memory of a long campaign: `make bench BENCH=fuzz_memory ARGS="[MODEL] --executions 1000000"`.

Fuzzes a network on 28x28 digits with its baseline, into a corpus in a temporary folder, and prints the
resident memory of all processes as executions grow, and by how much each further 100,000 raise it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import armour
from armour.events import Event
from armour.fuzz import FuzzConfig, Fuzzer
from benchmarks import mnist_networks

_PAGE = os.sysconf("SC_PAGE_SIZE")
_LIMIT = 2048  # MiB at a million executions


def resident() -> float:
    """MiB of this process and of those it has forked, shared pages once in each."""
    own = os.getpid()
    children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
    total = 0
    for pid in (own, *children):
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:  # it has just ended
            continue
    return total * _PAGE / 2**20


def main() -> int:
    """Run, print a line at each tenth, and the growth from the middle to the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?", help="a checkpoint; by default LeNet-5 on MNIST")
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--islands", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--no-baseline", action="store_true")
    args = parser.parse_args()
    model = mnist_networks.network("lenet5") if args.model is None else armour.load(args.model)
    x, y = mnist_networks.samples(args.samples)
    begin, seen = time.perf_counter(), [(0, resident())]
    print(f"{model.name}: {args.executions:,} executions; MiB at first {seen[0][1]:.0f}", flush=True)

    def listen(event: Event) -> None:
        if event.stage == "fuzz" and event.done - seen[-1][0] >= args.executions // 10:
            seen.append((event.done, resident()))
            now = event.detail
            print(
                f"{event.done:>10,} executions {seen[-1][1]:>6.0f} MiB  {now['failures']:>8,} failures "
                f"{now['classes']:>6,} classes  {time.perf_counter() - begin:>6.0f} s",
                flush=True,
            )

    config = FuzzConfig(islands=args.islands, baseline=not args.no_baseline)
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(model, x, y, corpus=Path(folder, "corpus"), config=config)
        fuzzer.run(executions=args.executions, jobs=args.jobs, on_event=listen)
    middle, last = seen[len(seen) // 2], seen[-1]
    slope = (last[1] - middle[1]) / max(last[0] - middle[0], 1) * 100_000
    most = max(size for _, size in seen)
    million = most + slope * max(0, 1_000_000 - last[0]) / 100_000
    print(f"{slope:+.1f} MiB per 100,000 executions in the second half; most {most:.0f} MiB")
    print(f"at 1,000,000: {million:.0f} MiB of {_LIMIT}{'' if million <= _LIMIT else ': too much'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
