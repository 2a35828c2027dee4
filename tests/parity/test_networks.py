"""The zoo's networks give PyTorch's outputs and input gradients, for the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks import networks

CASES = [(name, n) for name in sorted(networks.SHAPES) for n in (1, 7)]


@pytest.mark.parametrize(("name", "n"), CASES)
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_outputs_and_input_gradients(name: str, n: int, loss: str) -> None:
    ours, theirs = networks.pair(name)
    rng = np.random.default_rng(5)
    x = rng.random((n, *networks.SHAPES[name]), dtype=np.float32)
    # Values on the bounds and equal neighbours: ties in pooling and in relu.
    x[:, :, :4, :4] = 0
    y = rng.integers(0, networks.CLASSES, n)
    leaf = torch.from_numpy(x.copy()).requires_grad_(True)
    logits = theirs(leaf)
    labels = torch.from_numpy(y)
    if loss == "cross_entropy":
        values = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    else:
        own = logits.gather(1, labels[:, None])[:, 0]
        others = logits.scatter(1, labels[:, None], -torch.inf).max(1).values
        values = others - own
    (gradient,) = torch.autograd.grad(values.sum(), leaf)
    mine, my_gradient = ours.loss_gradient(x, y, loss=loss)  # type: ignore[arg-type]
    large = float(logits.detach().abs().max())
    atol = max(1e-5, 1e-6 * large)
    np.testing.assert_allclose(ours.logits(x), logits.detach().numpy(), rtol=1e-4, atol=atol)
    np.testing.assert_allclose(mine, values.detach().numpy(), rtol=1e-4, atol=1e-5)
    scale = float(gradient.abs().max())
    np.testing.assert_allclose(my_gradient, gradient.numpy(), rtol=1e-3, atol=2e-5 * scale)
