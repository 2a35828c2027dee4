"""Peak memory of a ResNet-20 n = 256 input gradient, ours and PyTorch's, each in a process of its own.

The figure is the largest resident size during the first gradients minus the size before: network and inputs
are there by then, so that it counts what the gradient takes, the capture of the plan included. malloc is left
as the system sets it. `python -m benchmarks.memory ours|torch NETWORK N KERNELS` is one such process.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness, networks
from benchmarks.kernels import within
from benchmarks.rows import Options, Row, judged, wanted

CASES = (("resnet20", 256),)
RUNS = 3
CALLS = 2  # of the gradient in a process


def run(options: Options) -> Iterator[Row]:
    """One row for each choice of kernels: our peak / PyTorch's."""
    for name, n in CASES:
        if not wanted(f"memory/{name}/n={n}", options):
            continue
        theirs = [measured("torch", name, n, "numpy") for _ in range(RUNS)]
        for choice in options.kernels:
            ours = [measured("ours", name, n, choice) for _ in range(RUNS)]
            networks.same(f"{name} n={n}: gradient's length", ours[0]["length"], theirs[0]["length"])
            ratios = [a["peak"] / b["peak"] for a, b in zip(ours, theirs, strict=True)]
            low, middle, high = harness.quartiles(ratios)
            yield Row(
                subject="memory",
                work="peak memory, forward + input gradient",
                network=name,
                n=n,
                name="model.loss_gradient",
                kernels=choice,
                against="torch eager",
                unit="MB",
                ours=statistics.median(a["peak"] for a in ours) / 1e6,
                peer=statistics.median(b["peak"] for b in theirs) / 1e6,
                ratio=middle,
                quartiles=(low, high),
                **judged("memory", name, n, "torch eager", choice, middle),
            )


def measured(who: str, name: str, n: int, choice: str) -> dict[str, float]:
    """peak: bytes above the baseline; length: of the gradient. Of one process."""
    return answer("benchmarks.memory", who, name, str(n), choice)


def answer(module: str, *arguments: str) -> dict[str, float]:
    """What a module prints as JSON in a process of its own, with malloc as the system sets it."""
    settings = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command, env=settings, cwd=harness.ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"the process that measures memory failed:\n{done.stderr.strip()[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def gradient(who: str, name: str, n: int) -> Callable[[], Any]:
    """A call that gives the gradient as an array."""
    x, y = networks.batch(name, n)
    if who == "ours":
        model = networks.model(name)
        return lambda: model.loss_gradient(x, y)[1]
    from benchmarks.forward_grad import torch_gradient

    call = torch_gradient(networks.pair(name)[1], x, y)
    return lambda: np.asarray(call()[1])


def forget() -> None:
    """Let `peak` count from here, where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        pass


def peak() -> int:
    """Largest resident size of this process so far, in bytes."""
    try:
        # Not ru_maxrss where there is a choice: on Linux a process starts with that of its parent.
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(arguments: list[str]) -> None:
    """Measure in this process and print JSON."""
    who, name, n, choice = arguments
    with harness.one_thread(), within(choice)():
        call = gradient(who, name, int(n))
        gc.collect()
        forget()
        before = peak()
        for _ in range(CALLS):
            found = call()
        after = peak()
    print(json.dumps({"peak": after - before, "length": float(np.linalg.norm(found))}))


if __name__ == "__main__":
    main(sys.argv[1:])
