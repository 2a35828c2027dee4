"""Layers, networks in training and optimisers give PyTorch's numbers in float64, for the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from armour.tensor import Tensor, cross_entropy, nn, optim, schedules, zoo

TIGHT: dict[str, float] = {"rtol": 1e-9, "atol": 1e-11}


def copy_into(theirs: torch.nn.Module, ours: nn.Module) -> None:
    """Our weights, as float64, in both; the names must be the same."""
    ours.astype("float64")
    theirs.double()
    state = {name: torch.from_numpy(value) for name, value in ours.state_dict().items()}
    missing = theirs.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys)


def same_state(ours: nn.Module, theirs: torch.nn.Module, **tolerance: float) -> None:
    """Parameters, buffers and gradients agree."""
    named = dict(theirs.named_parameters()) | dict(theirs.named_buffers())
    for name, value in ours.state_dict().items():
        np.testing.assert_allclose(value, named[name].detach().numpy(), err_msg=name, **tolerance)


LAYERS: dict[str, tuple[Callable[[], nn.Module], Callable[[], torch.nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(5, 3), lambda: torch.nn.Linear(5, 3), (4, 5)),
    "conv": (lambda: nn.Conv2d(3, 4, 3), lambda: torch.nn.Conv2d(3, 4, 3), (2, 3, 6, 7)),
    "conv groups": (
        lambda: nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2, bias=False),
        lambda: torch.nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2, bias=False),
        (2, 4, 7, 8),
    ),
    "batch norm": (
        lambda: nn.BatchNorm2d(3, momentum=0.3),
        lambda: torch.nn.BatchNorm2d(3, momentum=0.3),
        (4, 3, 5, 6),
    ),
    "batch norm 1d": (lambda: nn.BatchNorm1d(3), lambda: torch.nn.BatchNorm1d(3), (6, 3)),
    "batch norm 1d, length": (lambda: nn.BatchNorm1d(3), lambda: torch.nn.BatchNorm1d(3), (6, 3, 4)),
    "layer norm": (lambda: nn.LayerNorm((5, 6)), lambda: torch.nn.LayerNorm((5, 6)), (4, 3, 5, 6)),
    "group norm": (lambda: nn.GroupNorm(2, 4), lambda: torch.nn.GroupNorm(2, 4), (3, 4, 5, 6)),
    "max pool": (lambda: nn.MaxPool2d(3, 2, 1), lambda: torch.nn.MaxPool2d(3, 2, 1), (2, 3, 7, 8)),
    "average pool": (lambda: nn.AvgPool2d(3, 2, 1), lambda: torch.nn.AvgPool2d(3, 2, 1), (2, 3, 7, 8)),
    "relu": (nn.ReLU, torch.nn.ReLU, (4, 5)),
    "leaky relu": (lambda: nn.LeakyReLU(0.2), lambda: torch.nn.LeakyReLU(0.2), (4, 5)),
    "elu": (lambda: nn.ELU(1.5), lambda: torch.nn.ELU(1.5), (4, 5)),
    "gelu": (nn.GELU, torch.nn.GELU, (4, 5)),
    "silu": (nn.SiLU, torch.nn.SiLU, (4, 5)),
    "sigmoid": (nn.Sigmoid, torch.nn.Sigmoid, (4, 5)),
    "tanh": (nn.Tanh, torch.nn.Tanh, (4, 5)),
    "softplus": (nn.Softplus, torch.nn.Softplus, (4, 5)),
    "softmax": (lambda: nn.Softmax(1), lambda: torch.nn.Softmax(1), (4, 5, 2)),
    "log softmax": (lambda: nn.LogSoftmax(1), lambda: torch.nn.LogSoftmax(1), (4, 5, 2)),
    "flatten": (nn.Flatten, torch.nn.Flatten, (4, 5, 2)),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, training: bool) -> None:
    make, make_theirs, shape = LAYERS[name]
    ours, theirs = make(), make_theirs()
    rng = np.random.default_rng(0)
    for parameter in ours.parameters():
        parameter.data = rng.standard_normal(parameter.shape)
    copy_into(theirs, ours)
    ours.train(training)
    theirs.train(training)
    for _ in range(3):  # running statistics move each time
        x = rng.standard_normal(shape) * 2 + 0.5
        a, b = Tensor(x, requires_grad=True), torch.from_numpy(x.copy()).requires_grad_(True)
        out, out_b = ours(a), theirs(b)
        np.testing.assert_allclose(out.numpy(), out_b.detach().numpy(), **TIGHT)
        g = rng.standard_normal(out.shape)
        ours.zero_grad()
        theirs.zero_grad()
        out.backward(g)
        out_b.backward(torch.from_numpy(g))
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), **TIGHT)  # type: ignore[union-attr]
        gradients = dict(theirs.named_parameters())
        for key, parameter in ours.named_parameters():
            np.testing.assert_allclose(
                parameter.grad.numpy(), gradients[key].grad.numpy(), err_msg=key, **TIGHT
            )  # type: ignore[union-attr]
        same_state(ours, theirs, **TIGHT)


# -- networks ----------------


class Block(torch.nn.Module):
    """torchvision's BasicBlock."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(out)
        self.conv2 = torch.nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or channels != out:
            projection = torch.nn.Conv2d(channels, out, 1, stride, bias=False)
            self.downsample = torch.nn.Sequential(projection, torch.nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One block."""
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet(torch.nn.Module):
    """The small-image ResNet with torchvision's names."""

    def __init__(self, channels: int, classes: int, blocks: int) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(16)
        for i, (wide, out, stride) in enumerate(((16, 16, 1), (16, 32, 2), (32, 64, 2)), start=1):
            rest = [Block(out, out, 1) for _ in range(blocks - 1)]
            setattr(self, f"layer{i}", torch.nn.Sequential(Block(wide, out, stride), *rest))
        self.fc = torch.nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        x = self.layer3(self.layer2(self.layer1(self.bn1(self.conv1(x)).relu())))
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]


