"""Are planted faults found? Each fault of tests/planted.py, by 20 seeds of the fuzzer, within its bound.

`PYTHONPATH=.:tests python -m benchmarks.planted_faults [--seeds 20] [--only NAME]`. Prints for each fault the
executions that its first finding took, and how many seeds found it within the bound that tests/planted.py
states; runs the network without the fault for as many executions as the slowest needed. Writes it all to
build/bench/planted_faults.json. Exits with 1 if a seed missed a fault, or something was found where none is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import planted
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run the study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", choices=list(planted.FAULTS), default=None)
    options = parser.parse_args()
    rows, missed = {}, 0
    with threadpool_limits(1):
        for name in [options.only] if options.only else planted.FAULTS:
            fault = planted.FAULTS[name]
            needed = [
                planted.executions_to_find(fault, seed, limit=fault.bound) for seed in range(options.seeds)
            ]
            found = sorted(n for n in needed if n is not None)
            control = planted.executions_to_find(
                fault, 0, limit=max(found, default=fault.bound), faulty=False
            )
            rows[name] = {"bound": fault.bound, "executions": needed, "without the fault": control}
            missed += len(needed) - len(found) + (control is not None)
            middle = f"median {statistics.median(found):,.0f}, most {found[-1]:,}" if found else "never"
            print(
                f"{name:<30} {len(found)} of {len(needed)} within {fault.bound:,}: {middle}; "
                f"without the fault: {'nothing' if control is None else f'a finding after {control:,}'}",
                flush=True,
            )
    folder = ROOT / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "planted_faults.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
