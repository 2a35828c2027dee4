"""Forward and input gradient, what an attack asks for at each step: the public call and the bare plan.

Ours is model.loss_gradient (checks, counters, tiles and copies included), and the plan alone: the same
captured function run over the same tiles, results left in the plan's memory. PyTorch's is forward,
cross-entropy and autograd.grad of the input with parameters frozen: eager with its BatchNorm modules, and for
networks that have some also with batch normalisation folded into the convolutions and channels_last
throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from armour.contract import input_gradient
from armour.model import ModuleModel
from armour.tensor import Tensor, cross_entropy
from armour.tensor.module import frozen
from armour.tensor.tiles import Tiled
from benchmarks import flops, networks
from benchmarks.harness import Candidate
from benchmarks.kernels import within
from benchmarks.rows import Case, Options, Row, timed

BATCHES = (1, 32, 256)
WORK = "forward + input gradient"


def run(options: Options) -> Iterator[Row]:
    """Every network at every batch size."""
    for name in networks.SHAPES:
        net = networks.module(name).eval()
        for n in BATCHES:
            work = flops.input_gradient(net, networks.batch(name, n)[0])
            case = Case(
                "forward_grad", WORK, name, n, lambda name=name, n=n: candidates(name, n, options), work
            )
            yield from timed(case, options)


def candidates(name: str, n: int, options: Options) -> list[Candidate]:
    """PyTorch's, and ours for each choice of kernels, after comparing losses and gradients."""
    from benchmarks import peers

    ours, theirs = networks.pair(name)
    x, y = networks.batch(name, n)
    found = [Candidate("torch eager", torch_gradient(theirs, x, y))]
    if peers.has_norms(theirs):
        folded = peers.folded(theirs)
        found.append(Candidate("torch folded, channels_last", torch_gradient(folded, x, y, last=True)))
    expected = [part.numpy() for part in found[0].call()]
    for peer in found[1:]:
        check(f"{name} n={n} {peer.name}", peer.call(), expected)
    for choice in options.kernels:
        around = within(choice)
        with around():
            plan = Bare(ours, x, y)
            check(f"{name} n={n} {choice}", ours.loss_gradient(x, y), expected)
            check(f"{name} n={n} {choice} plan", plan.results(), expected)
        found.append(Candidate("model.loss_gradient", lambda: ours.loss_gradient(x, y), choice, True, around))
        found.append(Candidate("bare plan", plan, choice, False, around))
    return found


def check(what: str, ours: Any, expected: Any) -> None:
    """Loss and gradient are the expected ones."""
    for part, a, b in zip(("loss", "gradient"), ours, expected, strict=True):
        networks.same(f"{what}: {part}", a, b, samples=True)


def torch_gradient(module: Any, x: np.ndarray, y: np.ndarray, last: bool = False) -> Callable[[], Any]:
    """Losses (n,) and the gradient of their sum for the input."""
    import torch

    labels = torch.from_numpy(y.copy())
    images = torch.from_numpy(x.copy())
    if last:
        images = images.contiguous(memory_format=torch.channels_last)
    loss = torch.nn.CrossEntropyLoss(reduction="none")

    def call() -> Any:
        leaf = images.detach().requires_grad_(True)
        values = loss(module(leaf), labels)
        return values.detach(), torch.autograd.grad(values.sum(), leaf)[0]

    return call


class Bare:
    """The captured plan of the same work, run tile by tile, with the kernels in use when it is made."""

    def __init__(self, model: ModuleModel, x: np.ndarray, y: np.ndarray) -> None:
        net = model.module

        def work(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            leaf = Tensor(x.data, requires_grad=True)
            with frozen(net):
                losses = cross_entropy(net(leaf), y)
                return losses, input_gradient(losses, leaf)

        tiled = Tiled(work)
        tiles = [(x[rows], y[rows]) for rows in tiled.tiles(len(x), [x, y])]
        self.parts = [(tiled.compiled.plan(*arrays), arrays) for arrays in tiles]

    def __call__(self) -> None:
        """Run them; each leaves its results in its own memory."""
        for plan, arrays in self.parts:
            plan.run(*arrays)

    def results(self) -> list[np.ndarray]:
        """Losses and gradients of the batch."""
        tiles = [plan(*arrays) for plan, arrays in self.parts]
        return [np.concatenate(parts) for parts in zip(*tiles, strict=True)]
