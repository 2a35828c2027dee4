"""Run by test_resume: fuzzes a small model into a folder, and kills itself at a chosen file operation.

Arguments: the folder, an .npz with seeds x and labels y, and where to die: a part of the paths of the file
operations meant, and which of them it is (0: none; negative: right after it); islands and processes.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import small_models  # noqa: E402

from armour.fuzz import FuzzConfig, Fuzzer, islands, lockstep, store  # noqa: E402

lockstep.SNAPSHOT_SECONDS, lockstep.SNAPSHOT_SHARE = 0.02, 1.0
store.SHARD = 128
islands._LEG = 256
CALLS = 0


def dying(function: Callable[..., Any], where: str, count: int) -> Callable[..., Any]:
    """`function`, before or after whose n-th call with a path that holds `where` the process is killed."""

    def call(*args: Any, **options: Any) -> Any:
        global CALLS  # noqa: PLW0603  # one count over all operations
        CALLS += any(where in str(arg) for arg in args)
        if count == CALLS:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **options)
        if count == -CALLS:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


def main(folder: str, seeds: str, where: str, count: int, side_by_side: int, jobs: int) -> None:
    """Fuzz, resuming whatever is in the folder."""
    with np.load(seeds) as arrays:
        x, y = arrays["x"], arrays["y"]
    model = small_models.centroids(x, y)
    if count:
        for name in ("replace", "mkdir"):
            setattr(os, name, dying(getattr(os, name), where, count))
    config = FuzzConfig(round=128, islands=side_by_side)
    state = Path(folder, "state.npz")
    print(int(state.is_file()), flush=True)
    fuzzer = Fuzzer(model, x, y, corpus=folder, config=config)
    fuzzer.run(
        executions=1500, rng=3, resume=True, jobs=jobs, on_event=lambda event: print(event.done, flush=True)
    )


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
