"""Fuzzer: guided search for failures of a model beside stacked random search."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from armour import checks
from armour.errors import InvalidArgument
from armour.events import OnEvent
from armour.model import Model
from armour.rng import generator

from .aids import NOTHING, Aids
from .comparing import REPEATS, compare
from .comparison import Comparison
from .config import FuzzConfig
from .kinds import choose
from .lockstep import Lockstep
from .machine import stopping
from .result import FuzzResult
from .stop import EXECUTIONS as EXECUTIONS
from .stop import StopRules

SEEDS = 2**53  # seeds stand in JSON files, whose readers know whole numbers up to here


class Fuzzer:
    """Fuzzes one model from seeds x (n, *shape) with labels y (n,): images (c, h, w), or any other arrays.

    corpus: folder for what is found, made if it is not there; None keeps everything in memory. others: models
    that the configuration's `against` names. source: plain JSON values that say where model and seeds come
    from, stored in the manifest. aids: what is stated of the inputs, such as
    `armour.fuzz.stating.read_aids` reads.
    Raises InvalidArgument for inputs that do not fit the model.
    """

    def __init__(
        self,
        model: Model,
        x: np.ndarray,
        y: np.ndarray,
        corpus: str | os.PathLike[str] | None = None,
        config: FuzzConfig | None = None,
        *,
        others: Mapping[str, Model] | None = None,
        source: Mapping[str, Any] | None = None,
        aids: Aids = NOTHING,
    ) -> None:
        self.model = model
        self.x = model.check_input(x)
        self.y = model.check_labels(y, len(self.x))
        self.corpus = None if corpus is None else Path(corpus)
        self.config = config or FuzzConfig()
        self.kind = choose(model, self.x, self.config.inputs, aids)
        self.others = dict(others or {})
        self.source = dict(source or {})

    def run(
        self,
        executions: int | None = None,
        seconds: float | None = None,
        rng: int | np.random.Generator = 0,
        resume: bool = False,
        on_event: OnEvent = None,
        jobs: int = 1,
        *,
        until_class: int | None = None,
        plateau: int | None = None,
        residual_risk: float | None = None,
    ) -> FuzzResult:
        """Fuzz until `executions` inputs of the guided campaign in all, or for `seconds` of this call.

        The budget of executions counts those before a resume; the baseline runs as many again, and `seconds`
        is for both. until_class: stop once so many failure classes (D2) are found; plateau: once so many
        executions have shown no new one; residual_risk: once the Good-Turing estimate of the probability that
        the next execution shows a new one is below this with 95 % confidence. Whichever comes first counts;
        no rule at all: 20,000 executions. Counts are judged after each round, or where islands meet.
        rng: seed, or a Generator that gives one. resume: go on with the corpus folder (or start it, if it is
        empty), with other rules if you like. jobs: processes that share the islands and baselines, where the
        system can fork and the model is one of armour's on the processor; the result is the same.
        Ctrl-C ends the run after the round at hand, with everything saved. If a remote model stops answering,
        or Ctrl-C comes twice, the run ends at once: the rounds before are saved, and are the error's
        `partial`. The same seed, data, model and
        machine give the same corpus, however often a run was interrupted or killed.
        Raises NothingEvaluated if the model reads no seed correctly, InvalidArgument if the folder is not
        empty (without resume) or belongs to another model, data or configuration, FormatError if it is
        damaged.
        """
        rules = StopRules(
            executions=executions,
            seconds=seconds,
            until_class=until_class,
            plateau=plateau,
            residual_risk=residual_risk,
        )
        checks.count("jobs", jobs)
        seed = _seed(rng)
        with threadpool_limits(1), stopping() as stop:
            return Lockstep(self, seed, resume, on_event).go(rules, stop, jobs)

    def compare(
        self,
        schedules: Sequence[str] | None = None,
        repeats: int = REPEATS,
        executions: int = EXECUTIONS,
        rng: int | np.random.Generator = 0,
        resume: bool = False,
        on_event: OnEvent = None,
        jobs: int = 1,
    ) -> Comparison:
        """Run schedules `repeats` times each, with as many executions, and compare them with stacked random.

        schedules: names, all of them by default; stacked random is always among them. Repeat i of each has
        seed `rng` + i. The corpus folder holds a file for each run as soon as it ends; resume: keep those,
        and make what is missing for the schedules and repeats asked for now. jobs: 2 or more makes so many
        runs at a time in processes of their own, where the system can fork; the counts are the same.
        Ctrl-C gives up the runs at hand and returns what there is.
        Raises NothingEvaluated if the model reads no seed correctly, InvalidArgument for an unknown schedule
        or a folder that is not empty (without resume) or of another comparison, FormatError if it is damaged.
        """
        return compare(self, schedules, repeats, executions, _seed(rng), resume, jobs, on_event)


def _seed(rng: int | np.random.Generator) -> int:
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(0, SEEDS))
    generator(rng)  # raises for what is no seed
    if int(rng) >= SEEDS:
        raise InvalidArgument(f"expected a seed below 2**53, got {rng}")
    return int(rng)
