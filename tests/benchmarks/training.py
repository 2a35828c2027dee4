"""A training step: forward, gradients of all parameters, SGD; in training mode, against torch.optim.SGD.

Ours is what armour.training does at each step: module_plans.ParameterGradients with an optimiser of
armour.tensor.optim after it; beside it the step captured by armour.tensor.compile, whose gradients are new
arrays, and run operation by operation. Each candidate trains a copy
of its own of the same network; losses and weights after three steps are compared first.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from armour.tensor import Tensor, compile, cross_entropy, optim
from armour.tensor.module_plans import ParameterGradients
from benchmarks import flops, networks
from benchmarks.harness import Candidate
from benchmarks.kernels import within
from benchmarks.rows import Case, Options, Row, timed

CASES = (("lenet5", 64), ("resnet8", 64))
WORK = "training step, SGD"
LR = 1e-3  # small, so that thousands of steps on one batch do not end at a loss of zero
STEPS = 3
# One relu that rounding turns the other way moves the gradients of all layers before it by 1e-4 of them.
CLOSE = 2e-3

Step = Callable[[], Any]  # trains once; the mean loss


def run(options: Options) -> Iterator[Row]:
    """The networks and batch of the issue's table."""
    for name, n in CASES:
        work = flops.parameter_gradient(networks.module(name).eval(), networks.batch(name, n)[0])
        case = Case("training", WORK, name, n, lambda name=name, n=n: candidates(name, n, options), work)
        yield from timed(case, options)


def candidates(name: str, n: int, options: Options) -> list[Candidate]:
    """PyTorch and ours, after comparing three steps."""
    start = networks.module(name).train()
    x, y = networks.batch(name, n)
    theirs, peer = torch_step(name, start, x, y)
    losses = [float(peer()) for _ in range(STEPS)]
    state = {key: value.numpy().copy() for key, value in theirs.state_dict().items()}
    found = [Candidate("torch eager, torch.optim.SGD", peer)]
    forms: list[tuple[str, Callable[..., Step]]] = [("ParameterGradients + SGD", plan_step)]
    forms.append(("compile(step) + SGD", captured_step))
    for choice in options.kernels:
        around = within(choice)
        for form, make in forms:
            net = copy.deepcopy(start)
            with around():
                step = make(net, x, y)
                check(f"{name} {choice} {form}", step, net, losses, state)
            found.append(Candidate(form, step, choice, form == forms[0][0], around))
    net = copy.deepcopy(start)
    step = eager_step(net, x, y)
    check(f"{name} eager", step, net, losses, state)
    found.append(Candidate("operation by operation", step, "numpy", False, within("numpy")))
    return found


def check(what: str, step: Step, net: Any, losses: list[float], state: dict[str, np.ndarray]) -> None:
    """Three steps give the losses, weights and running statistics that PyTorch's gave."""
    networks.same(f"{what}: losses", [float(step()) for _ in range(STEPS)], losses)
    for key, value in net.state_dict().items():
        networks.same(f"{what}: {key}", value, state[key], close=CLOSE)


def torch_step(name: str, start: Any, x: np.ndarray, y: np.ndarray) -> tuple[Any, Step]:
    """The network and its step."""
    import torch

    net = networks.peer(name, start).train().requires_grad_(True)
    images, labels = torch.from_numpy(x.copy()), torch.from_numpy(y.copy())
    loss_function = torch.nn.CrossEntropyLoss()
    optimiser = torch.optim.SGD(net.parameters(), lr=LR)

    def step() -> Any:
        optimiser.zero_grad()
        loss = loss_function(net(images), labels)
        loss.backward()
        optimiser.step()
        return loss.detach()

    return net, step


def gradients(net: Any) -> Callable[[Any, Any], Any]:
    """(x, y) -> the mean loss, and each parameter's gradient by name."""

    def function(x: Tensor, y: Tensor) -> Any:
        net.zero_grad()
        loss = cross_entropy(net(x), y).mean()
        loss.backward()
        grads = {key: p.grad for key, p in net.named_parameters()}
        net.zero_grad()
        return loss, grads

    return function


def captured_step(net: Any, x: np.ndarray, y: np.ndarray) -> Step:
    """By the public call, which gives gradients in new arrays."""
    function = compile(gradients(net))
    optimiser = optim.SGD(net.named_parameters(), lr=LR)

    def step() -> Any:
        loss, grads = function(x, y)
        optimiser.step(grads)
        return loss.data

    return step


def plan_step(net: Any, x: np.ndarray, y: np.ndarray) -> Step:
    """As armour.training does: gradients in the plan's memory, where the optimiser reads them."""
    function = ParameterGradients(net, cross_entropy)
    optimiser = optim.SGD(net.named_parameters(), lr=LR)

    def step() -> Any:
        losses, grads = function(x, y)
        optimiser.step(grads)
        return losses.mean()

    return step


def eager_step(net: Any, x: np.ndarray, y: np.ndarray) -> Step:
    """Operation by operation."""
    optimiser = optim.SGD(net.named_parameters(), lr=LR)

    def step() -> Any:
        optimiser.zero_grad()
        loss = cross_entropy(net(Tensor(x)), y).mean()
        loss.backward()
        optimiser.step()
        return loss.data

    return step
