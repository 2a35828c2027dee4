"""jvp, hvp, jacobian and hessian against torch.func, on a small network in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from armour import tensor
from armour.tensor import Tensor, hessian, hvp, jacobian, jvp

# PyTorch's own forward mode calls what PyTorch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

RNG = np.random.default_rng(0)
K, W, V = RNG.standard_normal((2, 1, 3, 3)), RNG.standard_normal((5, 18)) / 4, RNG.standard_normal((3, 5))
LABELS = np.array([2, 0])
X, D = RNG.standard_normal((2, 2, 1, 5, 5))


def ours(x: Any) -> Tensor:
    """Logits (2, 3) of a convolution, GELU, a linear layer and tanh."""
    hidden = tensor.gelu(tensor.conv2d(x, K)).reshape((2, 18))
    return tensor.linalg.linear(tensor.tanh(tensor.linalg.linear(hidden, W)), V)


def theirs(x: torch.Tensor) -> torch.Tensor:
    """The same in PyTorch."""
    k, w, v = map(torch.from_numpy, (K, W, V))
    hidden = torch.nn.functional.gelu(torch.nn.functional.conv2d(x, k)).reshape(2, 18)
    return torch.tanh(hidden @ w.T) @ v.T


def our_loss(x: Any) -> Tensor:
    return tensor.cross_entropy(ours(x), LABELS).sum()


def their_loss(x: torch.Tensor) -> torch.Tensor:
    labels = torch.from_numpy(LABELS)
    return torch.nn.functional.cross_entropy(theirs(x), labels, reduction="sum")


def test_jvp() -> None:
    x, d = torch.from_numpy(X), torch.from_numpy(D)
    for mine, other in zip(jvp(ours, X, D), torch.func.jvp(theirs, (x,), (d,)), strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_hvp(seed: int) -> None:
    x, d = np.random.default_rng(seed).standard_normal((2, 2, 1, 5, 5))
    _, other = torch.autograd.functional.hvp(their_loss, torch.from_numpy(x), torch.from_numpy(d))
    np.testing.assert_allclose(hvp(our_loss, x, d).numpy(), other.numpy(), rtol=1e-8, atol=1e-9)


def test_jacobian_and_hessian() -> None:
    x = torch.from_numpy(X)
    np.testing.assert_allclose(
        jacobian(ours)(X).numpy(), torch.func.jacrev(theirs)(x).numpy(), rtol=1e-9, atol=1e-11
    )
    np.testing.assert_allclose(
        hessian(our_loss)(X).numpy(), torch.func.hessian(their_loss)(x).numpy(), rtol=1e-8, atol=1e-10
    )
