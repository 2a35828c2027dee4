"""A small network with batches of digits, for tests of adversarial training, and every objective to try."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

import numpy as np
import small_models
from scipy.special import log_softmax, softmax

from armour.data import Dataset
from armour.defenses.training import AdversarialTraining, Batch, Network, TrainingObjective, objectives
from armour.distances import Norm, distance
from armour.rng import per_item
from armour.tensor import nn
from armour.training import Epoch, TrainConfig
from armour.training_method import Trainee

CONFIG = TrainConfig(epochs=3, batch_size=32, lr=0.01, shift=1 / 8)
MEAN, STD = (0.3,), (0.4,)


def digits(n: int = 96, start: int = 0) -> Dataset:
    x, y = small_models.digits(start + n)
    return Dataset(x[start:], y[start:], name="digits")


def convolutional(rng: int = 0) -> nn.Module:
    """All that has a state of its own: running statistics, and dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, rng=rng),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(64, 10, rng=rng + 1),
    )


def smooth(rng: int = 0) -> nn.Module:
    """Twice differentiable everywhere."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12, rng=rng), nn.Tanh(), nn.Linear(12, 10, rng=rng + 1))


def every() -> dict[str, TrainingObjective]:
    """Each registered objective, with settings that are quick."""
    return {name: made(name) for name in objectives()}


def made(name: str) -> TrainingObjective:
    kind = objectives()[name]
    fewer: dict[str, Any] = {"steps": 2, "replays": 2, "draws_each": 3}
    quick = {key: value for key, value in fewer.items() if key in kind.__dataclass_fields__}
    if name == "awp":
        quick["inner"] = made("pgd")
    if name == "ensemble":
        quick["models"] = (network(made("pgd"), smooth()).model,)
    return kind(**quick)


def network(objective: TrainingObjective, module: nn.Module | None = None) -> Network:
    module = convolutional() if module is None else module
    trainee = Trainee(module=module, mean=MEAN, std=STD, validation=digits(40, 96), epochs=3, root=5)
    return Network(trainee, objective)


def batch(
    n: int = 24, *, norm: Norm = "linf", epsilon: float = 0.2, share: float = 1.0, rng: int = 0
) -> Batch:
    data = digits(n)
    return Batch(
        x=data.x,
        y=data.y.astype(np.int64),
        distance=distance(norm),
        epsilon=epsilon,
        share=share,
        rng=per_item(np.random.default_rng(rng), n),
    )


def trained(
    objective: TrainingObjective,
    config: TrainConfig = CONFIG,
    module: nn.Module | None = None,
    stop: int | None = None,
    setting: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[list[Epoch], Any, dict[str, np.ndarray]]:
    """Epochs, the result, and the weights; stop: after so many epochs, as if killed (the result is None)."""
    module = convolutional() if module is None else module
    defense = AdversarialTraining(objective=objective, epsilon=0.1, watch_samples=30, **(setting or {}))
    run = defense.fit(module, digits(), digits(40, 96), config, 7, mean=MEAN, std=STD, **options)
    epochs, result = drained(run, stop)
    return epochs, result, module.state_dict()


def drained(run: Generator[Epoch, None, Any], stop: int | None = None) -> tuple[list[Epoch], Any]:
    """The first `stop` of what the generator gives, or all and its value."""
    if stop is not None:
        found = list(itertools.islice(run, stop))
        run.close()
        return found, None
    epochs = []
    while True:
        try:
            epochs.append(next(run))
        except StopIteration as end:
            return epochs, end.value


def cross_entropy(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return -log_softmax(z, axis=1)[np.arange(len(z)), y]


def kl(p_of: np.ndarray, q_of: np.ndarray) -> np.ndarray:
    p, log_p = softmax(p_of, axis=1), log_softmax(p_of, axis=1)
    return (p * (log_p - log_softmax(q_of, axis=1))).sum(axis=1)


def of(objective: TrainingObjective) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Losses of the compiled step, and logits of clean and perturbed inputs in float64, with labels."""
    net = network(objective, smooth())
    given = batch()
    with net.evaluating():
        adv = objective.craft(net, given)
    losses = net.gradients(*objective.inputs(given, adv)).losses.copy()

    def logits(x: np.ndarray) -> np.ndarray:
        value = (x.reshape(len(x), -1).astype(np.float64) - 0.3) / 0.4
        weights = {k: v.astype(np.float64) for k, v in net.module.state_dict().items()}
        hidden = np.tanh(value @ weights["1.weight"].T + weights["1.bias"])
        return hidden @ weights["3.weight"].T + weights["3.bias"]

    return losses, logits(given.x), logits(adv), given.y
