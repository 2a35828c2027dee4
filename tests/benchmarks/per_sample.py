"""Clipped per-sample gradients (what one DP-SGD step needs before the noise) against torch.func.

Ours is the public call, armour.tensor.clipped_gradient, with ghost norms and with the gradients in memory,
and the first of them captured by armour.tensor.compile where that works. PyTorch's is torch.func: vmap(grad)
of one sample's loss, then the clipped sum of what it gives. Same weights, same clipping norm, the median of
the norms, so that half of the samples are clipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from armour.errors import CaptureError
from armour.tensor import clipped_gradient, compile, cross_entropy
from benchmarks import flops, networks
from benchmarks.harness import Candidate
from benchmarks.kernels import within
from benchmarks.rows import Case, Options, Row, timed

NETWORKS = ("mlp", "lenet5")
BATCHES = (32, 256)
WORK = "clipped per-sample gradients"


def run(options: Options) -> Iterator[Row]:
    """The networks and batches of the issue's table."""
    for name in NETWORKS:
        net = networks.module(name)
        for n in BATCHES:
            work = flops.parameter_gradient(net, networks.batch(name, n)[0])
            case = Case(
                "per_sample", WORK, name, n, lambda name=name, n=n: candidates(name, n, options), work
            )
            yield from timed(case, options)


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


def candidates(name: str, n: int, options: Options) -> list[Candidate]:
    """PyTorch, and ours in each form, after comparing clipped sums and norms."""
    import torch

    ours, theirs = networks.pair(name)
    net = ours.module
    x, y = networks.batch(name, n)
    peer = torch_clipped(theirs, torch.from_numpy(x.copy()), torch.from_numpy(y.copy()))
    max_norm = float(peer(1.0)[1].median())
    totals, norms = peer(max_norm)

    def eager(ghost: bool) -> Any:
        return clipped_gradient(net, cross_entropy, x, y, max_norm, ghost=ghost)

    def check(what: str, found: Any) -> None:
        mine, mine_norms = found
        networks.same(f"{name} n={n} {what}: norms", mine_norms.numpy(), norms.numpy(), samples=True)
        for key, value in totals.items():
            networks.same(f"{name} n={n} {what}: {key}", mine[key].numpy(), value.numpy())

    for ghost in (True, False):
        check(f"ghost={ghost}", eager(ghost))
    found = [Candidate("torch.func vmap(grad) + clip", lambda: peer(max_norm))]
    captured = compile(lambda x, y: clipped_gradient(net, cross_entropy, x, y, max_norm))
    for choice in options.kernels:
        around = within(choice)
        try:
            with around():
                check(f"{choice}, captured", captured(x, y))
        except CaptureError:
            continue  # then there is nothing but the eager call
        found.append(Candidate("compile(clipped_gradient)", lambda: captured(x, y), choice, True, around))
    # Without a plan it runs NumPy's kernels whatever plans use.
    numpy = within("numpy")
    return [
        *found,
        Candidate("clipped_gradient", lambda: eager(True), "numpy", True, numpy),
        Candidate("clipped_gradient, in memory", lambda: eager(False), "numpy", False, numpy),
    ]
