"""What a way of training has of its own: how a batch becomes updates, and how good an epoch was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np

from armour.data import Dataset
from armour.tensor import cross_entropy
from armour.tensor.module_plans import ParameterGradients
from armour.tensor.nn import Module

# A change to each batch, such as noise: (x, y, generator of the epoch) -> x.
Transform: TypeAlias = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
# Losses (n,), and the gradient of their mean for each parameter by its name.
Update: TypeAlias = tuple[np.ndarray, dict[str, np.ndarray]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainee:
    """What is trained: the network and the normalisation in front of it, and the samples it is judged by.

    epochs: at most. root: of all random numbers of the run.
    """

    module: Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    validation: Dataset
    epochs: int
    root: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How good the network is after an epoch: the best score is kept, of equals the later one.

    score: a share. values: figures beside it by name. warning: one line for people, or "". stop: end training
    here.
    """

    score: float
    values: dict[str, float] = field(default_factory=dict)
    warning: str = ""
    stop: bool = False


class Session(Protocol):
    """One run of a method; it may keep what must be stored to go on: `arrays`."""

    def step(self, x: np.ndarray, y: np.ndarray, place: float, rng: np.random.Generator) -> Iterator[Update]:
        """The updates to make for a batch x (n, ...), y (n,), in turn: each is applied before the next.

        place: share of the whole run that is done.
        """

    def judge(self, accuracy: float) -> Judgement:
        """Called once after each epoch, in evaluation mode. accuracy: on the validation samples."""

    def arrays(self) -> dict[str, np.ndarray]:
        """What another session needs to go on to the same bits."""

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from `arrays`; CheckpointError if they cannot be what `arrays` gave."""


class Method(Protocol):
    """A way of training, as settings."""

    def identity(self) -> Any:
        """The settings as plain JSON values: a run is not gone on with by others."""

    def begin(self, trainee: Trainee) -> Session:
        """A new run."""


class Plain:
    """Cross-entropy, on batches that `transform` may change, judged by validation accuracy."""

    def __init__(self, trainee: Trainee, transform: Transform | None = None) -> None:
        self.transform = transform
        self.gradients = ParameterGradients(trainee.module, cross_entropy)
        self.scaled = normaliser(trainee.mean, trainee.std, trainee.validation.x.ndim)

    def step(self, x: np.ndarray, y: np.ndarray, place: float, rng: np.random.Generator) -> Iterator[Update]:
        """One update."""
        if self.transform is not None:
            x = self.transform(x, y, rng)
        yield self.gradients(self.scaled(x), y)

    def judge(self, accuracy: float) -> Judgement:
        """By the accuracy alone."""
        return Judgement(score=accuracy)

    def arrays(self) -> dict[str, np.ndarray]:
        """Nothing."""
        return {}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Nothing to restore."""


def normaliser(
    mean: tuple[float, ...], std: tuple[float, ...], ndim: int
) -> Callable[[np.ndarray], np.ndarray]:
    """x (n, ...) -> (x - mean) / std for arrays with `ndim` axes; mean, std: one number, or one a channel."""
    shape = (1, -1) + (1,) * (ndim - 2)
    shift, width = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    scale, offset = (1 / width).reshape(shape), (-shift / width).reshape(shape)

    def scaled(x: np.ndarray) -> np.ndarray:
        out: np.ndarray = x * scale + offset
        return out

    return scaled
