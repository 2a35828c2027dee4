"""Models whose answers to an attack are known: linear ones, and networks evaluated one sample at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import brentq, linprog

from armour.contract import LossFn, Model, input_gradient
from armour.model import ModuleModel
from armour.tensor import Tensor, nn


class LinearModel(Model):
    """Logits x @ weights + bias, each sample by itself, so that the batch cannot change a bit of the answer.

    weights: (d, k); bias: (k,).
    """

    can_grad = True
    fingerprint = "linear"

    def __init__(self, weights: np.ndarray, bias: np.ndarray, **options: Any) -> None:
        options.setdefault("input_shape", (len(weights),))
        super().__init__(num_classes=weights.shape[1], **options)
        self.weights, self.bias = weights.astype(np.float64), bias.astype(np.float64)

    def _forward(self, x: np.ndarray) -> np.ndarray:
        rows = [row.reshape(-1).astype(np.float64) @ self.weights + self.bias for row in x]
        return self._check_output(np.stack(rows), len(x))

    def _pullback(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        logits = self._forward(x)
        top = Tensor(logits, requires_grad=True)
        loss = loss_fn(top)
        slopes = input_gradient(loss, top).numpy().astype(np.float64)
        rows = [self.weights @ slope for slope in slopes]
        return loss.numpy(), np.stack(rows).reshape(x.shape).astype(np.float32), logits


class OneByOne(ModuleModel):
    """A network that sees one sample at a time whatever the batch: rounding cannot depend on the batch."""

    def _forward(self, x: np.ndarray) -> np.ndarray:
        return np.concatenate([super(OneByOne, self)._forward(x[i : i + 1]) for i in range(len(x))])

    def _pullback(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        logits = self._forward(x)
        top = Tensor(logits, requires_grad=True)
        loss = loss_fn(top)
        slopes = input_gradient(loss, top).data
        gradient = np.empty_like(x)
        for i in range(len(x)):
            one = slice(i, i + 1)
            gradient[one] = super()._pullback(x[one], lambda z, one=one: (z * slopes[one]).sum(axis=1))[1]
        return loss.numpy(), gradient, logits


def small_network(bounds: tuple[float, float] = (0.0, 1.0), seed: int = 0) -> OneByOne:
    """A network of fixed random weights on (1, 5, 5) inputs, with 4 classes that all occur."""
    rng = np.random.default_rng(seed)
    module = nn.Sequential(
        nn.Flatten(),
        nn.Linear(25, 16, rng=rng),
        nn.Tanh(),
        nn.Linear(16, 12, rng=rng),
        nn.ReLU(),
        nn.Linear(12, 4, rng=rng),
    )
    middle, half = (bounds[0] + bounds[1]) / 2, (bounds[1] - bounds[0]) / 2
    return OneByOne(module, bounds=bounds, input_shape=(1, 5, 5), num_classes=4, mean=middle, std=half)


def inputs(model: Model, n: int, seed: int = 0) -> np.ndarray:
    """n inputs uniform in the model's bounds, a third of their values on a bound."""
    rng = np.random.default_rng(seed)
    low, high = model.bounds
    x = rng.uniform(low, high, (n, *model.input_shape))
    x[rng.random(x.shape) < 0.2] = low
    x[rng.random(x.shape) < 0.15] = high
    return x.astype(np.float32)


def two_classes(d: int = 12, seed: int = 0) -> LinearModel:
    """A linear model of two classes on d inputs, whose margin changes sign near the middle of the bounds."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(d, 2))
    return LinearModel(weights, -weights.sum(axis=0) / 2)


def margin(model: LinearModel, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) logit of y minus the other logit, in float64."""
    z = x.reshape(len(x), -1).astype(np.float64) @ model.weights + model.bias
    rows = np.arange(len(x))
    return np.asarray(z[rows, y] - z[rows, 1 - y])


def slope(model: LinearModel, y: np.ndarray) -> np.ndarray:
    """(n, d) the direction in which the margin of y falls fastest."""
    return np.asarray((model.weights[:, 1 - y] - model.weights[:, y]).T)


def largest_drop(
    slopes: np.ndarray, x: np.ndarray, epsilon: float, norm: str, bounds: tuple[float, float]
) -> np.ndarray:
    """(n,) the most a linear margin can fall within the budget and the bounds, by SciPy's solvers alone."""
    drops = []
    for c, point in zip(slopes, x.reshape(len(x), -1).astype(np.float64), strict=True):
        low, high = bounds[0] - point, bounds[1] - point
        if norm == "l2":
            drops.append(c @ _stretched(c, low, high, epsilon))
            continue
        if norm == "linf":
            low, high = np.maximum(low, -epsilon), np.minimum(high, epsilon)
        d = len(c)  # step = up - down
        limit = ([[1.0] * (2 * d)], [epsilon]) if norm == "l1" else (None, None)
        room = [(0, h) for h in high] + [(0, -v) for v in low]
        drops.append(-linprog(-np.r_[c, -c], *limit, bounds=room).fun)
    return np.array(drops)


def _stretched(c: np.ndarray, low: np.ndarray, high: np.ndarray, epsilon: float) -> np.ndarray:
    """t * c, clipped to the room, with the t at which it is as long as epsilon; found by bracketing."""

    def excess(t: float) -> float:
        return float(np.linalg.norm(np.clip(t * c, low, high))) - epsilon

    t = 1e9 if excess(1e9) <= 0 else brentq(excess, 0, 1e9, xtol=1e-14, rtol=1e-14)
    return np.clip(t * c, low, high)


def several_classes(d: int = 12, k: int = 5, seed: int = 0) -> tuple[LinearModel, np.ndarray, np.ndarray]:
    """An affine model of k classes, 40 inputs far from its bounds, and its answers."""
    rng = np.random.default_rng(seed)
    model = LinearModel(rng.normal(size=(d, k)), rng.normal(size=k), bounds=(-20.0, 20.0))
    x = rng.uniform(-1, 1, (40, d)).astype(np.float32)
    return model, x, model.predict(x)


def nearest_boundary(model: LinearModel, x: np.ndarray, y: np.ndarray, norm: str) -> np.ndarray:
    """(n,) distance to the nearest class but y of an affine model without bounds, in closed form."""
    dual = {"l2": 2, "linf": 1, "l1": np.inf}[norm]
    z = x.astype(np.float64) @ model.weights + model.bias
    nearest = np.full(len(x), np.inf)
    for i, label in enumerate(y):
        for k in set(range(z.shape[1])) - {int(label)}:
            slope = np.linalg.norm(model.weights[:, k] - model.weights[:, label], dual)
            nearest[i] = min(nearest[i], max(z[i, label] - z[i, k], 0) / slope)
    return nearest


def nearest_in_box(model: LinearModel, x: np.ndarray, y: np.ndarray, norm: str) -> np.ndarray:
    """(n,) distance to the other class of a linear model of two classes inside its bounds."""
    gaps, slopes = margin(model, x, y), slope(model, y)

    def excess(epsilon: float, i: int) -> float:
        one = slice(i, i + 1)
        return float(largest_drop(slopes[one], x[one], epsilon, norm, tuple(model.bounds))[0] - gaps[i])

    most = {"l2": x.shape[1] ** 0.5, "linf": 1.0, "l1": x.shape[1]}[norm] * model.bounds.span
    return np.array([brentq(excess, 0, most, args=(i,), xtol=1e-9) for i in range(len(x))])
