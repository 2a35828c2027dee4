"""Adversarial training: an objective, a budget, and what is watched while it runs."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from armour import training
from armour.checks import count, describe, fraction, one_of
from armour.data import Dataset
from armour.defenses.evidence import DEFENSES
from armour.distances import Norm, distance, parse_epsilon
from armour.errors import CheckpointError, InvalidArgument
from armour.events import OnEvent
from armour.rng import per_item
from armour.tensor.nn import Module
from armour.training import Epoch, Progress, TrainConfig
from armour.training_method import Judgement, Trainee, Update

from .base import Batch, Network, TrainingObjective
from .watch import Collapse, Watch, Watched, collapse

_FIELDS = ("clean", "fgsm", "robust")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What a run came to: its progress, what was watched after each epoch, and the collapse if there was one.

    progress.best_accuracy is the best epoch's accuracy under the short PGD, on `watched` samples.
    """

    progress: Progress
    history: tuple[Watched, ...]
    collapse: Collapse | None
    watched: int

    @property
    def best(self) -> Watched:
        """What was watched after the epoch that was kept."""
        return self.history[self.progress.best_epoch - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdversarialTraining:
    """Training against perturbed inputs within a budget; the epoch with the best robust accuracy is kept.

    objective: a name of `training_names()` or an objective with settings of its own. epsilon: the budget in
    input units, a number or text such as "8/255". norm: its norm. share: of each batch that is perturbed;
    None: what is usual for the objective. ramp: share of the epochs in which the budget grows to epsilon.
    watch_steps, watch_samples: of the PGD after each epoch, on the first validation samples. on_collapse: at
    catastrophic overfitting "warn", or "stop" training.

    Raises InvalidArgument for settings that do not fit.
    """

    objective: TrainingObjective | str = "pgd"
    epsilon: float | str
    norm: Norm = "linf"
    share: float | None = None
    ramp: float = 0.4
    watch_steps: int = 10
    watch_samples: int = 256
    on_collapse: Literal["warn", "stop"] = "warn"

    def __post_init__(self) -> None:
        object.__setattr__(self, "objective", _objective(self.objective))
        object.__setattr__(self, "epsilon", parse_epsilon(self.epsilon))
        if not self.budget:
            raise InvalidArgument("expected epsilon above 0 to train against, got 0; train without a defense")
        one_of("norm", self.norm, self.method.norms)
        share = self.method.usual_share if self.share is None else self.share
        object.__setattr__(self, "share", fraction("share", share))
        fraction("ramp", self.ramp)
        count("watch_steps", self.watch_steps)
        count("watch_samples", self.watch_samples)
        one_of("on_collapse", self.on_collapse, ("warn", "stop"))

    @property
    def method(self) -> TrainingObjective:
        """The objective, as an object."""
        assert isinstance(self.objective, TrainingObjective)
        return self.objective

    @property
    def budget(self) -> float:
        """Epsilon, as a number."""
        return float(self.epsilon)

    def fit(
        self,
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
        on_event: OnEvent = None,
    ) -> Generator[Epoch, None, TrainingResult]:
        """Train `module` in place, giving an Epoch after each; the generator's value is the TrainingResult.

        Arguments, determinism and resuming as for armour.training.fit. An Epoch's `values` hold the
        accuracies "robust" and "fgsm" of the watched samples, its `warning` the collapse.
        """
        begun = _Begun(self)
        progress = yield from training.fit(
            module,
            train,
            validation,
            config,
            rng,
            mean=mean,
            std=std,
            state=state,
            resume=resume,
            method=begun,
            on_event=on_event,
        )
        session = begun.session
        assert session is not None
        return TrainingResult(
            progress=progress,
            history=tuple(session.history),
            collapse=collapse(session.history, self.ramp * config.epochs),
            watched=len(session.watch.x),
        )

    def identity(self) -> dict[str, Any]:
        """All settings as plain JSON values."""
        own = {"objective": name_of(self.method), "settings": self.method.settings()}
        rest = ("epsilon", "norm", "share", "ramp", "watch_steps", "watch_samples", "on_collapse")
        return own | {key: getattr(self, key) for key in rest}

    def begin(self, trainee: Trainee) -> Session:
        """As armour.training_method.Method.begin."""
        return Session(self, trainee)


class Session:
    """One run of adversarial training, as armour.training_method.Session asks for."""

    def __init__(self, setting: AdversarialTraining, trainee: Trainee) -> None:
        self.setting, data = setting, trainee.validation
        self.network = Network(trainee, setting.method)
        self.distance = distance(setting.norm)
        n = min(setting.watch_samples, len(data))
        self.watch = Watch(
            data.x[:n], data.y[:n], setting.norm, setting.budget, setting.watch_steps, trainee.root
        )
        self.history: list[Watched] = []
        self.grown = setting.ramp * trainee.epochs

    def step(self, x: np.ndarray, y: np.ndarray, place: float, rng: np.random.Generator) -> Iterator[Update]:
        """The updates for one batch."""
        setting = self.setting
        grown = min(1.0, place / setting.ramp) if setting.ramp else 1.0
        batch = Batch(
            x=x,
            y=np.asarray(y, np.int64),
            distance=self.distance,
            # A budget of 0 leaves nothing to search; the first steps have a thousandth of it.
            epsilon=setting.budget * max(grown, 1e-3),
            share=1.0 if setting.share is None else setting.share,
            rng=per_item(rng, len(x)),
        )
        for losses, gradients, _ in setting.method.updates(self.network, batch):
            yield losses, gradients

    def judge(self, accuracy: float) -> Judgement:
        """By the accuracy under a short PGD."""
        before = collapse(self.history, self.grown)
        now = self.watch.look(self.network.model, accuracy)
        self.history.append(now)
        found = collapse(self.history, self.grown)
        return Judgement(
            score=now.robust,
            values={"robust": now.robust, "fgsm": now.fgsm},
            warning=str(found) if found is not None and before is None else "",
            stop=found is not None and self.setting.on_collapse == "stop",
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """The history, and what the objective keeps."""
        rows = [[getattr(seen, name) for name in _FIELDS] for seen in self.history]
        history = np.array(rows, np.float64).reshape(len(rows), len(_FIELDS))
        return {"history": history} | {f"memory.{k}": v for k, v in self.network.memory.items()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from `arrays`."""
        history = arrays.get("history")
        if history is None or history.ndim != 2 or history.shape[1] != len(_FIELDS):
            raise CheckpointError("the history of the defense is missing or has another shape")
        if history.dtype != np.float64 or not np.isfinite(history).all():
            raise CheckpointError("the history of the defense holds values of another kind")
        self.history = [
            Watched(**dict(zip(_FIELDS, map(float, row), strict=True))) for row in history.tolist()
        ]
        memory = {k.removeprefix("memory."): v.copy() for k, v in arrays.items() if k != "history"}
        self.setting.method.check_memory(memory, self.watch.x.shape[1:])
        self.network.memory = memory


class _Begun:
    """The setting as a method of training that keeps hold of its session."""

    def __init__(self, setting: AdversarialTraining) -> None:
        self.setting = setting
        self.session: Session | None = None

    def identity(self) -> Any:
        return self.setting.identity()

    def begin(self, trainee: Trainee) -> Session:
        self.session = self.setting.begin(trainee)
        return self.session


def objectives() -> dict[str, type[TrainingObjective]]:
    """The registered ways of adversarial training by name."""
    return {
        name: kind
        for name, kind in DEFENSES.items()
        if isinstance(kind, type) and issubclass(kind, TrainingObjective)
    }


def name_of(objective: TrainingObjective) -> str:
    """The name that the objective's class is registered under, or the class's own."""
    names = (name for name, kind in objectives().items() if kind is type(objective))
    return next(names, type(objective).__name__)


def facts(result: TrainingResult) -> dict[str, Any]:
    """A result as plain JSON values."""
    return {
        "history": [asdict(seen) for seen in result.history],
        "watched": result.watched,
        "collapse": None
        if result.collapse is None
        else asdict(result.collapse) | {"text": str(result.collapse)},
    }


def _objective(value: Any) -> TrainingObjective:
    if isinstance(value, TrainingObjective):
        return value
    if not isinstance(value, str):
        raise InvalidArgument(f"expected an objective or its name, got {describe('objective', value)}")
    kind = DEFENSES.get(value)
    if not (isinstance(kind, type) and issubclass(kind, TrainingObjective)):
        raise InvalidArgument(
            f"expected a defense that trains ({', '.join(objectives())}), got {value!r}, which does not"
        )
    made: TrainingObjective = kind()
    return made
