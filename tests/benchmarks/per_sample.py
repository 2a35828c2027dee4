"""Clipped per-sample gradients (what one DP-SGD step needs before the noise) against torch.func, one thread.

`make bench BENCH=per_sample` runs it. Ours is the public call, armour.tensor.clipped_gradient, operation by
operation and inside armour.tensor.compile; PyTorch's is
torch.func: vmap(grad) of one sample's loss, then the clipped sum of what it gives. Same weights, same
clipping norm, the median of the norms, so that half of the samples are clipped. Ratios are armour / PyTorch
in thread CPU time: below 1 armour is faster.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from armour.tensor import clipped_gradient, compile, cross_entropy
from benchmarks import forward_grad, harness

SHAPES = {name: forward_grad.SHAPES[name] for name in ("mlp", "lenet5")}
BATCHES = (32, 256)


def torch_clipped(module: Any, x: Any, y: Any) -> Callable[[float], tuple[dict[str, Any], Any]]:
    """max_norm -> (clipped sum by name, norms), by vmap(grad)."""
    import torch

    parameters = {name: p.detach() for name, p in module.named_parameters()}

    def loss(values: dict[str, Any], one: Any, label: Any) -> Any:
        logits = torch.func.functional_call(module, values, (one.unsqueeze(0),))
        return torch.nn.functional.cross_entropy(logits, label.unsqueeze(0))

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))

    def clipped(max_norm: float) -> tuple[dict[str, Any], Any]:
        with torch.no_grad():
            grads = each(parameters, x, y)
            squares = sum((g.flatten(1) * g.flatten(1)).sum(1) for g in grads.values())
            norms = torch.sqrt(torch.as_tensor(squares))
            factors = (max_norm / norms).clamp(max=1.0)
            return {name: torch.tensordot(factors, g, 1) for name, g in grads.items()}, norms

    return clipped


def candidates(name: str, n: int) -> list[harness.Candidate]:
    """PyTorch, armour with ghost norms, as a plan, with gradients in memory; all compared first."""
    import torch

    ours, theirs = forward_grad.pair(name)
    rng = np.random.default_rng(1)
    x = rng.random((n, *SHAPES[name]), dtype=np.float32)
    y = rng.integers(0, forward_grad.CLASSES, n)
    peer = torch_clipped(theirs, torch.from_numpy(x.copy()), torch.from_numpy(y.copy()))
    max_norm = float(peer(1.0)[1].median())
    totals, norms = peer(max_norm)

    def armour(ghost: bool) -> Any:
        return clipped_gradient(ours.module, cross_entropy, x, y, max_norm, ghost=ghost)

    plan = compile(lambda a, b: clipped_gradient(ours.module, cross_entropy, a, b, max_norm))
    for call in (lambda: armour(True), lambda: armour(False), lambda: plan(x, y)):
        mine, mine_norms = call()
        forward_grad.same(f"{name} n={n} norms", mine_norms.numpy(), norms.numpy())
        for key, value in zip(mine.values(), totals.values(), strict=True):
            forward_grad.same(f"{name} n={n} {tuple(key.shape)}", key.numpy(), value.numpy())
    return [
        harness.Candidate("torch.func", lambda: peer(max_norm)),
        harness.Candidate("armour", lambda: armour(True)),
        harness.Candidate("armour, compiled", lambda: plan(x, y)),
        harness.Candidate("armour, gradients in memory", lambda: armour(False)),
    ]


def main() -> int:
    """Run the chosen cases, print a table of ratios, write build/bench/per_sample.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="+", choices=sorted(SHAPES), default=list(SHAPES))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--seconds", type=float, default=6.0, help="per comparison")
    args = parser.parse_args()
    try:
        import torch
    except ImportError:
        print("skipped: PyTorch is not installed here; `make bench` builds an environment that has it")
        return 0
    torch.manual_seed(0)
    cases = []
    with harness.one_thread():
        found = harness.machine()
        print("\n".join(harness.describe(found)))
        print("ratio = armour / torch.func vmap(grad) + clip, thread CPU time; below 1 armour is faster\n")
        print(f"{'network':<9}{'n':>5}  {'candidate':<29}{'ms':>9}{'ratio':>8}  {'quartiles':<14}")
        for name in args.nets:
            for n in args.batches:
                timings = harness.compare(candidates(name, n), seconds=args.seconds)
                cases.append(
                    harness.case({"network": name, "n": n, "work": "clipped per-sample gradients"}, timings)
                )
                for row in (t.summary() for t in timings):
                    low, high = row["ratio_quartiles"]
                    print(
                        f"{name:<9}{n:>5}  {row['name']:<29}{row['cpu_seconds'] * 1e3:>9.3f}"
                        f"{row['ratio']:>8.3f}  {f'{low:.3f}-{high:.3f}':<14}",
                        flush=True,
                    )
    print(f"\nwrote {harness.write('per_sample', found, cases).relative_to(harness.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
