"""Training a classifier: deterministic for a seed, and resumed after an interruption to the same bits.

Every epoch draws from generators of its own, keyed by the run's root and the epoch's number. So the state
between two epochs is the weights, the optimiser and the best weights so far (armour/training_state.py); no
random stream needs to be carried over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits

from armour import checks, training_state
from armour.data import Dataset
from armour.errors import InvalidArgument
from armour.events import OnEvent, emit
from armour.rng import generator
from armour.tensor import cross_entropy, optim, schedules
from armour.tensor.module_plans import Logits, ParameterGradients
from armour.tensor.nn import Module
from armour.training_state import Progress as Progress

_CHUNK = 256
# A change to each batch, such as an attack: (x, y, generator of the epoch) -> x.
Transform: TypeAlias = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How a network is trained: AdamW under a one-cycle schedule, on randomly shifted images.

    epochs: at most. batch_size: samples a step. lr: peak of the schedule. weight_decay: of AdamW.
    shift: largest random shift of an image, as a fraction of its side (0: none; 1/14 is 2 pixels of 28).
    patience: share of all epochs that may pass without a better validation accuracy before training stops.
    """

    epochs: int = 16
    batch_size: int = 64
    lr: float = 3e-3
    weight_decay: float = 0.05
    shift: float = 1 / 14
    patience: float = 0.5

    def __post_init__(self) -> None:
        checks.count("epochs", self.epochs)
        checks.count("batch_size", self.batch_size)
        checks.positive("lr", self.lr)
        checks.non_negative("weight_decay", self.weight_decay)
        checks.fraction("shift", self.shift)
        checks.fraction("patience", self.patience)


