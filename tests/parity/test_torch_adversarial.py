"""Losses and weight gradients of adversarial training beside PyTorch's, written by the papers' formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import training_scene as scene

from armour.defenses.training import FGSMRS, MART, TRADES, GradAlign, PGDTraining, TrainingObjective

torch = pytest.importorskip("torch")
F = torch.nn.functional


def peer(weights: dict[str, np.ndarray]) -> Any:
    """The same network in float64."""
    module = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 12), torch.nn.Tanh(), torch.nn.Linear(12, 10)
    ).double()
    module.load_state_dict({name: torch.from_numpy(value).double() for name, value in weights.items()})
    return lambda x: module((x - 0.3) / 0.4), module


def cross_entropy(net: Any, adv: Any, y: Any) -> Any:
    return F.cross_entropy(net(adv), y)


def trades(net: Any, adv: Any, y: Any, x: Any) -> Any:
    log_q, p = F.log_softmax(net(adv), dim=1), F.softmax(net(x), dim=1)
    return F.cross_entropy(net(x), y) + 6 * F.kl_div(log_q, p, reduction="batchmean")


def mart(net: Any, adv: Any, y: Any, x: Any) -> Any:
    p, q = F.softmax(net(adv), dim=1), F.softmax(net(x), dim=1)
    own = torch.nn.functional.one_hot(y, 10).bool()
    boosted = -torch.log(p[own]) - torch.log(1 - p.masked_fill(own, 0).max(dim=1).values)
    divergence = (q * (torch.log(q) - torch.log(p))).sum(dim=1)
    return (boosted + 5 * divergence * (1 - q[own])).mean()


def gradalign(net: Any, adv: Any, y: Any, x: Any, near: Any) -> Any:
    found = []
    for at in (x, near):
        leaf = at.clone().requires_grad_(True)
        loss = F.cross_entropy(net(leaf), y, reduction="sum")
        found.append(torch.autograd.grad(loss, leaf, create_graph=True)[0].flatten(1))
    return F.cross_entropy(net(adv), y) + 0.2 * (1 - F.cosine_similarity(*found)).mean()


CASES: list[tuple[TrainingObjective, Callable[..., Any]]] = [
    (PGDTraining(steps=3), cross_entropy),
    (FGSMRS(), cross_entropy),
    (TRADES(steps=3), trades),
    (MART(steps=3), mart),
    (GradAlign(), gradalign),
]


@pytest.mark.parametrize(("objective", "formula"), CASES, ids=[type(o).__name__ for o, _ in CASES])
def test_loss_and_weight_gradients(objective: TrainingObjective, formula: Callable[..., Any]) -> None:
    net = scene.network(objective, scene.smooth())
    given = scene.batch(32)
    with net.evaluating():
        adv = objective.craft(net, given)
    arrays = objective.inputs(given, adv)
    losses, gradients, _ = net.gradients(*arrays)
    call, module = peer(net.module.state_dict())
    tensors = [torch.from_numpy(np.array(a)) for a in arrays]
    loss = formula(call, *(t.double() if t.is_floating_point() else t for t in tensors))
    loss.backward()
    assert losses.mean() == pytest.approx(loss.item(), rel=1e-5)
    for name, parameter in module.named_parameters():
        theirs = parameter.grad.numpy()
        np.testing.assert_allclose(
            gradients[name], theirs, rtol=2e-3, atol=2e-5 * max(1e-3, np.abs(theirs).max())
        )
