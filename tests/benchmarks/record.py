"""The history of runs, build/bench/history.jsonl, and what is kept of it under version control.

`make bench-record` copies the newest full run of this machine to docs/benchmarks/PROCESSOR.json (a GPU's run
to one with the GPU's name) and writes docs/benchmarks.md anew from all files there.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.rows import Row

HISTORY = harness.ROOT / "build" / "bench" / "history.jsonl"
DOCS = harness.ROOT / "docs"
HEAD = """# Benchmarks

Written by `make bench-record` from `docs/benchmarks/*.json`; do not edit. `make bench` measures anew.

Each of our calls is compared with PyTorch's in the same process, in turns, on one thread, after their results
were found equal. Times are medians of thread CPU time, of wall time for two workers and on GPUs. The ratio is
ours / theirs (below 1 ours is faster), the median of all rounds with quartiles; for two workers it is their
throughput in units of one's. *peak* is the share of NumPy's fastest float32 product in that run.
Targets are issue 3's; a row without one is there for comparison. Opponents: *torch eager* has its BatchNorm
modules; *torch folded* has them folded into the convolutions, and weights and inputs in channels_last.
"""


@dataclass(frozen=True)
class Run:
    """What one `make bench` gave. full: all subjects and kernels. missing: fast kernels, and why."""

    machine: dict[str, Any]
    rows: Sequence[Row]
    full: bool
    seconds: float
    peak: float
    missing: Sequence[str] = ()

    def compact(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
            "commit": commit(),
            "full": self.full,
            "seconds": round(self.seconds),
            "sgemm_gflops": round(self.peak / 1e9, 1),
            "missing": list(self.missing),
            "machine": self.machine,
            "rows": [_compact(row) for row in self.rows],
        }


def append(run: Run, history: Path = HISTORY) -> Path:
    """Add one line to the history."""
    history.parent.mkdir(parents=True, exist_ok=True)
    with history.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run.compact(), separators=(",", ":")) + "\n")
    return history


def newest(history: Path = HISTORY) -> list[dict[str, Any]]:
    """The newest full run of each device."""
    if not history.exists():
        return []
    found: dict[str, dict[str, Any]] = {}
    for line in history.read_text(encoding="utf-8").splitlines():
        run = json.loads(line)
        if run["full"] and run["rows"]:
            found[device(run)] = run
    return list(found.values())


def keep(runs: Sequence[dict[str, Any]], docs: Path = DOCS) -> list[Path]:
    """Write each run's file, and the table of all files; the files written."""
    folder = docs / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for run in runs:
        name = re.sub(r"[^a-z0-9]+", "-", device(run).lower()).strip("-")
        path = folder / f"{name}.json"
        path.write_text(dumped(run), encoding="utf-8")
        written.append(path)
    files = sorted(folder.glob("*.json"))
    page = HEAD + "".join(section(json.loads(path.read_text(encoding="utf-8"))) for path in files)
    (docs / "benchmarks.md").write_text(page, encoding="utf-8")
    return [*written, docs / "benchmarks.md"]


def dumped(run: dict[str, Any]) -> str:
    """JSON with one row to a line, so that a new run is a readable difference."""
    head = json.dumps({k: v for k, v in run.items() if k != "rows"}, indent=1)[:-2]
    rows = ",\n  ".join(json.dumps(row) for row in run["rows"])
    return f'{head},\n "rows": [\n  {rows}\n ]\n}}\n'


def device(run: dict[str, Any]) -> str:
    """The GPU's name, or the processor's with the kernels that its BLAS chose."""
    names = {row.get("device", "cpu") for row in run["rows"]} - {"cpu"}
    if names:
        return ", ".join(sorted(names))
    machine = run["machine"]
    kinds = {pool["architecture"] for pool in machine["threadpools"] if pool.get("architecture")}
    return " ".join([machine["processor"], *sorted(kinds)])


def section(run: dict[str, Any]) -> str:
    """One run as Markdown."""
    machine = run["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    loads = " to ".join(f"{load[0]:.1f}" for load in machine["load"] if load)
    lines = [
        f"\n## {device(run)}\n",
        f"{run['date']}, commit {run['commit']}, {machine['cores']} cores, load {loads}, Python "
        f"{machine['python']}, {versions}; sgemm peak {run['sgemm_gflops']} GFLOP/s on one thread."
        + (f" Not available: {'; '.join(run['missing'])}." if run["missing"] else "")
        + "\n",
        "| workload | n | ours | kernels | against | ours | theirs | ratio | quartiles | peak | target |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    before = None
    for row in run["rows"]:
        head = f"{row['network']}: {row['work']}"
        shown = "" if (head, row["n"]) == before else head
        before = head, row["n"]
        low, high = row["quartiles"]
        target = "" if "target" not in row else f"{row['target']:g} {'met' if row['met'] else '**missed**'}"
        peak = f"{row['peak']:.0%}" if row.get("peak") else ""
        lines.append(
            f"| {shown} | {row['n']} | {row['name']} | {row['kernels']} | {row['against']} "
            f"| {row['ours']:.3g} {row['unit']} | {row['peer']:.3g} {row['unit']} | {row['ratio']:.2f} "
            f"| {low:.2f}-{high:.2f} | {peak} | {target} |"
        )
    return "\n".join(lines) + "\n"


def commit() -> str:
    """Of the working tree, with a + if files differ from it; "unknown" outside a repository."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=harness.ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _compact(row: Row) -> dict[str, Any]:
    """Without what is not known, numbers to four digits."""

    def short(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.4g}")
        return [short(v) for v in value] if isinstance(value, (tuple, list)) else value

    fields = {key: short(value) for key, value in asdict(row).items()}
    optional = {"wall": 0.0, "peak": 0.0, "peer_peak": 0.0, "target": None, "met": None, "notes": {}}
    return {k: v for k, v in fields.items() if k not in optional or v != optional[k]}


def main() -> int:
    """Keep the newest full run of each device that the history has."""
    runs = newest()
    if not runs:
        print("no full run yet: run `make bench` first, without BENCH and ARGS")
        return 1
    for path in keep(runs):
        print(f"wrote {path.relative_to(harness.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
