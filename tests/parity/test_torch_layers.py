"""Activations, normalisation and pooling are PyTorch's: layers with the same weights, functions at bends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from armour import tensor
from armour.tensor import nn
from tests.parity.torch_layers import same_function, same_layer

SIGNAL, IMAGE, VOLUME = (3, 4, 9), (3, 4, 6, 5), (2, 2, 4, 5, 6)
Pair = tuple[Callable[[], nn.Module], Callable[[], torch.nn.Module], tuple[int, ...]]


class Hardsigmoid(torch.nn.Module):
    """PyTorch's own gradient has a sixth of float32 in it, whatever the dtype."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The definition."""
        return F.relu6(x + 3.0) / 6.0


ACTIVATIONS: dict[str, Pair] = {
    "GELU tanh": (lambda: nn.GELU("tanh"), lambda: torch.nn.GELU("tanh"), IMAGE),
    "Hardtanh": (lambda: nn.Hardtanh(-0.5, 0.8), lambda: torch.nn.Hardtanh(-0.5, 0.8), IMAGE),
    "ReLU6": (nn.ReLU6, torch.nn.ReLU6, IMAGE),
    "Hardsigmoid": (nn.Hardsigmoid, lambda: Hardsigmoid(), IMAGE),
    "Hardswish": (nn.Hardswish, torch.nn.Hardswish, IMAGE),
    "SELU": (nn.SELU, torch.nn.SELU, IMAGE),
    "CELU": (lambda: nn.CELU(0.5), lambda: torch.nn.CELU(0.5), IMAGE),
    "Threshold": (lambda: nn.Threshold(0.2, -1.5), lambda: torch.nn.Threshold(0.2, -1.5), IMAGE),
    "PReLU": (nn.PReLU, torch.nn.PReLU, IMAGE),
    "PReLU channels": (lambda: nn.PReLU(4), lambda: torch.nn.PReLU(4), IMAGE),
    "PReLU rows": (lambda: nn.PReLU(4), lambda: torch.nn.PReLU(4), (3, 4)),
    "Mish": (nn.Mish, torch.nn.Mish, IMAGE),
    "Softsign": (nn.Softsign, torch.nn.Softsign, IMAGE),
    "LogSigmoid": (nn.LogSigmoid, torch.nn.LogSigmoid, IMAGE),
    "GLU": (lambda: nn.GLU(2), lambda: torch.nn.GLU(2), IMAGE),
}
NORMS: dict[str, Pair] = {
    "LayerNorm": (lambda: nn.LayerNorm((6, 5)), lambda: torch.nn.LayerNorm((6, 5)), IMAGE),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), lambda: torch.nn.GroupNorm(2, 4), IMAGE),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(2), lambda: torch.nn.BatchNorm3d(2), VOLUME),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(4), lambda: torch.nn.InstanceNorm1d(4), SIGNAL),
    "InstanceNorm2d": (
        lambda: nn.InstanceNorm2d(4, 1e-3, True),
        lambda: torch.nn.InstanceNorm2d(4, 1e-3, affine=True),
        IMAGE,
    ),
    "InstanceNorm3d": (
        lambda: nn.InstanceNorm3d(2, affine=True),
        lambda: torch.nn.InstanceNorm3d(2, affine=True),
        VOLUME,
    ),
    "RMSNorm": (lambda: nn.RMSNorm((6, 5)), lambda: torch.nn.RMSNorm((6, 5)), IMAGE),
    "RMSNorm eps": (lambda: nn.RMSNorm(5, 0.1), lambda: torch.nn.RMSNorm(5, 0.1), IMAGE),
    "LocalResponseNorm": (
        lambda: nn.LocalResponseNorm(3, 0.5, 0.6, 2.0),
        lambda: torch.nn.LocalResponseNorm(3, 0.5, 0.6, 2.0),
        IMAGE,
    ),
    "LocalResponseNorm even": (
        lambda: nn.LocalResponseNorm(2, 0.5),
        lambda: torch.nn.LocalResponseNorm(2, 0.5),
        SIGNAL,
    ),
}
LAYERS = ACTIVATIONS | NORMS


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, training: bool) -> None:
    make, make_theirs, shape = LAYERS[name]
    x = np.random.default_rng(1).standard_normal(shape) * 2 + 0.3
    same_layer(name, make().train(training), make_theirs().train(training), x)


LATTICE = np.array([-7.0, -6.0, -3.0, -1.0, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0, 7.0])
BENDS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "hardtanh": (tensor.hardtanh, F.hardtanh),
    "relu6": (tensor.relu6, F.relu6),
    "hardsigmoid": (tensor.hardsigmoid, Hardsigmoid()),
    "hardswish": (tensor.hardswish, F.hardswish),
    "threshold": (lambda x: tensor.threshold(x, 0.5, 2.0), lambda x: F.threshold(x, 0.5, 2.0)),
    "selu": (tensor.selu, F.selu),
    "prelu": (
        lambda x: tensor.prelu(x, np.array([0.3])),
        lambda x: F.prelu(x, torch.tensor([0.3], dtype=torch.float64)),
    ),
}


@pytest.mark.parametrize("name", BENDS)
def test_bends(name: str) -> None:
    fn, peer = BENDS[name]
    same_function(f"{name} at bends", fn, peer, [LATTICE])


def test_large_inputs_overflow_nowhere() -> None:
    x = np.array([-800.0, -100.0, -40.0, 40.0, 100.0, 800.0])
    for name in ("mish", "logsigmoid", "softsign", "gelu_tanh"):
        peer = (lambda t: F.gelu(t, approximate="tanh")) if name == "gelu_tanh" else getattr(F, name)
        same_function(f"{name} far out", getattr(tensor, name), peer, [x])
