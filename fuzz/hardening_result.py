"""What hardening came to: the same measures of the old model, the controls and the hardened one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from armour import checks
from armour.errors import InvalidArgument
from armour.model import ModuleModel
from armour.training import TrainConfig

from .result import FuzzResult
from .seed_split import SeedSplit

CLEAN, MUTANTS = "clean", "mutants"
CONTROLS = (CLEAN, MUTANTS)
OLD, HARDENED = "old", "hardened"


@dataclass(frozen=True, slots=True, kw_only=True)
class HardenConfig:
    """Settings of hardening.

    executions: of each fuzzing run. part: share of the seeds on side A. mix: share of failures in what is
    trained on; repeats: how often one failure may be in it, so that few failures make up less. controls:
    trainings that differ from the hardened one only in what stands in place of the failures: "clean", the
    same seeds unchanged, and "mutants", random stacked mutants of the same seeds. train: epochs, rate and so
    on. mutators: a selection, as in FuzzConfig.
    """

    train: TrainConfig
    executions: int = 5_000
    part: float = 0.5
    mix: float = 0.25
    repeats: int = 4
    controls: tuple[str, ...] = CONTROLS
    mutators: str = ""

    def __post_init__(self) -> None:
        checks.count("executions", self.executions)
        checks.count("repeats", self.repeats)
        for name in ("part", "mix"):
            if not 0 < checks.fraction(name, getattr(self, name)) < 1:
                raise InvalidArgument(
                    f"expected {name} between 0 and 1, such as 0.25, got {getattr(self, name)!r}"
                )
        for name in self.controls:
            checks.one_of("controls", name, CONTROLS)
        object.__setattr__(self, "controls", tuple(dict.fromkeys(self.controls)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One model after the same fuzzing of side B.

    executions, failures (D0), classes (D2): of that run. broken: (R,) bool, roots of B that it broke, the
    same roots for every model. again_b: of the old model's failures on B, how many this one fails and how
    many there are; again_a: the same for those of A, which the hardened one was trained on, so that its
    figure is a training error. right: (n,) bool, held-out samples it reads correctly. epochs, best_epoch:
    of its training, 0 for the old model.
    """

    name: str
    fingerprint: str
    executions: int
    failures: int
    classes: int
    broken: np.ndarray
    again_b: tuple[int, int]
    again_a: tuple[int, int]
    right: np.ndarray
    epochs: int = 0
    best_epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardening:
    """The outcome of harden.

    model: the hardened one. models: old, controls, hardened, in that order. split: the seeds' two sides.
    failures_a, classes_a: what was found on A and could be trained on. trained: inputs in training, and of
    these failures (or what a control had instead). validated: the same for the validation. result: of fuzzing
    the hardened model on B. seeds_sha256, training_sha256: of the data. notes: what a reader should know.
    """

    model: ModuleModel
    models: tuple[Measured, ...]
    split: SeedSplit
    failures_a: int
    classes_a: int
    trained: tuple[int, int]
    validated: tuple[int, int]
    result: FuzzResult
    config: HardenConfig
    seed: int
    folder: Path
    parent: str
    corpus: str
    seeds_sha256: str
    training_sha256: str
    notes: tuple[str, ...] = field(default=())
