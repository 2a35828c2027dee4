"""Run by test_resume: fuzzes a small model into a folder, and kills itself at a chosen file operation.

Arguments: the folder, an .npz with seeds x and labels y, and the number of the file operation to die at (0:
none; negative: right after it).
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

import numpy as np
import small_models

from armour.fuzz import FuzzConfig, Fuzzer, engine, store

engine.SNAPSHOT_SECONDS = 0.1
store.SHARD = 128
CALLS = 0


def dying(function: Callable[..., Any], when: int) -> Callable[..., Any]:
    """`function`, before or after whose n-th call of all the process is killed as by kill -9."""

    def call(*args: Any, **options: Any) -> Any:
        global CALLS  # noqa: PLW0603  # one count over all operations
        CALLS += 1
        if when == CALLS:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **options)
        if when == -CALLS:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


def main(folder: str, seeds: str, when: int) -> None:
    """Fuzz, resuming whatever is in the folder."""
    with np.load(seeds) as arrays:
        x, y = arrays["x"], arrays["y"]
    model = small_models.centroids(x, y)
    if when:
        for name in ("replace", "fsync", "mkdir"):
            setattr(os, name, dying(getattr(os, name), when))
    print("ready", flush=True)
    config = FuzzConfig(round=128)
    Fuzzer(model, x, y, corpus=folder, config=config).run(executions=2200, rng=3, resume=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
