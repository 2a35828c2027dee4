"""Fuzzing speed: what looking at layers costs, and what a campaign costs beside the bare forward passes.

Raw is `model.logits` on as many inputs in the same fixed batches, with captured plans and the same kernels,
on one thread. Three things are set against it: running with layers tapped and reduced to neurons (`tap`);
making valid mutants and running them (`mutants`: draw, mutate, judge validity, tapped forward), which is what
the issue calls mutated to raw; and whole rounds of a campaign (`rounds`), with oracles, coverage, triage and
minimising. Campaigns are warmed up to 20 rounds, about the default budget of executions; the first rounds
find most classes and minimise them, and cost more.

The networks are trained: MNIST digits for LeNet-5 and the MLP, enlarged digits for the CNN of 16 and 32
channels, the subset of CIFAR-10 (in ARMOUR_DATA) for ResNet-8, which is left out without it. MindArmour's
figure is the issue's (6.5 mutants a second, by others on the same LeNet); nothing of it runs here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import trained

from armour.errors import DataError
from armour.fuzz import FuzzConfig, Fuzzer
from armour.fuzz.campaign import Campaign, Setup
from armour.fuzz.setup import prepare
from benchmarks import fuzz_pairs
from benchmarks.fuzz_pairs import Pair
from benchmarks.harness import Candidate
from benchmarks.kernels import within
from benchmarks.rows import Case, Options, Row, judged, timed

NETWORKS = ("cnn-16-32", "lenet5", "mlp", "resnet8")
WARM = 20  # rounds before anything is timed
SEEDS = 500
# (figure a second, whose it is): what an absolute speed is set against
FIGURES = ((2800.0, "2,800 a second"), (6.5, "MindArmour, the issue's figure"))


def run(options: Options) -> Iterator[Row]:
    """Each network by each choice of kernels."""
    for name in NETWORKS:
        for choice in options.kernels:
            try:
                yield from _rows(name, choice, options)
            except DataError as error:
                print(f"skipped: {name}: {error}")
                break


def _rows(name: str, choice: str, options: Options) -> Iterator[Row]:
    n = 1024 if name != "resnet8" else 512
    cases = [
        Case("fuzzing", f"tap, {choice} kernels", name, n, lambda: tapped(name, choice)),
        Case("fuzzing", f"mutants, {choice} kernels", name, n, lambda: mutants(name, choice), inverse=True),
        Case("fuzzing", f"rounds, {choice} kernels", name, n, lambda: rounds(name, choice), inverse=True),
    ]
    for case in cases:
        for row in timed(case, options):
            yield row
            if case is cases[-1]:
                yield from _absolute(row)


def _absolute(row: Row) -> Iterator[Row]:
    """Executions a second of whole rounds, against figures that are no peer's time."""
    speed = row.n / row.ours * 1e3
    for figure, against in FIGURES:
        low, high = (row.ratio and speed / figure * part / row.ratio for part in row.quartiles)
        verdict = judged("fuzzing", row.network, row.n, against, row.kernels, speed / figure)
        yield dataclasses.replace(
            row,
            name="executions a second",
            against=against,
            unit="/s",
            ours=speed,
            peer=figure,
            ratio=speed / figure,
            quartiles=(low, high),
            wall=0.0,
            **({"target": None, "met": None} | verdict),
        )


def tapped(name: str, choice: str) -> list[Candidate]:
    """Forward passes with layers, which must give the same labels."""
    setup, x = prepared(name, choice)
    with within(choice)():
        plain, seen = _raw(setup, x)(), setup.executor.run(x).logits
    if not np.allclose(plain, seen, rtol=1e-4, atol=1e-3):
        raise SystemExit(f"{name}: tapped and plain logits differ by {np.abs(plain - seen).max():.1e}")
    return [
        Candidate("model.logits", _raw(setup, x), around=within(choice)),
        Candidate("tapped", lambda: setup.executor.run(x), choice, True, within(choice)),
    ]


def mutants(name: str, choice: str) -> list[Candidate]:
    """A round's mutants made, judged valid and run, by one campaign's next round again and again."""
    setup, x = prepared(name, choice)
    campaign = warm(name, choice)

    def call() -> None:
        made, _ = campaign._plan(setup.round, setup.round)
        setup.executor.run(made.x)

    return [
        Candidate("raw forwards", _raw(setup, x), around=within(choice)),
        Candidate("mutated and run", call, choice, True, within(choice)),
    ]


def rounds(name: str, choice: str) -> list[Candidate]:
    """A campaign's rounds from the twentieth on, each with everything it brings."""
    setup, x = prepared(name, choice)
    campaign = warm(name, choice)
    return [
        Candidate("raw forwards", _raw(setup, x), around=within(choice)),
        Candidate("campaign.round", campaign.round, choice, True, within(choice)),
    ]


@cache
def prepared(name: str, choice: str) -> tuple[Setup, np.ndarray]:
    """What campaigns on it share, and as many of the roots as a round has mutants."""
    pair = _pair(name)
    fuzzer = Fuzzer(pair.model, pair.x[:SEEDS], pair.y[:SEEDS], config=FuzzConfig(baseline=False))
    with within(choice)():
        setup = prepare(fuzzer, 0)
    return setup, np.ascontiguousarray(setup.roots.x[np.arange(setup.round) % len(setup.roots)])


def warm(name: str, choice: str) -> Campaign:
    """A campaign after its first rounds."""
    campaign = Campaign(prepared(name, choice)[0], "niche", stream=0, shrink=True)
    with within(choice)():
        for _ in range(WARM):
            campaign.round()
    return campaign


def _raw(setup: Setup, x: np.ndarray) -> Callable[[], np.ndarray]:
    model, batch = setup.executor.model, setup.executor.batch
    return lambda: np.concatenate([model.logits(x[i : i + batch]) for i in range(0, len(x), batch)])


@cache
def _pair(name: str) -> Pair:
    if name == "cnn-16-32":
        _, test = trained.digits()
        return Pair(name, trained.network(name), test.x, test.y)
    return fuzz_pairs.pair({"resnet8": "cifar10-resnet8"}.get(name, f"mnist-{name}"))
