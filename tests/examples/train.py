"""A few epochs of Adam on any loss of a network's answers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from armour.tensor import Tensor, nn, optim

MEAN, STD = 0.4, 0.25  # of the pictures: the network sees (x - MEAN) / STD


def fit(
    net: nn.Module,
    x: np.ndarray,
    targets: np.ndarray,
    loss: Callable[[Tensor, np.ndarray], Tensor],
    epochs: int,
    rate: float = 1e-2,
) -> None:
    """Train in batches of 32, and leave the network in evaluation mode."""
    optimiser = optim.Adam(net.parameters(), rate)
    rng = np.random.default_rng(0)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for first in range(0, len(x), 32):
            rows = order[first : first + 32]
            for parameter in net.parameters():
                parameter.zero_grad()
            loss(net(Tensor((x[rows] - MEAN) / STD)), targets[rows]).mean().backward()
            optimiser.step()
    net.eval()
