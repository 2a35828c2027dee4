"""What campaigns on one model share, made from a Fuzzer: roots, validity, profile, sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from armour.events import OnEvent, emit

from .campaign import Setup
from .coverage.measures import Roots as Measured
from .execution import Executor, fitting
from .isolation import executor_for
from .oracles.base import Place
from .oracles.panel import make_panel
from .roots import select
from .sections import Profile
from .slopes_store import with_slopes
from .validity import ValidityModel

if TYPE_CHECKING:
    from .engine import Fuzzer

_ROUND_VALUES, _LEAST_ROUND = 1 << 24, 16  # values in a round of large inputs, and inputs at least


def prepare(fuzzer: Fuzzer, seed: int, on_event: OnEvent = None) -> Setup:
    """Run the seeds once; NothingEvaluated if the model reads none of them correctly."""
    config = fuzzer.config
    emit(on_event, "seeds", 0, len(fuzzer.x), "reading the seeds")
    batch = fitting(config.batch, int(np.prod(fuzzer.x.shape[1:])))
    executor = executor_for(fuzzer.model, batch, config.named)
    try:
        setup = _setup(fuzzer, seed, executor, on_event)
    except BaseException:
        executor.close()
        raise
    emit(on_event, "seeds", len(fuzzer.x), len(fuzzer.x), f"{len(setup.roots)} roots")
    return setup


def _setup(fuzzer: Fuzzer, seed: int, executor: Executor, on_event: OnEvent) -> Setup:
    config, bounds = fuzzer.config, fuzzer.model.bounds
    roots, outcome = select(executor, fuzzer.x, fuzzer.y)
    roots = with_slopes(fuzzer, roots, executor.batch, on_event)
    # From here on what the model raises is a finding; on the seeds it is an error of the set-up.
    executor.guarded = True
    place = Place(model=fuzzer.model, executor=executor, roots=roots, bounds=bounds, others=fuzzer.others)
    return Setup(
        executor=executor,
        roots=roots,
        validity=ValidityModel.fit(fuzzer.x, bounds, fuzzer.kind),
        profile=Profile.fit(outcome.neurons),
        seed=seed,
        round=config.round or _round(fuzzer),
        required=config.required,
        sections=config.sections,
        mutators=config.mutators,
        coverage=config.coverage,
        clean=Measured.of(outcome, executor),
        panel=make_panel(place, config.oracles, config.against, config.relations),
    )


def _round(fuzzer: Fuzzer) -> int:
    """Inputs of a round. A remote model may stop answering in the middle of one, which is then lost."""
    if fuzzer.model.remote:
        return 32
    size = fuzzer.x[0].size
    # Powers of two, so that what a round plans of large inputs stays below 64 MiB.
    fit = 1 << (max(1, _ROUND_VALUES // size).bit_length() - 1)
    return 1024 if size <= 1024 else max(_LEAST_ROUND, min(512, fit))
