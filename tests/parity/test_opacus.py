"""Per-sample gradients, their norms and clipped sums against Opacus's, on the same weights in float64."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from armour.tensor import clipped_gradient, cross_entropy, module_sample_grads, nn, zoo

opacus = pytest.importorskip("opacus", reason="Opacus is not installed here")

MAX = 1e-10
CLASSES = 5


def head(features: int) -> tuple[nn.Module, torch.nn.Module]:
    return nn.Linear(features, CLASSES), torch.nn.Linear(features, CLASSES)


def conv(*args: Any, size: int, **settings: Any) -> tuple[nn.Module, torch.nn.Module]:
    """A convolution, tanh and a linear layer on what is left of the image."""
    ours, theirs = nn.Conv2d(*args, **settings), torch.nn.Conv2d(*args, **settings)
    last, their_last = head(size)
    return (
        nn.Sequential(ours, nn.Tanh(), nn.Flatten(), last),
        torch.nn.Sequential(theirs, torch.nn.Tanh(), torch.nn.Flatten(), their_last),
    )


def normed(layer: nn.Module, theirs: torch.nn.Module, size: int) -> tuple[nn.Module, torch.nn.Module]:
    last, their_last = head(size)
    return (
        nn.Sequential(layer, nn.Tanh(), nn.Flatten(), last),
        torch.nn.Sequential(theirs, torch.nn.Tanh(), torch.nn.Flatten(), their_last),
    )


def sequence() -> tuple[nn.Module, torch.nn.Module]:
    last, their_last = head(6 * 7)
    return (
        nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Flatten(), last),
        torch.nn.Sequential(torch.nn.Linear(4, 7), torch.nn.Tanh(), torch.nn.Flatten(), their_last),
    )


def network(name: str) -> tuple[nn.Module, torch.nn.Module]:
    ours = zoo.build(name, (1, 16, 16), CLASSES)
    layers: list[torch.nn.Module] = []
    for layer in ours:  # type: ignore[attr-defined]
        kind = type(layer).__name__
        layers.append(
            torch.nn.MaxPool2d(2) if kind == "MaxPool2d"
            else torch.nn.Flatten() if kind == "Flatten"
            else getattr(torch.nn, kind)(**layer.config())
        )  # fmt: skip
    return ours, torch.nn.Sequential(*layers)


CASES: dict[str, tuple[Callable[[], tuple[nn.Module, torch.nn.Module]], tuple[int, ...]]] = {
    "linear": (lambda: head(4), (4,)),
    "linear, sequence": (sequence, (6, 4)),
    "conv": (lambda: conv(3, 4, 3, size=4 * 4 * 5), (3, 6, 7)),
    "conv, stride and padding": (lambda: conv(3, 4, 3, 2, 1, size=4 * 3 * 4), (3, 6, 7)),
    "conv, dilation": (lambda: conv(3, 4, 3, dilation=2, size=4 * 2 * 3), (3, 6, 7)),
    "conv, groups": (lambda: conv(4, 6, 3, groups=2, size=6 * 4 * 5), (4, 6, 7)),
    "conv, depthwise": (lambda: conv(4, 8, 3, groups=4, size=8 * 4 * 5), (4, 6, 7)),
    "conv, many channels": (lambda: conv(12, 24, 3, size=24 * 4), (12, 4, 4)),
    "conv, no bias": (lambda: conv(3, 4, (3, 2), (2, 1), (1, 0), bias=False, size=4 * 3 * 6), (3, 6, 7)),
    "layer norm": (lambda: normed(nn.LayerNorm((3, 4)), torch.nn.LayerNorm((3, 4)), 24), (2, 3, 4)),
    "group norm": (lambda: normed(nn.GroupNorm(2, 4), torch.nn.GroupNorm(2, 4), 48), (4, 3, 4)),
    "instance norm": (
        lambda: normed(nn.InstanceNorm2d(4, affine=True), torch.nn.InstanceNorm2d(4, affine=True), 48),
        (4, 3, 4),
    ),
    "conv 1d": (lambda: normed(nn.Conv1d(3, 4, 3, 2, 1), torch.nn.Conv1d(3, 4, 3, 2, 1), 16), (3, 7)),
    "conv 3d": (
        lambda: normed(nn.Conv3d(2, 4, 2, (2, 1, 1)), torch.nn.Conv3d(2, 4, 2, (2, 1, 1)), 4 * 2 * 3 * 3),
        (2, 4, 4, 4),
    ),
    "embedding": (lambda: normed(nn.Embedding(9, 4), torch.nn.Embedding(9, 4), 24), (6,)),
    "embedding, few numbers": (lambda: normed(nn.Embedding(3, 2), torch.nn.Embedding(3, 2), 20), (10,)),
    "mlp": (lambda: network("mlp"), (1, 16, 16)),
    "lenet5": (lambda: network("lenet5"), (1, 16, 16)),
}


@pytest.mark.parametrize("ghost", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_per_sample_gradients(name: str, ghost: bool) -> None:
    make, shape = CASES[name]
    ours, theirs = make()
    rng = np.random.default_rng(0)
    for p in ours.parameters():
        p.data = rng.standard_normal(p.shape) / max(1.0, float(np.prod(p.shape[1:]))) ** 0.5
    theirs.double().load_state_dict({key: torch.from_numpy(v) for key, v in ours.state_dict().items()})
    x, y = rng.standard_normal((7, *shape)), rng.integers(0, CLASSES, 7)
    if name.startswith("embedding"):
        x = rng.integers(0, ours[0].num_embeddings, (7, *shape))  # type: ignore[index]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Opacus registers hooks that PyTorch warns of
        wrapped = opacus.GradSampleModule(theirs, loss_reduction="sum")
        loss = torch.nn.functional.cross_entropy(
            wrapped(torch.from_numpy(x)), torch.from_numpy(y), reduction="sum"
        )
        loss.backward()
    expected = {key: p.grad_sample.numpy() for key, p in theirs.named_parameters()}  # type: ignore[attr-defined]
    got = module_sample_grads(ours, cross_entropy, x, y)
    assert list(got) == list(expected)
    for key, g in expected.items():
        assert np.abs(got[key].numpy() - g).max() <= MAX, key
    norms = np.sqrt(sum((g**2).reshape((7, -1)).sum(axis=1) for g in expected.values()))
    bound = float(np.median(norms))
    total, got_norms = clipped_gradient(ours, cross_entropy, x, y, bound, ghost=ghost)
    assert np.abs(got_norms.numpy() - norms).max() <= MAX
    factors = np.minimum(1, bound / norms)
    for key, g in expected.items():
        assert np.abs(total[key].numpy() - np.tensordot(factors, g, 1)).max() <= MAX, key
