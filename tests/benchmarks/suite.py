"""Everything that `make bench` measures: `python -m benchmarks.suite [SUBJECT ...] [options]`.

Without a subject all of them run, and the run counts as a full one, which `make bench-record` puts into
docs/benchmarks. Each run adds one line to build/bench/history.jsonl. Nothing here asserts a time; results are
compared with the peer's before they are timed. convolutions, mutation and those of fuzzing have options
of their own.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks import harness, kernels, record
from benchmarks.rows import Options, Row

SUBJECTS = (
    "eager", "forward_grad", "activations", "per_sample", "training", "adversarial_training", "workers",
    "memory", "attacks", "auto_attack", "fuzzing",
)  # fmt: skip
DEVICE_SUBJECTS = ("cuda",)  # --device cuda runs these alone
ALONE = ("convolutions", "mutation", "fuzz_study", "fuzz_islands", "fuzz_memory")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the subjects, print their rows, add the run to the history."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in ALONE:
        module = importlib.import_module(f"benchmarks.{given[0]}")
        sys.argv = [given[0], *given[1:]]
        return int(module.main() or 0)
    args = _parser().parse_args(given)
    try:
        import torch
    except ImportError:
        print("skipped: PyTorch is not installed here; `make bench` builds an environment that has it")
        return 0
    torch.manual_seed(0)
    subjects = args.subjects or (DEVICE_SUBJECTS if args.device == "cuda" else SUBJECTS)
    choices, missing = kernels.available()
    start = time.time()
    with harness.one_thread():
        found = harness.machine()
        peak = harness.sgemm_peak() if args.device == "cpu" else 0.0
        options = Options(
            seconds=args.seconds,
            rounds=args.rounds,
            kernels=[choice for choice in args.kernels if choice in choices],
            only=args.only,
            peak=peak,
            device=args.device,
        )
        print("\n".join(harness.describe(found)))
        if peak:
            print(f"sgemm peak {peak / 1e9:.1f} GFLOP/s on one thread; a share of it stands in column `peak`")
        if missing:
            print("not all fast kernels are here: " + "; ".join(missing))
        print(
            "ratio = ours / theirs, thread CPU time, below 1 ours is faster; median (quartiles) of rounds\n"
        )
        rows = list(printed(subjects, options))
    if not rows:
        print("nothing was measured, so nothing is added to the history")
        return 0
    found["load"] = [found["load"], list(os.getloadavg())]
    whole = not (args.subjects or args.only) and list(args.kernels) == list(kernels.FAMILIES)
    place = record.append(
        record.Run(found, rows, full=whole, seconds=time.time() - start, peak=peak, missing=missing)
    )
    judged = [row for row in rows if row.met is not None]
    met, seconds = sum(bool(row.met) for row in judged), time.time() - start
    print(f"\n{met} of {len(judged)} targets met in {seconds:.0f} s")
    print(f"added to {place.relative_to(harness.ROOT)}")
    return 0


def printed(subjects: Sequence[str], options: Options) -> Iterator[Row]:
    """The rows of the subjects, each printed as it comes."""
    title = ""
    for subject in subjects:
        for row in importlib.import_module(f"benchmarks.{subject}").run(options):
            row = dataclasses.replace(row, device=row.device if row.device != "cpu" else options.device)
            head = f"{subject}: {row.network}, n = {row.n}, {row.work}"
            if head != title:
                print(head)
                title = head
            print(line(row), flush=True)
            yield row


def line(row: Row) -> str:
    """One row as text."""
    low, high = row.quartiles
    parts = [
        f"  {row.name:<29}{row.kernels:<7}{row.against:<36}",
        f"{row.ours:>9.3f} /{row.peer:>9.3f} {row.unit}",
        f"{row.ratio:>7.3f} ({low:.3f}-{high:.3f})",
    ]
    if row.wall:
        parts.append(f"wall {row.wall:.2f}")
    if row.peak:
        parts.append(f"peak {row.peak:.0%} / {row.peer_peak:.0%}")
    if row.target is not None:
        parts.append(f"target {row.target:g}: {'met' if row.met else 'MISSED'}")
    parts += [f"{key} {value}" for key, value in row.notes.items()]
    return "  ".join(parts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    names = (*SUBJECTS, *DEVICE_SUBJECTS)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join((*names, *ALONE)))
    parser.add_argument("--seconds", type=float, default=4.0, help="about how long a comparison takes")
    parser.add_argument("--rounds", type=int, default=5, help="of a comparison, at least")
    parser.add_argument(
        "--kernels", nargs="+", choices=list(kernels.FAMILIES), default=list(kernels.FAMILIES)
    )
    parser.add_argument(
        "--only", nargs="+", default=[], help="parts of subject/network/n=N/work, all of them"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    return _Checked(parser, names)


class _Checked:
    """The parser, with subjects checked: argparse's own choices would refuse an empty list."""

    def __init__(self, parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
        self.parser, self.names = parser, names

    def parse_args(self, given: Sequence[str]) -> argparse.Namespace:
        args = self.parser.parse_args(given)
        for name in args.subjects:
            if name not in self.names:
                self.parser.error(f"unknown subject {name!r}: expected one of {', '.join(self.names)}")
        return args


if __name__ == "__main__":
    sys.exit(main())
