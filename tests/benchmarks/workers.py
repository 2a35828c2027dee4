"""Throughput of two workers against one on the same batches, in wall time: it needs two idle cores.

The public call model.loss_gradient on LeNet-5, n = 256, inside use_workers(1) and use_workers(2). The row
gives the machine's load beside the figure, since the second worker waits for other work on its core, and the
CPU time of all threads, two workers against one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np

from armour.tensor import use_workers
from benchmarks import networks
from benchmarks.harness import Candidate
from benchmarks.kernels import within
from benchmarks.rows import Case, Options, Row, timed

CASES = (("lenet5", 256),)
CALLS = 20  # whose CPU time is looked at


def run(options: Options) -> Iterator[Row]:
    """One row for each choice of kernels: one worker's time / two workers' time."""
    for name, n in CASES:
        for choice in options.kernels:
            make = lambda name=name, n=n, choice=choice: candidates(name, n, choice)  # noqa: E731
            work = "forward + input gradient, throughput"
            case = Case("workers", work, name, n, make, clock="wall", inverse=True)
            for row in timed(case, options):
                load = [round(v, 2) for v in os.getloadavg()]
                notes = {"load": load, "process CPU two / one": round(processor_time(name, n, choice), 2)}
                yield dataclasses.replace(row, notes=notes)


def processor_time(name: str, n: int, choice: str) -> float:
    """CPU time of all threads, two workers / one: near 1 if sharing costs nothing, whatever the load is."""
    spent = []
    for candidate in candidates(name, n, choice):
        with candidate.around():
            best = []
            for _ in range(CALLS):
                start = time.process_time()
                candidate.call()
                best.append(time.process_time() - start)
        spent.append(statistics.median(best))
    return spent[1] / spent[0]


def candidates(name: str, n: int, choice: str) -> list[Candidate]:
    """One worker and two, after comparing their results, which must be the same bits."""
    model = networks.model(name)
    x, y = networks.batch(name, n)

    def around(number: int) -> Callable[[], AbstractContextManager[None]]:
        @contextlib.contextmanager
        def inside() -> Iterator[None]:
            with within(choice)(), use_workers(number):
                yield

        return inside

    results = []
    for number in (1, 2):
        with around(number)():
            results.append(model.loss_gradient(x, y))
    for one, two in zip(*results, strict=True):
        if not np.array_equal(one, two):
            raise SystemExit(f"{name} n={n}: two workers give other numbers than one")
    return [
        Candidate("one worker", lambda: model.loss_gradient(x, y), choice, False, around(1)),
        Candidate("two workers", lambda: model.loss_gradient(x, y), choice, True, around(2)),
    ]
