"""Timing that says what it measured: candidates interleaved in one process, one thread, ratios by round.

The unit is thread CPU time, because other work on the machine stretches wall time; wall time is reported too.
A ratio is taken within a round, where both candidates met the same machine, and summarised by its median and
quartiles. Nothing here asserts a time.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info, threadpool_limits

from armour import environment

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ("MALLOC_", "OPENBLAS_", "OMP_", "MKL_")
VERSIONS = ("numpy", "torch", "numba", "onednn-cpu-gomp", "cupy-cuda12x", "foolbox", "armour-toolkit")
LONG = 0.5  # seconds of a call that is not made twice before the rounds
SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


@dataclass(frozen=True)
class Candidate:
    """Something to time: `call` does one unit of work.

    kernels: those of ours that it uses ("numpy" or "fast"); "" for a peer. headline: it is what the issue's
    target speaks of, a public call and not a part of one. around: makes what its blocks are timed inside.
    """

    name: str
    call: Callable[[], Any]
    kernels: str = ""
    headline: bool = False
    around: Callable[[], AbstractContextManager[Any]] = nullcontext


@dataclass
class Timing:
    """One candidate: seconds per call, and the ratio to the reference, one value for each round."""

    name: str
    calls: int
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    ratio: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Medians, and the quartiles of the ratio."""
        low, middle, high = quartiles(self.ratio)
        return {
            "name": self.name,
            "calls_per_round": self.calls,
            "rounds": len(self.cpu),
            "cpu_seconds": statistics.median(self.cpu),
            "wall_seconds": statistics.median(self.wall),
            "ratio": middle,
            "ratio_quartiles": [low, high],
        }


def compare(candidates: Sequence[Candidate], *, seconds: float = 4.0, min_rounds: int = 5) -> list[Timing]:
    """Time the candidates in turn, in rounds of changing order; the first is the reference of all ratios.

    seconds: about how long the whole comparison takes. A block of calls lasts at least 10 ms, so that the
    clock's resolution does not matter.
    """
    timings = []
    for candidate in candidates:
        once = _block(candidate, 1)[1]
        if once < LONG:  # the first call may have had to warm up
            once = min(once, _block(candidate, 1)[1])
        timings.append(Timing(candidate.name, max(1, round(0.01 / max(once, 1e-7)))))
    end = time.perf_counter() + seconds
    turn = 0
    while turn < min_rounds or time.perf_counter() < end:
        order = [(i + turn) % len(candidates) for i in range(len(candidates))]
        for i in order:
            cpu, wall = _block(candidates[i], timings[i].calls)
            timings[i].cpu.append(cpu)
            timings[i].wall.append(wall)
        for timing in timings:
            timing.ratio.append(timing.cpu[-1] / timings[0].cpu[-1])
        turn += 1
    return timings


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """25 %, 50 % and 75 %."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def sgemm_peak(blocks: int = 60, size: int = 1024) -> float:
    """Floating-point operations per second of NumPy's float32 product on this thread, the best of many."""
    import numpy as np

    a, b = (np.random.default_rng(i).random((size, size), dtype=np.float32) for i in range(2))
    out = np.empty_like(a)
    block = Candidate("sgemm", lambda: np.matmul(a, b, out))
    return 2.0 * size**3 / min(_block(block, 1)[0] for _ in range(blocks))


@contextmanager
def one_thread() -> Iterator[None]:
    """BLAS, OpenMP and, if it is loaded, PyTorch on one thread; no garbage collection in between."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(1)
    gc.collect()
    gc.disable()
    try:
        with threadpool_limits(1):
            yield
    finally:
        gc.enable()
        if torch:
            torch.set_num_threads(threads)


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, libraries with their kernels and threads, settings."""
    libraries = [
        {k: info.get(k) for k in ("prefix", "internal_api", "version", "architecture", "num_threads")}
        for info in threadpool_info()
    ]
    versions = {name: v for name, v in environment.collect().packages.items() if name in VERSIONS}
    return {
        "python": platform.python_version(),
        "processor": environment.processor(),
        "cores": environment.cores(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else [],
        "versions": versions,
        "threadpools": libraries,
        "settings": {k: v for k, v in os.environ.items() if k.startswith(SETTINGS)},
    }


def describe(found: dict[str, Any]) -> list[str]:
    """`machine()` as lines, with a warning for each setting that would falsify a comparison."""
    versions = ", ".join(f"{k} {v}" for k, v in found["versions"].items())
    lines = [
        f"{found['processor']}, {found['cores']} cores, load {' '.join(f'{v:.1f}' for v in found['load'])}",
        f"Python {found['python']}, {versions}",
    ]
    for pool in found["threadpools"]:
        kernel = f", kernel {pool['architecture']}" if pool["architecture"] else ""
        lines.append(f"{pool['prefix']} {pool['version'] or ''}{kernel}, {pool['num_threads']} thread(s)")
    malloc = [f"{k}={v}" for k, v in found["settings"].items() if k.startswith("MALLOC_")]
    lines.append(f"malloc: {' '.join(malloc) or 'as the system sets it'}")
    lines += [
        f"WARNING: {name}={found['settings'][name]} is set; it chooses NumPy's kernels by hand. "
        f"Unset it before Python starts: these figures are not comparable."
        for name in SLOWING
        if name in found["settings"]
    ]
    return lines


def write(name: str, found: dict[str, Any], cases: Sequence[dict[str, Any]]) -> Path:
    """build/bench/NAME.json."""
    path = ROOT / "build" / "bench" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"benchmark": name, "machine": found, "cases": list(cases)}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def case(labels: dict[str, Any], timings: Sequence[Timing]) -> dict[str, Any]:
    """One row of the JSON: what was timed, the summary and every round."""
    return {**labels, "candidates": [t.summary() | {"rounds_raw": asdict(t)} for t in timings]}


def _block(candidate: Candidate, calls: int) -> tuple[float, float]:
    """(thread CPU, wall) seconds per call."""
    call = candidate.call
    with candidate.around():
        cpu, wall = time.thread_time(), time.perf_counter()
        for _ in range(calls):
            call()
        return (time.thread_time() - cpu) / calls, (time.perf_counter() - wall) / calls
