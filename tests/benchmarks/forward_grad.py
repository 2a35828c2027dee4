"""Forward, and forward with input gradient, of armour against eager PyTorch: same weights, one thread.

`make bench` runs it; `make bench ARGS="--nets lenet5 --batches 32 --seconds 2"` runs a part. Ours is the
public call a fuzzer or an attack makes (model.logits, model.loss_gradient: checks, counters and copies
included); PyTorch's is the eager call (no_grad forward; forward, cross-entropy and autograd.grad of the
input, parameters frozen). Ratios are armour / PyTorch in thread CPU time: below 1 armour is faster.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

from armour.model import ModuleModel
from armour.tensor import zoo
from benchmarks import harness

SHAPES = {"mlp": (1, 28, 28), "lenet5": (1, 28, 28), "resnet8": (3, 32, 32)}
BATCHES = (1, 32, 256)
CLASSES = 10


def pair(name: str) -> tuple[ModuleModel, Any]:
    """The same network twice: as a Model of ours, and in PyTorch."""
    from benchmarks import peers

    module = zoo.build(name, SHAPES[name], CLASSES, rng=0)
    rng = np.random.default_rng(0)
    state = {key: np.array(value, np.float32) for key, value in module.state_dict().items()}
    for key, value in state.items():
        # Fresh running statistics would make batch normalisation the identity.
        if key.endswith("running_mean"):
            state[key] = rng.normal(0, 0.1, value.shape).astype(np.float32)
        elif key.endswith("running_var"):
            state[key] = rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
    module.load_state_dict(state)
    torch_module = peers.build(name, SHAPES[name], CLASSES)
    peers.load(torch_module, state)
    return ModuleModel(module, input_shape=SHAPES[name], num_classes=CLASSES), torch_module


def candidates(name: str, n: int) -> dict[str, list[harness.Candidate]]:
    """Work -> PyTorch and armour, after checking that both give the same numbers."""
    import torch

    ours, theirs = pair(name)
    rng = np.random.default_rng(1)
    x = rng.random((n, *SHAPES[name]), dtype=np.float32)
    y = rng.integers(0, CLASSES, n)
    x_torch, y_torch = torch.from_numpy(x.copy()), torch.from_numpy(y.copy())
    loss = torch.nn.CrossEntropyLoss(reduction="none")

    def forward() -> Any:
        with torch.no_grad():
            return theirs(x_torch)

    def gradient() -> Any:
        leaf = x_torch.detach().requires_grad_(True)
        values = loss(theirs(leaf), y_torch)
        return values.detach(), torch.autograd.grad(values.sum(), leaf)[0]

    same(f"{name} n={n} logits", ours.logits(x), forward().numpy())
    for part, mine, other in zip(("loss", "gradient"), ours.loss_gradient(x, y), gradient(), strict=True):
        same(f"{name} n={n} {part}", mine, other.numpy())
    return {
        "forward": [
            harness.Candidate("torch eager", forward),
            harness.Candidate("armour", lambda: ours.logits(x)),
        ],
        "forward+input gradient": [
            harness.Candidate("torch eager", gradient),
            harness.Candidate("armour", lambda: ours.loss_gradient(x, y)),
        ],
    }


def same(what: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Stop if the two differ by more than rounding: a fast wrong answer is no answer."""
    scale = float(np.abs(theirs).max())
    difference = float(np.abs(ours - theirs).max())
    if ours.shape != theirs.shape or not difference <= 2e-5 * max(scale, 1e-3):
        raise SystemExit(f"{what}: armour and PyTorch differ by {difference:.2e} (values up to {scale:.2e})")


def main() -> int:
    """Run the chosen cases, print a table of ratios, write build/bench/forward_grad.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="+", choices=sorted(SHAPES), default=list(SHAPES))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--seconds", type=float, default=4.0, help="per comparison")
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
        print("ratio = armour / torch eager, thread CPU time; below 1 armour is faster\n")
        head = f"{'network':<9}{'n':>5}  {'work':<24}{'torch ms':>9}{'armour ms':>11}{'ratio':>8}"
        print(f"{head}  {'quartiles':<14}{'wall ratio':>10}")
        for name in args.nets:
            for n in args.batches:
                for work, pairs in candidates(name, n).items():
                    timings = harness.compare(pairs, seconds=args.seconds)
                    cases.append(harness.case({"network": name, "n": n, "work": work}, timings))
                    torch_row, our_row = (t.summary() for t in timings)
                    low, high = our_row["ratio_quartiles"]
                    wall = our_row["wall_seconds"] / torch_row["wall_seconds"]
                    print(
                        f"{name:<9}{n:>5}  {work:<24}{torch_row['cpu_seconds'] * 1e3:>9.3f}"
                        f"{our_row['cpu_seconds'] * 1e3:>11.3f}{our_row['ratio']:>8.2f}  "
                        f"{f'{low:.2f}-{high:.2f}':<14}{wall:>10.2f}",
                        flush=True,
                    )
    print(f"\nwrote {harness.write('forward_grad', found, cases).relative_to(harness.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
