"""Small networks for tests of certificates, as models with random weights, and points of their regions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from armour.model import ModuleModel
from armour.tensor import nn
from armour.tensor.core import Tensor

SHAPE = (1, 6, 6)


class Residual(nn.Module):
    """A convolution, a block with batch normalisation around a shortcut, and the mean of the image."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.first = nn.Conv2d(1, 3, 3, padding=1, rng=rng)
        self.relu = nn.ReLU()
        self.inner = nn.Conv2d(3, 3, 3, padding=1, bias=False, rng=rng)
        self.norm = nn.BatchNorm2d(3)
        self.second = nn.ReLU()
        self.down = nn.AvgPool2d(3)
        self.last = nn.Linear(12, 3, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, 6, 6) -> (n, 3)."""
        x = self.relu(self.first(x))
        x = self.second(self.norm(self.inner(x)) + x)
        return self.last(self.down(x).reshape(x.shape[0], 12))


def _dense(rng: np.random.Generator, act: Callable[[], nn.Module] = nn.ReLU) -> nn.Module:
    layers = [nn.Flatten(), nn.Linear(36, 12, rng=rng), act(), nn.Linear(12, 8, rng=rng), act()]
    return nn.Sequential(*layers, nn.Linear(8, 3, rng=rng))


def _conv(rng: np.random.Generator, pool: nn.Module, features: int) -> nn.Module:
    layers = [nn.Conv2d(1, 3, 3, rng=rng), nn.ReLU(), pool, nn.Conv2d(3, 4, 2, rng=rng), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 3, rng=rng))


NETS: dict[str, Callable[[np.random.Generator], nn.Module]] = {
    "dense": _dense,
    "sigmoid": lambda rng: _dense(rng, nn.Sigmoid),
    "tanh": lambda rng: _dense(rng, nn.Tanh),
    "leaky": lambda rng: _dense(rng, nn.LeakyReLU),
    "residual": Residual,
    "pooled": lambda rng: _conv(rng, nn.MaxPool2d(2), 4),
    "overlapping": lambda rng: _conv(rng, nn.MaxPool2d(3, 1, 1), 36),
    "strided": lambda rng: _conv(rng, nn.Conv2d(3, 3, 2, 2, groups=3, rng=rng), 4),
}


def model(name: str, seed: int = 0) -> ModuleModel:
    """A network of NETS with random weights and statistics, and a normalisation."""
    rng = np.random.default_rng(seed)
    module = NETS[name](rng)
    for tensor_name, tensor in module.named_tensors():
        if tensor_name.endswith("running_var"):
            tensor.data = rng.uniform(0.5, 2, tensor.shape).astype(np.float32)
        elif tensor_name.endswith(("bias", "running_mean")):
            tensor.data = rng.normal(0, 0.3, tensor.shape).astype(np.float32)
    return ModuleModel(module, mean=0.4, std=0.7, input_shape=SHAPE, num_classes=3, name=name)


def inputs(n: int, seed: int = 0) -> np.ndarray:
    """(n, *SHAPE) in [0, 1]."""
    return np.random.default_rng(seed).random((n, *SHAPE)).astype(np.float32)


def points(x: np.ndarray, epsilon: float, norm: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, *shape): random points of the region of one sample x; half of them on its border."""
    d = x.size
    if norm == "linf":
        moves = rng.uniform(-1, 1, (n, d))
        moves[::2] = np.sign(moves[::2])
    else:
        moves = rng.normal(size=(n, d)) * rng.random((n, d)) ** 4
        order = 2 if norm == "l2" else 1
        moves /= np.linalg.norm(moves, order, axis=1, keepdims=True)
        moves[1::2] *= rng.random((n // 2, 1))
    return np.clip(x + (epsilon * moves).reshape(n, *x.shape), 0, 1).astype(np.float32)
