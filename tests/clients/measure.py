"""How fast the real models are: seconds to load, and a batch of 16 against onnxruntime, one thread each.

`make clients-bench` prints a line for each model: medians of interleaved rounds in one process, and how
the ratios spread. Sequences, which onnxruntime takes one by one, are given to it one by one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
import onnxruntime
from real_models import CLIENTS, Client

import armour
from armour.tensor import Tensor
from armour.tensor.core import no_grad

N = 16
SECONDS = 12.0


def session(client: Client) -> Any:
    """onnxruntime on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(client.path), options, providers=["CPUExecutionProvider"])


def batch(client: Client) -> tuple[np.ndarray, np.ndarray]:
    """Sixteen of the client's real inputs, over again if there are fewer, with labels."""
    x, y = client.inputs()
    rows = np.arange(N) % len(x)
    return x[rows], y[rows]


def measure(name: str, seconds: float) -> str:
    """One line of the table."""
    client = CLIENTS[name]
    if client.path is None:
        return f"{name:<18} not installed"
    start = time.perf_counter()
    model = armour.load(client.path, **client.options)
    loading = time.perf_counter() - start
    x, y = batch(client)
    theirs = session(client)
    first = theirs.get_inputs()[0]
    with no_grad():
        taken = model.preprocessing.apply(Tensor(x)).numpy()
    taken = taken.astype(np.int32 if first.type == "tensor(int32)" else np.float32)
    feeds = [{first.name: rows, **client.fixed} for rows in (taken if client.rows else [taken])]

    def ours() -> None:
        model.logits(x)

    def reference() -> None:
        for feed in feeds:
            theirs.run(None, feed)

    def gradient() -> None:
        model.loss_gradient(x, y)

    jobs = [ours, reference, *([gradient] if model.can_grad else [])]
    times: dict[Any, list[float]] = {job: [] for job in jobs}
    for job in jobs:  # plans are made, memory is touched
        job()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[ours]) < 5:
        for job in jobs:
            start = time.perf_counter()
            job()
            times[job].append(time.perf_counter() - start)
    ratios = sorted(a / b for a, b in zip(times[ours], times[reference], strict=True))
    low, high = ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]
    middle = {job: statistics.median(found) * 1e3 for job, found in times.items()}
    back = f"{middle[gradient]:9.1f}" if gradient in middle else "     none"
    return (
        f"{name:<18} {loading:6.2f} {middle[ours]:9.1f} {middle[reference]:9.1f} "
        f"{statistics.median(ratios):6.2f} ({low:.2f} to {high:.2f}, {len(ratios)} rounds) {back}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", default=list(CLIENTS))
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each model")
    given = parser.parse_args()
    print(f"{'model':<18} load s   ours ms    ort ms  ratio (10 % to 90 %)              gradient ms, n = {N}")
    for name in given.names or CLIENTS:
        print(measure(name, given.seconds), flush=True)


if __name__ == "__main__":
    main()
