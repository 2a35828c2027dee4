"""Activations, normalisation and pooling are PyTorch's: layers with the same weights, functions at bends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

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
    "Hardsigmoid": (nn.Hardsigmoid, Hardsigmoid, IMAGE),
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


# -- pooling ----------------

POOLS: dict[str, Pair] = {
    "AvgPool2d counts": (
        lambda: nn.AvgPool2d(3, (2, 3), 1, True, False),
        lambda: torch.nn.AvgPool2d(3, (2, 3), 1, True, False),
        (2, 3, 8, 9),
    ),
    "LPPool1d": (lambda: nn.LPPool1d(2.0, 3, 2, True), lambda: torch.nn.LPPool1d(2.0, 3, 2, True), SIGNAL),
    "LPPool2d": (lambda: nn.LPPool2d(4.0, (2, 3)), lambda: torch.nn.LPPool2d(4.0, (2, 3)), IMAGE),
}
for axes, shape in enumerate((SIGNAL, IMAGE, VOLUME), start=1):
    for out in (1, 2, 3, 4, 7):
        for kind in ("Avg", "Max"):
            name = f"Adaptive{kind}Pool{axes}d"
            POOLS[f"{name}({out})"] = (
                lambda name=name, out=out: getattr(nn, name)(out),
                lambda name=name, out=out: getattr(torch.nn, name)(out),
                shape,
            )  # fmt: skip


@pytest.mark.parametrize("name", POOLS)
def test_pooling_layers(name: str) -> None:
    make, make_theirs, shape = POOLS[name]
    same_layer(name, make(), make_theirs(), np.random.default_rng(1).standard_normal(shape))


@st.composite
def windows(draw: Any) -> tuple[int, tuple[int, ...], dict[str, Any]]:
    """Axes, lengths and settings of a pooling that PyTorch accepts."""
    axes = draw(st.sampled_from([1, 2, 3]))
    kernel = [draw(st.integers(1, 4)) for _ in range(axes)]
    stride = [draw(st.integers(1, 4)) for _ in range(axes)]
    padding = [draw(st.integers(0, k // 2)) for k in kernel]
    least = kernel if axes == 3 else [max(1, k - 2 * p) for k, p in zip(kernel, padding, strict=True)]
    lengths = tuple(n + draw(st.integers(0, 5)) for n in least)  # in 3-D padding may not make up for a length
    settings = {"stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())}
    return axes, lengths, {"kernel": kernel, **settings}


@settings(max_examples=200, deadline=None)
@given(windows(), st.booleans(), st.booleans())
def test_pooling_of_any_window(window: Any, count: bool, ties: bool) -> None:
    axes, lengths, attrs = window
    rng = np.random.default_rng(0)
    shape = (2, 2, *lengths)
    x = rng.integers(0, 3, shape).astype(float) if ties else rng.standard_normal(shape)
    theirs = {"kernel_size": attrs["kernel"]} | {k: v for k, v in attrs.items() if k != "kernel"}
    fn, peer = getattr(tensor, f"max_pool{axes}d"), getattr(F, f"max_pool{axes}d")
    same_function(f"max_pool{axes}d", lambda t: fn(t, **attrs), lambda t: peer(t, **theirs), [x])
    fn, peer = getattr(tensor, f"avg_pool{axes}d"), getattr(F, f"avg_pool{axes}d")
    same_function(
        f"avg_pool{axes}d",
        lambda t: fn(t, **attrs, count_include_pad=count),
        lambda t: peer(t, **theirs, count_include_pad=count),
        [x],
    )


def test_adaptive_maximum_with_ties_and_nan() -> None:
    x = np.random.default_rng(0).integers(0, 3, (2, 2, 7, 5)).astype(float)
    ours, theirs = tensor.adaptive_max_pool2d, F.adaptive_max_pool2d
    same_function("ties", lambda t: ours(t, (3, 4)), lambda t: theirs(t, (3, 4)), [x])
    x[0, 0, 2, 2] = np.nan
    np.testing.assert_array_equal(
        ours(x, (3, 4)).numpy(), F.adaptive_max_pool2d(torch.from_numpy(x), (3, 4)).numpy()
    )
    np.testing.assert_array_equal(
        tensor.global_max_pool1d(x[0]).numpy(), torch.from_numpy(x[0]).amax(2).numpy()
    )
