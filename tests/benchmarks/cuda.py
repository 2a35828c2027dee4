"""PGD-40 on the GPU, armour through CuPy against eager PyTorch: LeNet-5 at n = 4096, ResNet-20 at n = 1024.

`make bench ARGS="--device cuda"` runs it where CuPy and a PyTorch built for CUDA both see a GPU. The budget
breaks nearly nothing, so that all samples take all steps. PyTorch's loop is the plain one: forward,
cross-entropy, autograd.grad, sign, clamp. Both keep their batch in one piece; each call waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from armour import attacks
from armour.tensor.backend import has_cuda
from benchmarks import networks
from benchmarks.harness import Candidate
from benchmarks.rows import Case, Options, Row, timed

CASES = (("lenet5", 4096), ("resnet20", 1024))
STEPS = 40
EPSILON = 1e-4
STEP = 0.1  # of epsilon


def why_not() -> str | None:
    """Why these rows cannot be measured here, or None."""
    try:
        import torch
    except ImportError:
        return "PyTorch is not installed"
    if not has_cuda():
        return "CuPy is not installed, or sees no GPU"
    return None if torch.cuda.is_available() else "this PyTorch is built without CUDA, or sees no GPU"


def device_name(device: str) -> str:
    """As the driver calls it."""
    if device == "cpu":
        return "cpu"
    import torch

    return str(torch.cuda.get_device_name())


def run(options: Options) -> Iterator[Row]:
    """One row for each network."""
    reason = why_not() if options.device == "cuda" else "asked for only by --device cuda"
    if reason:
        print(f"no GPU rows: {reason}")
        return
    for name, n in CASES:
        make = lambda name=name, n=n: candidates(name, n, options.device)  # noqa: E731
        work = f"PGD-{STEPS} linf"
        device = device_name(options.device)
        yield from timed(Case("cuda", work, name, n, make, clock="wall", device=device), options)


def candidates(name: str, n: int, device: str) -> list[Candidate]:
    """PyTorch and armour, after comparing the points they end at; `device` may be "cpu", to try the code."""
    ours = networks.model(name, device=device, batch_size=n)
    x, _ = networks.batch(name, n)
    y = ours.predict(x)
    attack = attacks.PGD(norm="linf", steps=STEPS, step_size=STEP)
    peer = torch_pgd(networks.pair(name)[1], x, y, device)

    def own() -> Any:
        # The result is on the host, so the device has done everything by then.
        return attack.attack(ours, x, y, [EPSILON])

    theirs = peer() - x
    mine = own().adv[0] - x
    # Where a gradient is zero to rounding its sign is anybody's, so the two walk apart in a few numbers.
    apart = networks.distance(mine.astype(np.float64), theirs.astype(np.float64))
    if apart > 0.2:
        raise SystemExit(f"{name} n={n}: the attacks end {apart:.2f} of their way apart")
    return [Candidate("torch eager", peer), Candidate("attacks.PGD", own, "cupy", True)]


def torch_pgd(module: Any, x: np.ndarray, y: np.ndarray, device: str) -> Callable[[], np.ndarray]:
    """From the images themselves, as ours starts; the points after the last step, on the host."""
    import torch

    net = module.to(device)
    images, labels = torch.from_numpy(x.copy()), torch.from_numpy(y.copy())
    loss = torch.nn.CrossEntropyLoss(reduction="sum")

    def call() -> np.ndarray:
        clean, target = images.to(device), labels.to(device)
        low, high = (clean - EPSILON).clamp(0, 1), (clean + EPSILON).clamp(0, 1)
        at = clean.clone()
        for _ in range(STEPS):
            at = at.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(loss(net(at), target), at)
            at = torch.min(torch.max(at.detach() + STEP * EPSILON * gradient.sign(), low), high)
        found: np.ndarray = at.cpu().numpy()
        return found

    return call
