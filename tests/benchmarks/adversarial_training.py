"""A step of PGD adversarial training, ten steps of the attack and one of AdamW, beside the same in PyTorch.

Ours is what `armour train --defense pgd` does at each batch: AdversarialTraining's session and the optimiser.
Both start each perturbation from uniform noise of their own generator. First, on the same weights and from
the same noise, the attacked inputs are compared, and the loss at them; tests/parity has the gradients.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from armour.data import Dataset
from armour.defenses.training import PGDTraining
from armour.defenses.training.base import Batch, Network
from armour.distances import linf
from armour.rng import per_item
from armour.tensor import optim
from armour.training_method import Trainee
from benchmarks import flops, networks
from benchmarks.harness import Candidate
from benchmarks.kernels import within
from benchmarks.rows import Case, Options, Row, timed

NAME, N = "lenet5", 64
STEPS, EPSILON, STEP_SIZE, LR = 10, 0.3, 0.25, 1e-4
WORK = f"PGD-AT step, {STEPS} attack steps, AdamW"
# Signs of gradients that rounding turns move single values by two step sizes.
ALIKE = 0.98
CLOSE = 2e-2


def run(options: Options) -> Iterator[Row]:
    """The one row of issue 7."""
    net = networks.module(NAME)
    x = networks.batch(NAME, N)[0]
    work = (STEPS + 1) * flops.parameter_gradient(net.eval(), x)
    yield from timed(Case("adversarial_training", WORK, NAME, N, lambda: candidates(options), work), options)


def candidates(options: Options) -> list[Candidate]:
    """PyTorch's loop and ours, after comparing one step."""
    start = networks.module(NAME).train()
    x, y = networks.batch(NAME, N)
    x = np.clip(x, 0, 1)
    noise = per_item(np.random.default_rng(0), N).uniform(x.shape[1:], -EPSILON, EPSILON)
    adv, peer = torch_step(start, x, y)
    wanted, loss = adv(noise)
    found = [Candidate("torch eager, autograd.grad", peer)]
    for choice in options.kernels:
        around = within(choice)
        with around():
            net = copy.deepcopy(start)
            crafted, step = our_step(net, x, y)
            close = np.abs(crafted() - wanted) < 1e-4
            if close.mean() < ALIKE:
                raise AssertionError(f"{choice}: {1 - close.mean():.1%} of the attacked values differ")
            networks.same(f"{choice}: losses", step(), loss, close=CLOSE)
        found.append(Candidate("AdversarialTraining + AdamW", step, choice, True, around))
    return found


def our_step(net: Any, x: np.ndarray, y: np.ndarray) -> tuple[Callable[[], np.ndarray], Callable[[], Any]]:
    """What is crafted, and a step."""
    objective = PGDTraining(steps=STEPS, step_size=STEP_SIZE)
    data = Dataset(x, y, name="batch")
    network = Network(
        Trainee(module=net, mean=(0.0,), std=(1.0,), validation=data, epochs=1, root=0), objective
    )
    optimiser = optim.AdamW(net.named_parameters(), LR, weight_decay=0.0)
    net.train()

    def batch() -> Batch:
        streams = per_item(np.random.default_rng(0), N)
        labels = y.astype(np.int64)
        return Batch(x=x, y=labels, distance=linf, epsilon=EPSILON, share=1.0, rng=streams)

    def crafted() -> np.ndarray:
        with network.evaluating():
            return objective.craft(network, batch())

    def step() -> Any:
        (found,) = (update for update in objective.updates(network, batch()))
        optimiser.step(found.parameters)
        return found.losses

    return crafted, step


def torch_step(start: Any, x: np.ndarray, y: np.ndarray) -> tuple[Callable[..., Any], Callable[[], Any]]:
    """The attack from given noise with the losses (n,) there, and a step with noise of its own."""
    import torch

    net = networks.peer(NAME, start).train().requires_grad_(True)
    images, labels = torch.from_numpy(x.copy()), torch.from_numpy(y.copy())
    loss_function = torch.nn.CrossEntropyLoss()
    optimiser = torch.optim.AdamW(net.parameters(), lr=LR, weight_decay=0.0)

    def attack(noise: Any) -> Any:
        adv = (images + noise).clamp(0, 1)
        for _ in range(STEPS):
            adv.requires_grad_(True)
            (slope,) = torch.autograd.grad(loss_function(net(adv), labels), adv)
            with torch.no_grad():
                adv = adv + STEP_SIZE * EPSILON * slope.sign()
                adv = torch.min(torch.max(adv, images - EPSILON), images + EPSILON).clamp(0, 1)
        return adv.detach()

    def step() -> Any:
        net.eval()
        adv = attack(torch.empty_like(images).uniform_(-EPSILON, EPSILON))
        net.train()
        optimiser.zero_grad()
        loss = loss_function(net(adv), labels)
        loss.backward()
        optimiser.step()
        return loss.detach()

    def from_noise(noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        net.eval()
        found = attack(torch.from_numpy(noise))
        with torch.no_grad():
            losses = torch.nn.functional.cross_entropy(net(found), labels, reduction="none")
        return found.numpy(), losses.numpy()

    return from_noise, step
