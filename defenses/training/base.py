"""What the objectives of adversarial training share: a batch, the network, and a step's frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar

import numpy as np

from armour.contract import Model
from armour.criteria import RELATIVE
from armour.defenses.evidence import Evidence
from armour.distances import Distance, Norm
from armour.errors import CheckpointError
from armour.model import ModuleModel
from armour.objective import Objective
from armour.regions import F32, Region
from armour.rng import Streams
from armour.tensor import Tensor, cross_entropy
from armour.tensor.module_plans import Gradients, ObjectiveGradients
from armour.training_method import Trainee

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Inputs x (n, ...), labels y (n,), the budget, and one random stream for each input.

    share: of the inputs that are perturbed; the rest is trained on as it is.
    """

    x: F32
    y: np.ndarray
    distance: Distance
    epsilon: float
    share: float
    rng: Streams

    def region(self, model: Model, times: float = 1.0) -> Region:
        """Where inputs may be moved: within `times` epsilon, inside the model's bounds."""
        return self.distance.region(self.x, times * self.epsilon, model.bounds)

    def mixed(self, adv: F32) -> F32:
        """`adv`, with the inputs themselves where the share leaves them; order in a batch is random."""
        kept = round(self.share * len(adv))
        if kept < len(adv):
            adv = adv.copy()
            adv[kept:] = self.x[kept:]
        return adv


class Network:
    """A network being trained: as a model for attacks, and its losses with gradients of its weights.

    memory: arrays that an objective keeps from batch to batch; they are stored with the run.
    """

    def __init__(self, trainee: Trainee, objective: TrainingObjective) -> None:
        self.module = trainee.module
        data = trainee.validation
        self.model = ModuleModel(
            trainee.module,
            mean=trainee.mean,
            std=trainee.std,
            bounds=data.bounds,
            input_shape=data.x.shape[1:],
            outputs="logits",
            name="the network being trained",
        )
        self.gradients = ObjectiveGradients(
            trainee.module, partial(objective.loss, self.model.forward), by_input=objective.by_input
        )
        self.memory: dict[str, np.ndarray] = {}

    @contextmanager
    def evaluating(self) -> Iterator[Model]:
        """The network as a model in evaluation mode, as attacks find it; afterwards as it was."""
        training = self.module.training
        self.module.eval()
        try:
            yield self.model
        finally:
            self.module.train(training)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingObjective(ABC):
    """How a batch becomes updates of the weights. Its fields are its settings.

    evidence: how well it holds. norms: of budgets that it knows. usual_share: of each batch that is perturbed
    unless something else is asked for. by_input: it needs the input's gradient of the training loss. draws:
    what it makes depends on random numbers. moves: it moves every input.
    """

    evidence: ClassVar[Evidence]
    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2", "l1")
    usual_share: ClassVar[float] = 1.0
    by_input: ClassVar[bool] = False
    draws: ClassVar[bool] = True
    moves: ClassVar[bool] = True

    @property
    def reach(self) -> float:
        """How far inputs are moved at most, in epsilons."""
        return 1.0

    def settings(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}

    @abstractmethod
    def craft(self, network: Network, batch: Batch) -> F32:
        """Perturbed inputs like batch.x; the network is in evaluation mode, and stays as it is."""

    def loss(self, forward: Forward, *arrays: Tensor) -> Tensor:
        """The losses (n,) whose mean is made small, of what `inputs` gives."""
        adv, y = arrays
        return cross_entropy(forward(adv), y)

    def inputs(self, batch: Batch, adv: F32) -> tuple[np.ndarray, ...]:
        """What the loss takes: perturbed inputs and labels."""
        return adv, batch.y

    def check_memory(self, memory: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> None:
        """CheckpointError unless `memory` is what the objective keeps. shape: of an input."""
        if memory:
            raise CheckpointError("the defense keeps no arrays, and the state has some")

    def updates(self, network: Network, batch: Batch) -> Iterator[Gradients]:
        """The gradients of each update of the weights, in turn: each is applied before the next is made."""
        with network.evaluating():
            adv = batch.mixed(self.craft(network, batch))
        yield network.gradients(*self.inputs(batch, adv))


def climb(
    model: Model, region: Region, start: F32, objective: Objective, *, steps: int, step_size: float
) -> F32:
    """`steps` projected steps up the objective from `start`, all samples to the end.

    Unlike an attack's, a sample does not stop where it is broken: training wants the largest loss. step_size:
    a fraction of epsilon. Gradients are the model's captured plans, without those of parameters.
    """
    point = start
    for _ in range(steps):
        _, gradient, _ = model.gradient(point, objective)
        point = region.step(point, finite(gradient), step_size)
    return point


def worst(network: Network, batch: Batch, *, steps: int, step_size: float, model: Model | None = None) -> F32:
    """PGD up the cross-entropy from random points of the ball. model: whose gradients, if another's."""
    region = batch.region(network.model)
    start = region.start(batch.rng)
    return climb(model or network.model, region, start, away(batch), steps=steps, step_size=step_size)


def away(batch: Batch) -> Objective:
    """The cross-entropy of the labels."""
    return Objective(cross_entropy, batch.y)


def apart(model: Model, batch: Batch) -> Objective:
    """The divergence from the model's answers to the inputs themselves, KL(clean || perturbed)."""
    return Objective(RELATIVE.get("kl"), batch.y, data=(model.logits(batch.x),))


def finite(gradient: F32) -> F32:
    """The gradient with 0 for NaN; the same array if there is none."""
    return gradient if np.isfinite(gradient).all() else np.nan_to_num(gradient)


def plain(value: Any) -> Any:
    """A setting as JSON values: objectives by their settings, models by their fingerprints."""
    if isinstance(value, TrainingObjective):
        return {"objective": type(value).__name__} | value.settings()
    if isinstance(value, Model):
        return getattr(value, "fingerprint", value.name)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
