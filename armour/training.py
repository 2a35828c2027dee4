"""Training a classifier: deterministic for a seed, and resumed after an interruption to the same bits.

Every epoch draws from generators of its own, keyed by the run's root and the epoch's number. So the state
between two epochs is the weights, the optimiser and the best weights so far (armour/training_state.py); no
random stream needs to be carried over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from armour import checks, training_state
from armour.averaging import AVERAGES, Average, WeightAverage
from armour.data import Dataset
from armour.errors import CheckpointError, InvalidArgument
from armour.events import OnEvent, emit
from armour.rng import generator
from armour.tensor import optim
from armour.tensor.module_plans import Logits
from armour.tensor.nn import Module
from armour.tensor.schedules import SCHEDULES
from armour.training_method import Judgement, Method, Plain, Session, Trainee, normaliser
from armour.training_method import Transform as Transform
from armour.training_state import Progress as Progress

_CHUNK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How a network is trained: AdamW, on randomly shifted images.

    epochs: at most. batch_size: samples a step. lr: peak of the schedule. weight_decay: of AdamW.
    shift: largest random shift of an image, as a fraction of its side (0: none; 1/14 is 2 pixels of 28).
    patience: share of all epochs that may pass without a better validation score before training stops.
    schedule: of the rate, a name of tensor.schedules. average: of weights, which is then what is measured and
    kept: "none", "ema" or "swa" (armour/averaging.py).
    """

    epochs: int = 16
    batch_size: int = 64
    lr: float = 3e-3
    weight_decay: float = 0.05
    shift: float = 1 / 14
    patience: float = 0.5
    schedule: str = "one-cycle"
    average: Average = "none"

    def __post_init__(self) -> None:
        checks.count("epochs", self.epochs)
        checks.count("batch_size", self.batch_size)
        checks.positive("lr", self.lr)
        checks.non_negative("weight_decay", self.weight_decay)
        checks.fraction("shift", self.shift)
        checks.fraction("patience", self.patience)
        SCHEDULES.get(self.schedule)
        checks.one_of("average", self.average, AVERAGES)


