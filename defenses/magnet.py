"""MagNet's detectors: an autoencoder of clean inputs, and what it makes of others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from armour.bounds import Bounds
from armour.checks import count, one_of, positive
from armour.contract import Model, pulled_back
from armour.data import batches
from armour.rng import Streams, generator
from armour.tensor import nn, optim
from armour.tensor.core import Tensor, no_grad
from armour.tensor.module import frozen

from .comparing import Comparing, tempered
from .detector import Detector, Fitted, Scores, check_fit
from .evidence import DEFENSES, Evidence
from .input import InputDefense, scaled, unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt(InputDefense):
    """Inputs as an autoencoder gives them back; the gradient is exact."""

    images: ClassVar[bool] = False

    network: Any

    def apply(self, x: Tensor, bounds: Bounds, streams: Streams) -> Tensor:
        """As InputDefense.apply; nothing is drawn."""
        with frozen(self.network):
            made: Tensor = self.network(unit(x, bounds).reshape((len(x.data), -1)))
        return scaled(made.reshape(x.shape), bounds)

    def __str__(self) -> str:
        return "an autoencoder"


@DEFENSES.register("detect-magnet")
@dataclass(frozen=True, slots=True, kw_only=True)
class MagNet(Detector):
    """How badly an autoencoder of clean inputs gives x back, or how much that changes the model's answer.

    kind: "error", the mean squared error on a scale from 0 to 1 over the bounds; or "divergence", the
    Jensen-Shannon divergence of the probabilities at `temperature`. hidden: units of the autoencoder's one
    hidden layer. epochs: of its training, by Adam.
    Meng and Chen, 2017, https://arxiv.org/abs/1705.09064.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "broken",
        "Carlini and Wagner, 2017, https://arxiv.org/abs/1711.08478",
        "evaded with little more distortion",
    )

    kind: Literal["error", "divergence"] = "error"
    hidden: int = 64
    temperature: float = 10.0
    epochs: int = 30

    def __post_init__(self) -> None:
        one_of("kind", self.kind, ("error", "divergence"))
        count("hidden", self.hidden)
        positive("temperature", self.temperature)
        count("epochs", self.epochs)

    def fit(self, model: Model, x: np.ndarray, *, rng: int | np.random.Generator = 0) -> Fitted:
        """As Detector.fit: trains the autoencoder on x."""
        x = check_fit(model, x)
        rebuilt = Rebuilt(network=self._trained(unit(Tensor(x), model.bounds).numpy(), generator(rng)))
        if self.kind == "divergence":
            return Comparing(model, [rebuilt], tempered(self.temperature))
        return _Error(model, rebuilt)

    def _trained(self, x: np.ndarray, rng: np.random.Generator) -> nn.Module:
        flat = x.reshape(len(x), -1)
        size = flat.shape[1]
        network = nn.Sequential(
            nn.Linear(size, self.hidden, rng=rng),
            nn.ReLU(),
            nn.Linear(self.hidden, size, rng=rng),
            nn.Sigmoid(),
        )
        optimiser = optim.Adam(network.parameters(), 3e-3)
        for _ in range(self.epochs):
            for part, _ in batches(flat, np.zeros(len(flat), np.int64), 64, rng):
                for parameter in network.parameters():
                    parameter.zero_grad()
                gap = network(Tensor(part)) - part
                (gap * gap).mean().backward()
                optimiser.step()
        return network.eval()


class _Error(Fitted):
    def __init__(self, model: Model, rebuilt: Rebuilt) -> None:
        self.model, self.rebuilt = model, rebuilt

    def _error(self, x: Tensor) -> Tensor:
        none = Streams(np.zeros(len(x.data), np.uint64))
        gap = (x - self.rebuilt.apply(x, self.model.bounds, none)) * (1 / self.model.bounds.span)
        error: Tensor = (gap * gap).reshape((len(x.data), -1)).sum(axis=1) * (1 / math.prod(x.shape[1:]))
        return error

    def _score(self, x: np.ndarray) -> Scores:
        with no_grad():
            return self._error(Tensor(x)).numpy().astype(np.float64)

    def pull(self, x: np.ndarray) -> tuple[Scores, np.ndarray]:
        leaf = Tensor(x, requires_grad=True)
        error = self._error(leaf)
        gradient = pulled_back(error, Tensor(np.ones(len(x), error.dtype)), leaf)
        return error.numpy().astype(np.float64), gradient.numpy()
