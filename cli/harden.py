"""`armour harden MODEL`: retrain with failures of some seeds, and fuzz again from seeds not seen."""

from __future__ import annotations

import shlex
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click

from armour import data as datasets
from armour import formats, training
from armour.cli import harden_text
from armour.cli.options import (
    data_option,
    json_option,
    mutators_option,
    output_option,
    print_json,
    quiet_option,
    samples_option,
    seed_option,
)
from armour.cli.progress import progress
from armour.data import Dataset
from armour.errors import DataError, GateFailed, Interrupted, InvalidArgument
from armour.formats import check_target
from armour.fuzz import Corpus
from armour.fuzz.hardening import harden as run
from armour.fuzz.hardening_result import CONTROLS, HardenConfig
from armour.fuzz.hardening_training import check_trainable
from armour.fuzz.selection import load_named
from armour.model import ModuleModel
from armour.report import Provenance, Report
from armour.report_build import data_info
from armour.report_hardening import gained
from armour.report_sections import DataInfo
from armour.rng import generator
from armour.subset import stratified_order
from armour.training import TrainConfig

PAGE, RESULT = "report.html", "report.json"
# A quarter of the rate that a network was trained with from nothing: its weights are good already.
_GENTLER = 0.25


@click.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="MODEL")
@output_option(
    "Checkpoint to write; steps and report are in a folder of its name. Default: MODEL-hardened.ckpt."
)
@click.option(
    "--corpus",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    default=None,
    help="Take the failures and seeds of this corpus of MODEL instead of fuzzing for them.",
)
@data_option
@click.option(
    "--executions",
    type=click.IntRange(min=1),
    default=5_000,
    show_default=True,
    help="Inputs to run in each fuzzing run.",
)
@samples_option(of="seeds of both sides", least=4)
@click.option("--part", type=float, default=0.5, show_default=True, help="Share of the seeds trained with.")
@click.option("--mix", type=float, default=0.25, show_default=True, help="Share of failures in training.")
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="How often one failure may be in the training data.",
)
@click.option(
    "--control",
    "controls",
    type=click.Choice([*CONTROLS, "none"]),
    multiple=True,
    help="Also train on unchanged seeds (clean), on random mutants (mutants). Repeatable. Default: both.",
)
@click.option(
    "--epochs", type=click.IntRange(min=1), default=None, help="At most so many. Default: by network."
)
@click.option(
    "--lr",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    help="Peak rate. Default: a quarter of the network's own.",
)
@mutators_option("What takes part in fuzzing: +NAME adds a mutator or plug-in, -NAME leaves one out.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run of the same command.")
@click.option(
    "--fail-without-gain", is_flag=True, help="Exit with 1 unless hardening helped beyond its controls."
)
@seed_option
@json_option
@quiet_option
def harden(
    model: Path,
    output: Path | None,
    corpus: Path | None,
    data: str | None,
    executions: int,
    samples: int,
    part: float,
    mix: float,
    repeats: int,
    controls: tuple[str, ...],
    epochs: int | None,
    lr: float | None,
    mutators: str,
    resume: bool,
    fail_without_gain: bool,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Retrain MODEL, a checkpoint, with inputs it fails on, and measure that on seeds it was not trained on.

    The test samples are split by seed into sides A and B. MODEL is fuzzed from A; its failures join the
    training part of the data set, and training goes on from MODEL's weights. Then the old model, the hardened
    one, and controls that were trained as long without failures are fuzzed from B. Ctrl-C keeps what is
    finished; the same command with --resume goes on.
    """
    target = check_target(output or model.with_name(f"{model.stem}-hardened.ckpt"))
    folder = target.with_suffix("") if target.suffix else target.with_name(f"{target.name}-steps")
    load_named(mutators)
    old = formats.load(model)
    check_trainable(old)
    assert isinstance(old, ModuleModel)
    config = HardenConfig(
        train=_recipe(old, epochs, lr),
        executions=executions,
        part=part,
        mix=mix,
        repeats=repeats,
        controls=_controls(controls),
        mutators=mutators,
    )
    given = None if corpus is None else Corpus.read(corpus)
    source = data or old.provenance.get("data", {}).get("name")
    if not source:
        raise InvalidArgument(f"{model} records no data set; state the one to train on with --data")
    words = _words(source if data else None, samples, config, seed, corpus)
    with progress(quiet, as_json) as on_event:
        train, test = datasets.load_split(source, bounds=old.bounds, on_event=on_event)
        train, test = (_fitting(split, old) for split in (train, test))
        # Seeds as `armour fuzz` takes them, but never from the training part.
        seeds = test[stratified_order(test.y, generator(seed))[:samples]]
        try:
            result = run(
                old,
                seeds,
                train,
                test,
                folder,
                config,
                corpus=given,
                rng=seed,
                resume=resume,
                on_event=on_event,
            )
        except Interrupted as error:
            again = shlex.join(["armour", "harden", str(model), *words, "-o", str(target), "--resume"])
            raise Interrupted(
                f"hardening was interrupted; what is finished is kept, go on with: {again}"
            ) from error
    command = shlex.join(["armour", "harden", str(model), *words])
    formats.save(_named(result.model, old, command), target)
    report = Report.from_hardening(
        result,
        training=f"{len(train):,} training samples of {Path(source).name}",
        data=_seeds_info(seeds, given),
        provenance=Provenance(
            command=command,
            seed=seed,
            reproduce=(command, shlex.join(["armour", "corpus", "replay", str(folder / "b-hardened")])),
            created=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        ),
        title=f"Hardening of {old.name}",
    )
    report.save(folder / RESULT)
    report.to_html(folder / PAGE)
    assert report.hardening is not None
    if as_json:
        print_json(harden_text.figures(report.hardening, target, folder, command))
    elif not quiet:
        click.echo(harden_text.summary(report.hardening, old.name, target, folder, command))
    if fail_without_gain and not gained(report.hardening):
        raise GateFailed(f"hardening did not help beyond its controls; see {folder / PAGE}")


def _recipe(model: ModuleModel, epochs: int | None, lr: float | None) -> TrainConfig:
    """The recipe that the checkpoint records, or its network's; gentler, since the weights are good."""
    recorded = model.provenance.get("training")
    recorded = recorded if isinstance(recorded, dict) else {}
    arch = model.provenance.get("arch") or recorded.get("arch")
    base = training.recipe(arch if isinstance(arch, str) else "")
    own = recorded.get("config")
    if isinstance(own, dict):
        known = {field.name for field in fields(TrainConfig)}
        base = replace(base, **{name: value for name, value in own.items() if name in known})
    stated: dict[str, Any] = {"epochs": epochs, "lr": _GENTLER * base.lr if lr is None else lr}
    return replace(base, **{name: value for name, value in stated.items() if value is not None})


def _controls(named: tuple[str, ...]) -> tuple[str, ...]:
    if "none" in named and len(named) > 1:
        raise InvalidArgument("--control none leaves out all controls; name no other with it")
    return () if named == ("none",) else named or CONTROLS


def _fitting(data: Dataset, model: ModuleModel) -> Dataset:
    """The data as the model takes it; DataError if it does not fit."""
    if data.x.ndim == 4 and data.x.shape[1:] == (1, *(model.input_shape or ())):
        data = replace(data, x=data.x[:, 0])
    try:
        model.check_input(data.x[:1])
        model.check_labels(data.y, len(data))
    except InvalidArgument as error:
        raise DataError(f"{data.name} does not fit {model.name}: {error}") from error
    return data


def _seeds_info(seeds: Dataset, corpus: Corpus | None) -> DataInfo:
    if corpus is None:
        return data_info(seeds, "test part, stratified by class; split by seed, fuzzed from side B")
    own = replace(seeds, x=corpus.roots.x, y=corpus.roots.labels)
    return data_info(own, "the corpus's seeds; split by seed, fuzzed from side B")


def _named(model: ModuleModel, old: ModuleModel, command: str) -> ModuleModel:
    """The hardened model as it is handed over."""
    model.name = f"{old.name}-hardened"
    model.provenance["hardening"] = {**model.provenance["hardening"], "command": command}
    return model


def _words(
    source: str | None, samples: int, config: HardenConfig, seed: int, corpus: Path | None
) -> list[str]:
    """The options that make the same again, without the output's path."""
    words = ["--seed", str(seed), "--executions", str(config.executions), "-n", str(samples)]
    words += ["--part", str(config.part), "--mix", str(config.mix), "--repeats", str(config.repeats)]
    words += ["--epochs", str(config.train.epochs), "--lr", str(config.train.lr)]
    for name in config.controls or ("none",):
        words += ["--control", name]
    words += [] if source is None else ["--data", source]
    words += [] if corpus is None else ["--corpus", str(corpus)]
    return words + ([f"--mutators={config.mutators}"] if config.mutators else [])