# Rates and lengths that suit the zoo's networks on a few thousand images.
RECIPES: dict[str, TrainConfig] = {
    "mlp": TrainConfig(epochs=20, lr=2e-3, shift=1 / 28),
    "lenet5": TrainConfig(epochs=20, lr=5e-3, weight_decay=0.2),
    "resnet8": TrainConfig(epochs=10, lr=1e-2),
    "resnet20": TrainConfig(epochs=10, lr=1e-2),
    "vgg-small": TrainConfig(epochs=10, lr=2e-3),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What one epoch came to: mean training loss, validation accuracy, and whether it is the best so far."""

    number: int
    loss: float
    accuracy: float
    best: bool
    seconds: float


def recipe(arch: str, **changes: Any) -> TrainConfig:
    """The configuration for a network of the zoo, with the fields that are not None changed."""
    stated = {key: value for key, value in changes.items() if value is not None}
    return replace(RECIPES.get(arch, TrainConfig()), **stated)


def normalisation(x: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the inputs: one per channel of images, one for all otherwise."""
    axes = (0, 2, 3) if x.ndim == 4 else None
    mean = np.atleast_1d(x.mean(axis=axes, dtype=np.float64))
    std = np.atleast_1d(x.std(axis=axes, dtype=np.float64))
    return tuple(round(float(m), 6) for m in mean), tuple(round(max(float(s), 1e-3), 6) for s in std)


def fit(
    module: Module,
    train: Dataset,
    validation: Dataset,
    config: TrainConfig,
    rng: int | np.random.Generator,
    *,
    mean: tuple[float, ...] = (0.0,),
    std: tuple[float, ...] = (1.0,),
    state: Path | None = None,
    resume: bool = False,
    transform: Transform | None = None,
    on_event: OnEvent = None,
) -> Generator[Epoch, None, Progress]:
    """Train `module` in place, giving an Epoch after each; at the end it holds the best weights.

    The generator's return value is the Progress. rng: decides order, shifts and dropout; two runs with the
    same rng, data and config end with the same bits. mean, std: normalisation in front of the module.
    state: file that holds the run after each epoch, written atomically; with `resume` the run goes on from
    it if it is there. transform: applied to each batch after the shift. Raises InvalidArgument for empty
    data, for a state of another run, and for a run that diverges; CheckpointError for a damaged state.
    """
    if not len(train) or not len(validation):
        raise InvalidArgument(
            f"expected samples to train and to validate on, got {len(train)} and {len(validation)}"
        )
    root = int(generator(rng).integers(0, 2**62))
    run = _Run(module, train, config, root, mean, std, transform, on_event)
    at = Progress(root=root)
    best = module.state_dict()
    identity = training_state.identify(module, train, validation, config, root, (mean, std))
    if resume and state is not None and state.exists():
        at, best = training_state.read(state, identity, module, run.optimiser)
    while not at.finished:
        start = time.monotonic()
        loss = run.epoch(at.done)
        accuracy = run.accuracy(validation)
        # Of equals the later one is kept: its rate was lower.
        better = accuracy >= at.best_accuracy
        at.done += 1
        if better:
            at.best_accuracy, at.best_epoch, best = accuracy, at.done, module.state_dict()
        waited = at.done - at.best_epoch
        at.finished = at.done >= config.epochs or waited > config.patience * config.epochs
        if state is not None:
            training_state.write(state, identity, module, run.optimiser, at, best)
        seconds = time.monotonic() - start
        yield Epoch(number=at.done, loss=loss, accuracy=accuracy, best=better, seconds=seconds)
    module.load_state_dict(best)
    module.eval()
    return at


class _Run:
    """A network being trained: one epoch at a time, on one BLAS thread."""

    def __init__(
        self,
        module: Module,
        train: Dataset,
        config: TrainConfig,
        root: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        transform: Transform | None,
        on_event: OnEvent,
    ) -> None:
        self.module, self.train, self.config, self.root = module, train, config, root
        self.transform, self.on_event = transform, on_event
        self.gradients = ParameterGradients(module, cross_entropy)
        self.logits = Logits(module)
        self.optimiser = optim.AdamW(module.named_parameters(), config.lr, weight_decay=config.weight_decay)
        self.steps = math.ceil(len(train) / config.batch_size)
        self.rate = schedules.one_cycle(config.lr, self.steps * config.epochs)
        shape = (1, -1) + (1,) * (train.x.ndim - 2)
        shift, scale = np.asarray(mean, np.float32), np.asarray(std, np.float32)
        self.scale, self.offset = (1 / scale).reshape(shape), (-shift / scale).reshape(shape)
        self.figures: dict[str, float] = {}

    def epoch(self, number: int) -> float:
        """Epoch `number`, counted from 0; gives the mean loss."""
        config, total = self.config, 0.0
        rng = np.random.default_rng([self.root, number])
        self.module.seed(np.random.default_rng([self.root, number, 1]))
        self.module.train()
        order = rng.permutation(len(self.train))
        # The number of threads would change the last bits of a product; overflow shows in the loss.
        with threadpool_limits(1, user_api="blas"), np.errstate(all="ignore"):
            for i in range(self.steps):
                done = number * self.steps + i
                rows = order[i * config.batch_size : (i + 1) * config.batch_size]
                total += self._step(self.rate(done), self.train.x[rows], self.train.y[rows], rng)
                note = f"epoch {number + 1}/{config.epochs}"
                emit(self.on_event, "train", done + 1, self.steps * config.epochs, note, **self.figures)
        self.optimiser.zero_grad()
        if not math.isfinite(total):
            raise InvalidArgument(
                f"training diverged in epoch {number + 1} (the loss is no finite number); "
                f"use a lower rate than lr={config.lr:g}"
            )
        self.figures = {"loss": total / len(self.train)}
        return total / len(self.train)

    def _step(self, rate: float, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> float:
        x = shifted(x, self.config.shift, self.train.bounds.low, rng)
        if self.transform is not None:
            x = self.transform(x, y, rng)
        self.optimiser.lr = rate
        losses, gradients = self.gradients(x * self.scale + self.offset, y)
        self.optimiser.step(gradients)
        return float(losses.sum(dtype=np.float64))

    def accuracy(self, data: Dataset) -> float:
        """Share of the samples that the network as it is gets right."""
        self.module.eval()
        right = 0
        with threadpool_limits(1, user_api="blas"), np.errstate(all="ignore"):
            for i in range(0, len(data), _CHUNK):
                logits = self.logits(data.x[i : i + _CHUNK] * self.scale + self.offset)
                right += int((logits.argmax(axis=1) == data.y[i : i + _CHUNK]).sum())
        self.figures["validation"] = right / len(data)
        return right / len(data)


def shifted(x: np.ndarray, share: float, fill: float, rng: np.random.Generator) -> np.ndarray:
    """Images (n, c, h, w), each moved by a random whole number of pixels; other inputs as they are.

    share: largest shift as a fraction of the side, rounded down to pixels. fill: value that moves in.
    """
    if x.ndim != 4 or not len(x):
        return x
    n, c, h, w = x.shape
    up, left = int(share * h + 1e-9), int(share * w + 1e-9)
    if not up and not left:
        return x
    padded = np.full((n, c, h + 2 * up, w + 2 * left), fill, x.dtype)
    padded[:, :, up : up + h, left : left + w] = x
    rows = rng.integers(0, 2 * up + 1, size=(n, 1)) + np.arange(h)
    columns = rng.integers(0, 2 * left + 1, size=(n, 1)) + np.arange(w)
    item, channel = np.arange(n)[:, None, None, None], np.arange(c)[None, :, None, None]
    moved: np.ndarray = padded[item, channel, rows[:, None, :, None], columns[:, None, None, :]]
    return moved
