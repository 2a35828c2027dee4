"""Means over space in plans: joined to what comes before and after, and the same numbers as on their own."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
import pytest

from armour.tensor import nn, use_kernels
from armour.tensor.compiled import Compiled
from armour.tensor.core import Tensor, no_grad
from armour.tensor.module import Module
from armour.tensor.watch import capture

FAMILIES = [("numpy",)]
if importlib.util.find_spec("numba") is not None:
    FAMILIES.append(("onednn", "numba"))
families = pytest.mark.parametrize("kernels", FAMILIES, ids="+".join)
Looked = Callable[[Tensor], tuple[Tensor, ...]]


class Block(nn.Module):
    """Two normed convolutions around a shortcut that is normed too."""

    def __init__(self, c: int, o: int, stride: int) -> None:
        self.conv1 = nn.Conv2d(c, o, 3, stride, 1, bias=False, rng=0)
        self.bn1 = nn.BatchNorm2d(o)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(o, o, 3, 1, 1, rng=1)
        self.bn2 = nn.BatchNorm2d(o)
        self.short = nn.Conv2d(c, o, 1, stride, rng=2)
        self.bn3 = nn.BatchNorm2d(o)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, o, ...)."""
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        out: Tensor = self.relu2(y + self.bn3(self.short(x)))
        return out


def _pooling(c: int, window: int, norm: bool = False) -> Module:
    norms = [nn.BatchNorm2d(c)] if norm else []
    return nn.Sequential(nn.Conv2d(2, c, 3, rng=0), *norms, nn.ReLU(), nn.MaxPool2d(window))


NETS: dict[str, Callable[[], Module]] = {
    "pooled": lambda: _pooling(6, 2),
    "pooled wide": lambda: _pooling(16, 2),
    "pooled odd": lambda: _pooling(7, 2),
    "pooled normed": lambda: _pooling(8, 2, norm=True),
    "pooled by three": lambda: _pooling(5, 3),
    "overlapping": lambda: nn.Sequential(nn.Conv2d(2, 6, 3, rng=0), nn.ReLU(), nn.MaxPool2d(3, 2)),
    "residual": lambda: Block(2, 12, 2),
    "residual narrow": lambda: Block(2, 3, 1),
    "no relu": lambda: nn.Sequential(nn.Conv2d(2, 6, 3, rng=0), nn.BatchNorm2d(6), nn.Sigmoid()),
}


def _settled(net: Module) -> Module:
    """With statistics of a batch norm that are not those it starts from."""
    rng = np.random.default_rng(5)
    for name, buffer in net.named_buffers():
        low, high = (0.5, 2.0) if name.endswith("var") else (-0.5, 0.5)
        buffer.data = rng.uniform(low, high, buffer.data.shape).astype(np.float32)
    for parameter in net.parameters():
        parameter.data = rng.normal(0, 0.4, parameter.data.shape).astype(np.float32)
    return net.eval()


def _looking(net: Module) -> Looked:
    def run(x: Tensor) -> tuple[Tensor, ...]:
        with no_grad(), capture(net) as layers:
            out = net(x)
            return out, *(Tensor(layer).mean(axis=(2, 3)) for layer in layers.values())

    return run


@families
@pytest.mark.parametrize("name", NETS)
def test_a_plan_gives_the_means_of_its_layers(name: str, kernels: tuple[str, ...]) -> None:
    net = _settled(NETS[name]())
    x = np.random.default_rng(1).normal(size=(5, 2, 10, 11)).astype(np.float32)
    with no_grad(), capture(net) as layers:
        out = net(Tensor(x)).data
    with use_kernels(*kernels):
        plan = Compiled(_looking(net))
        found, *means = (t.data for t in plan(x))
        again = [t.data for t in plan(x)]
    np.testing.assert_allclose(found, out, atol=1e-5)
    for mean, layer in zip(means, layers.values(), strict=True):
        exact = layer.astype(np.float64).mean(axis=(2, 3))
        np.testing.assert_allclose(mean, exact, atol=3e-6)
    for first, second in zip((found, *means), again, strict=True):
        np.testing.assert_array_equal(first, second)


@families
def test_weights_that_change_are_read_anew(kernels: tuple[str, ...]) -> None:
    net = _settled(Block(2, 8, 1))
    x = np.random.default_rng(1).normal(size=(3, 2, 8, 8)).astype(np.float32)
    with use_kernels(*kernels):
        plan = Compiled(_looking(net))
        plan(x)
        _, *means = plan(x)
        net.bn1.weight.data[:] *= 2
        net.bn2.bias.data[:] += 1
        with no_grad(), capture(net) as layers:
            net(Tensor(x))
        _, *later = (t.data for t in plan(x))
    for mean, layer in zip(later, layers.values(), strict=True):
        np.testing.assert_allclose(mean, layer.mean(axis=(2, 3)), atol=1e-5)
    assert not np.allclose(means[1].data, later[1], atol=1e-3)


@families
@pytest.mark.parametrize("name", ["pooled", "pooled wide", "residual"])
def test_what_is_not_finite_shows_in_its_channel_and_sample(name: str, kernels: tuple[str, ...]) -> None:
    net = _settled(NETS[name]())
    x = np.random.default_rng(1).normal(size=(4, 2, 8, 8)).astype(np.float32)
    with use_kernels(*kernels):
        plan = Compiled(_looking(net))
        with np.errstate(all="ignore"):
            plan(x)
            first = next(iter(net.parameters()))
            first.data[1] = np.nan
            _, *means = (t.data for t in plan(x))
            assert np.isnan(means[0][:, 1]).all() and np.isfinite(np.delete(means[0], 1, axis=1)).all()
            first.data[1] = 0.1
            x[2, 0, 2, 2] = np.nan  # which every convolution sees
            _, *means = (t.data for t in plan(x))
    for mean in means:
        assert np.isnan(mean[2]).any() and np.isfinite(np.delete(mean, 2, axis=0)).all()


def test_layers_that_are_looked_at_are_joined_to_what_comes_after() -> None:
    net = _settled(Block(2, 8, 1))
    x = np.zeros((2, 2, 8, 8), np.float32)
    plan = Compiled(_looking(net)).plan(x)
    names = [step.row.name for step in plan.program.steps]
    assert names == ["conv", "activated"] * 3
    pooling = Compiled(_looking(_settled(_pooling(6, 2)))).plan(x)
    assert [step.row.name for step in pooling.program.steps] == ["conv", "activated_pooled"]


def test_a_shortcut_made_of_a_mean_is_left_alone() -> None:
    """What is added needs the mean, which so cannot be made together with the sum."""
    net = _settled(nn.Sequential(nn.Conv2d(2, 4, 3, rng=0)))

    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        with no_grad():
            y = net(x)
            mean = y.mean(axis=(2, 3))
            raised = mean.reshape((-1, 4, 1, 1)) * Tensor(np.ones((3, 4, 6, 6), np.float32))
            return (y + raised).relu(), mean

    x = np.random.default_rng(1).normal(size=(3, 2, 8, 8)).astype(np.float32)
    expected = [t.data for t in run(Tensor(x))]
    for found, wanted in zip(Compiled(run)(x), expected, strict=True):
        np.testing.assert_allclose(found.data, wanted, atol=1e-5)
