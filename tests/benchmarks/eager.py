"""100 tiny operations and their backward pass, one by one: what dispatching an operation costs.

A chain of 50 multiplications and 50 additions over eight numbers, all three leaves with gradients, then their
sum and backward(). No plan, so the kernels do not matter; the same chain captured is listed for comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from armour.tensor import Tensor, compile
from armour.tensor.autodiff import value_and_grad
from benchmarks import networks
from benchmarks.harness import Candidate
from benchmarks.kernels import within
from benchmarks.rows import Case, Options, Row, timed

OPS = 100


def run(options: Options) -> Iterator[Row]:
    """One row."""
    work = "forward + backward"
    yield from timed(Case("eager", work, f"{OPS} tiny ops", 1, candidates), options)


def chain(x: Any, w: Any, b: Any) -> Any:
    """The sum of x * w + b * w ... over eight numbers."""
    for _ in range(OPS // 2):
        x = x * w
        x = x + b
    return x.sum()


def candidates() -> list[Candidate]:
    """PyTorch and ours, after comparing the gradients of the three leaves."""
    import torch

    rng = np.random.default_rng(0)
    arrays = [rng.uniform(0.8, 1.2, 8).astype(np.float32) for _ in range(3)]
    leaves = [torch.from_numpy(a.copy()).requires_grad_(True) for a in arrays]
    own = [Tensor(a, requires_grad=True) for a in arrays]

    def backward(tensors: list[Any]) -> Callable[[], list[Any]]:
        def call() -> list[Any]:
            for tensor in tensors:
                tensor.grad = None
            chain(*tensors).backward()
            return [tensor.grad for tensor in tensors]

        return call

    captured = compile(lambda *leaves: value_and_grad(chain, argnums=(0, 1, 2))(*leaves)[1])
    theirs, ours = backward(leaves), backward(own)
    with within("numpy")():
        pairs = zip(ours(), captured(*arrays), theirs(), strict=True)
        for i, (a, plan, b) in enumerate(pairs):
            networks.same(f"leaf {i}", a.numpy(), b.numpy())
            networks.same(f"leaf {i}, captured", plan.numpy(), b.numpy())
    return [
        Candidate("torch eager", theirs),
        Candidate("Tensor, backward()", ours, "numpy", True, within("numpy")),
        Candidate("compile", lambda: captured(*arrays), "numpy", False, within("numpy")),
    ]
