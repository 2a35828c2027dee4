"""Networks trained in seconds on scikit-learn's digits, enlarged to 28 x 28."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from armour import attacks, data
from armour.model import ModuleModel
from armour.tensor import Tensor, cross_entropy, nn, optim, zoo


@lru_cache(maxsize=1)
def digits() -> tuple[data.Dataset, data.Dataset]:
    """Training and test digits as (n, 1, 28, 28): each pixel three times, and a margin of two."""

    def enlarge(part: data.Dataset) -> data.Dataset:
        x = part.x.repeat(3, axis=2).repeat(3, axis=3)
        return data.Dataset(np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2))), part.y, part.bounds, "digits28")

    train, test = data.load_split("digits")
    return enlarge(train), enlarge(test)


@lru_cache(maxsize=8)
def network(name: str, epsilon: float = 0.0, epochs: int = 5) -> ModuleModel:
    """A zoo network, or cnn-16-32, on these digits; with an epsilon, trained on R+FGSM inputs of that linf
    budget.
    """
    train, _ = digits()
    module = _cnn() if name == "cnn-16-32" else zoo.build(name, (1, 28, 28), 10, rng=0)
    model = ModuleModel(module, input_shape=(1, 28, 28), num_classes=10, name=name)
    optimiser = optim.Adam(module.parameters(), 2e-3)
    rng = np.random.default_rng(0)
    for _ in range(epochs):
        for x, y in data.batches(train.x, train.y, 64, rng):
            if epsilon:
                x = attacks.RFGSM().attack(model, x, y, epsilon, rng=rng).adv[0]
            module.train()
            for parameter in module.parameters():
                parameter.zero_grad()
            cross_entropy(module(Tensor(x)), y).mean().backward()
            optimiser.step()
            module.eval()
    return model


def _cnn() -> nn.Module:
    """3x3 convolutions to 16 and 32 channels, each with ReLU and max pooling, then the classes."""
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, rng=rng), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, rng=rng), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 5 * 5, 10, rng=rng),
    )  # fmt: skip