# Rates and lengths that suit the zoo's networks on a few thousand images.
RECIPES: dict[str, TrainConfig] = {
    "mlp": TrainConfig(epochs=20, lr=2e-3, shift=1 / 28),
    "lenet5": TrainConfig(epochs=20, lr=5e-3, weight_decay=0.2),
    "resnet8": TrainConfig(epochs=10, lr=1e-2),
    "resnet20": TrainConfig(epochs=10, lr=1e-2),
    "vgg-small": TrainConfig(epochs=10, lr=2e-3),
}
# What differs under adversarial training; chosen on validation samples of MNIST, lenet5 at linf 0.3.
_DEFENDED: dict[str, Any] = {"epochs": 20, "shift": 0.0, "weight_decay": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What one epoch came to: mean training loss, validation accuracy, and whether it is the best so far.

    values: what the training method measured besides, by name. warning: what people should be told, or "".
    """

    number: int
    loss: float
    accuracy: float
    best: bool
    seconds: float
    values: dict[str, float] = field(default_factory=dict)
    warning: str = ""


def recipe(arch: str, defended: bool = False, **changes: Any) -> TrainConfig:
    """The configuration for a network of the zoo, with the fields that are not None changed.

    defended: for adversarial training, which has trouble enough to fit: without decay and shifts.
    """
    stated = {key: value for key, value in changes.items() if value is not None}
    usual = RECIPES.get(arch, TrainConfig())
    if defended:
        usual = replace(usual, **_DEFENDED)
    return replace(usual, **stated)


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
    method: Method | None = None,
    on_event: OnEvent = None,
) -> Generator[Epoch, None, Progress]:
    """Train `module` in place, giving an Epoch after each; at the end it holds the best weights.

    The generator's return value is the Progress. rng: decides order, shifts and dropout; two runs with the
    same rng, data and config end with the same bits. mean, std: normalisation in front of the module.
    state: file that holds the run after each epoch, written atomically; with `resume` the run goes on from
    it if it is there. transform: applied to each batch after the shift. method: another way of training than
    cross-entropy (then there is no transform), and of choosing the best epoch. Raises InvalidArgument for
    empty data, for a state of another run, and for a run that diverges; CheckpointError for a damaged state.
    """
    if not len(train) or not len(validation):
        raise InvalidArgument(
            f"expected samples to train and to validate on, got {len(train)} and {len(validation)}"
        )
    if method is not None and transform is not None:
        raise InvalidArgument("expected a transform or a method, got both; leave one of them out")
    root = int(generator(rng).integers(0, 2**62))
    trainee = Trainee(
        module=module, mean=mean, std=std, validation=validation, epochs=config.epochs, root=root
    )
    session = Plain(trainee, transform) if method is None else method.begin(trainee)
    run = _Run(trainee, train, config, session, on_event)
    at = Progress(root=root)
    best = module.state_dict()
    identity = training_state.identify(module, train, validation, config, root, (mean, std))
    identity["method"] = None if method is None else method.identity()
    if resume and state is not None and state.exists():
        at, best, more = training_state.read(state, identity, module, run.optimiser)
        run.restore(more, state)
    while not at.finished:
        start = time.monotonic()
        loss = run.epoch(at.done)
        at.done += 1
        with run.average.inside():
            accuracy, found = run.judged()
            # Of equals the later one is kept: its rate was lower.
            better = found.score >= at.best_accuracy
            if better:
                at.best_accuracy, at.best_epoch, best = found.score, at.done, module.state_dict()
        waited = at.done - at.best_epoch
        at.finished = at.done >= config.epochs or waited > config.patience * config.epochs or found.stop
        if state is not None:
            training_state.write(state, identity, module, run.optimiser, at, best, run.arrays())
        yield Epoch(
            number=at.done,
            loss=loss,
            accuracy=accuracy,
            best=better,
            seconds=time.monotonic() - start,
            values=found.values,
            warning=found.warning,
        )
    module.load_state_dict(best)
    module.eval()
    return at


class _Run:
    """A network being trained: one epoch at a time, on one BLAS thread."""

    def __init__(
        self, trainee: Trainee, train: Dataset, config: TrainConfig, session: Session, on_event: OnEvent
    ) -> None:
        self.trainee, self.train, self.config = trainee, train, config
        self.session, self.on_event = session, on_event
        module = trainee.module
        self.logits = Logits(module)
        self.optimiser = optim.AdamW(module.named_parameters(), config.lr, weight_decay=config.weight_decay)
        self.average = WeightAverage(module, config.average, config.epochs)
        self.steps = math.ceil(len(train) / config.batch_size)
        self.rate = SCHEDULES.get(config.schedule)(config.lr, self.steps * config.epochs)
        self.scaled = normaliser(trainee.mean, trainee.std, train.x.ndim)
        self.figures: dict[str, float] = {}

    def epoch(self, number: int) -> float:
        """Epoch `number`, counted from 0; gives the mean loss."""
        config, total, seen = self.config, 0.0, 0
        rng = np.random.default_rng([self.trainee.root, number])
        self.trainee.module.seed(np.random.default_rng([self.trainee.root, number, 1]))
        self.trainee.module.train()
        order, all_steps = rng.permutation(len(self.train)), self.steps * config.epochs
        # The number of threads would change the last bits of a product; overflow shows in the loss.
        with threadpool_limits(1, user_api="blas"), np.errstate(all="ignore"):
            for i in range(self.steps):
                done = number * self.steps + i
                rows = order[i * config.batch_size : (i + 1) * config.batch_size]
                self.optimiser.lr = self.rate(done)
                x = shifted(self.train.x[rows], config.shift, self.train.bounds.low, rng)
                for losses, gradients in self.session.step(x, self.train.y[rows], done / all_steps, rng):
                    self.optimiser.step(gradients)
                    self.average.after_step()
                    total, seen = total + float(losses.sum(dtype=np.float64)), seen + len(losses)
                note = f"epoch {number + 1}/{config.epochs}"
                emit(self.on_event, "train", done + 1, all_steps, note, **self.figures)
        self.optimiser.zero_grad()
        self.average.after_epoch(number + 1)
        if not math.isfinite(total):
            raise InvalidArgument(
                f"training diverged in epoch {number + 1} (the loss is no finite number); "
                f"use a lower rate than lr={config.lr:g}"
            )
        self.figures = {"loss": total / seen}
        return total / seen

    def judged(self) -> tuple[float, Judgement]:
        """The validation accuracy of the network as it is, and what the method says of it."""
        self.trainee.module.eval()
        data, right = self.trainee.validation, 0
        with threadpool_limits(1, user_api="blas"), np.errstate(all="ignore"):
            for i in range(0, len(data), _CHUNK):
                logits = self.logits(self.scaled(data.x[i : i + _CHUNK]))
                right += int((logits.argmax(axis=1) == data.y[i : i + _CHUNK]).sum())
            accuracy = right / len(data)
            found = self.session.judge(accuracy)
        self.figures |= {"validation": accuracy} | found.values
        return accuracy, found

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """What the state holds besides weights and optimiser."""
        return {"method": self.session.arrays(), "average": self.average.arrays()}

    def restore(self, arrays: dict[str, dict[str, np.ndarray]], path: Path) -> None:
        """Go on from `arrays`, which are those of the file `path`."""
        try:
            self.session.restore(arrays["method"])
            self.average.restore(arrays["average"])
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}; {training_state.ADVICE}") from error


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