def torch_network(name: str, ours: nn.Module, shape: tuple[int, int, int]) -> torch.nn.Module:
    """The same network in PyTorch: written out for ResNets, layer by layer for sequences."""
    if name.startswith("resnet"):
        return ResNet(shape[0], 10, 1 if name == "resnet8" else 3)
    layers: list[torch.nn.Module] = []
    for layer in ours:  # type: ignore[attr-defined]
        config: dict[str, Any] = layer.config()
        if isinstance(layer, nn.MaxPool2d):
            layers.append(torch.nn.MaxPool2d(2))
        elif isinstance(layer, nn.Flatten):
            layers.append(torch.nn.Flatten())
        else:
            layers.append(getattr(torch.nn, type(layer).__name__)(**config))
    return torch.nn.Sequential(*layers)


OPTIMISERS: dict[str, tuple[Callable[[Any], optim.Optimizer], Callable[[Any], torch.optim.Optimizer]]] = {
    "sgd": (lambda p: optim.SGD(p, 0.05), lambda p: torch.optim.SGD(p, 0.05)),
    "momentum": (
        lambda p: optim.SGD(p, 0.05, 0.9, weight_decay=1e-2),
        lambda p: torch.optim.SGD(p, 0.05, 0.9, weight_decay=1e-2),
    ),
    "nesterov": (
        lambda p: optim.SGD(p, 0.05, 0.9, True, 1e-3),
        lambda p: torch.optim.SGD(p, 0.05, 0.9, nesterov=True, weight_decay=1e-3),
    ),
    "adam": (
        lambda p: optim.Adam(p, 1e-2, (0.8, 0.95), weight_decay=1e-2),
        lambda p: torch.optim.Adam(p, 1e-2, (0.8, 0.95), weight_decay=1e-2),
    ),
    "adamw": (
        lambda p: optim.AdamW(p, 1e-2, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=0.1),
    ),
}


def train_both(name: str, shape: tuple[int, int, int], optimiser: str, steps: int, tolerance: float) -> None:
    ours = zoo.build(name, shape, 10, 3)
    theirs = torch_network(name, ours, shape)
    copy_into(theirs, ours)
    make, make_theirs = OPTIMISERS[optimiser]
    opt, opt_b = make(ours.named_parameters()), make_theirs(theirs.parameters())
    rng = np.random.default_rng(1)
    for i in range(steps):
        x, y = rng.standard_normal((6, *shape)), rng.integers(0, 10, 6)
        opt.lr = opt_b.param_groups[0]["lr"] = 1e-2 / (i + 1)
        ours.zero_grad()
        opt_b.zero_grad()
        loss = cross_entropy(ours(Tensor(x)), y).mean()
        loss_b = torch.nn.functional.cross_entropy(theirs(torch.from_numpy(x)), torch.from_numpy(y))
        loss.backward()
        loss_b.backward()  # type: ignore[no-untyped-call]
        opt.step()
        opt_b.step()
        assert loss.item() == pytest.approx(loss_b.item(), rel=tolerance)
    same_state(ours, theirs, rtol=tolerance, atol=tolerance)
    ours.eval()
    theirs.eval()
    x = rng.standard_normal((3, *shape))
    with torch.no_grad():
        want = theirs(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours(Tensor(x)).numpy(), want, rtol=10 * tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_optimisers(optimiser: str) -> None:
    train_both("lenet5", (1, 8, 8), optimiser, 8, 1e-8)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 12, 13)])
@pytest.mark.parametrize("name", zoo.SMALL)
def test_networks_in_training(name: str, shape: tuple[int, int, int]) -> None:
    train_both(name, shape, "nesterov", 4, 1e-7)


def test_schedules() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    for ours, make in [
        (
            schedules.cosine(0.1, 20, final=0.01),
            lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20, 0.01),
        ),
        (schedules.step(0.1, (4, 9)), lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [4, 9])),
        (
            schedules.cyclic(0.1, 0.5, 8),
            lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.1, 0.5, 4, cycle_momentum=False),
        ),
    ]:
        optimiser = torch.optim.SGD([parameter], 0.1)
        theirs = make(optimiser)
        for i in range(20):
            assert ours(i) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9)
            optimiser.step()
            theirs.step()
