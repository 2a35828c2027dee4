"""`armour train DATA -o model.ckpt`: a network by name, trained on real data, with its provenance."""

from __future__ import annotations

import platform
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

import armour
from armour import data, training
from armour.averaging import AVERAGES
from armour.cli import train_defense
from armour.cli.options import json_option, output_option, print_json, quiet_option, seed_option
from armour.cli.progress import progress as showing
from armour.data import Dataset
from armour.defenses.training import AdversarialTraining, TrainingResult
from armour.errors import Interrupted, InvalidArgument
from armour.events import OnEvent
from armour.files import check_writable
from armour.formats import check_target
from armour.model import ModuleModel
from armour.rng import generator
from armour.stats import wilson
from armour.tensor import zoo
from armour.tensor.schedules import SCHEDULES
from armour.training import Progress, TrainConfig

_VALIDATION = 0.1


@click.command(epilog=train_defense.evidence_text())
@click.argument("source", metavar="DATA")
@output_option("Checkpoint to write.", required=True)
@click.option("--arch", default="lenet5", show_default=True, help=f"Network: {', '.join(zoo.names())}.")
@click.option(
    "--epochs", type=click.IntRange(min=1), default=None, help="At most so many. Default: by network."
)
@click.option("--batch-size", type=click.IntRange(min=1), default=None, help="Samples a step.  [default: 64]")
@click.option(
    "--lr", type=click.FloatRange(min=0, min_open=True), default=None, help="Peak rate. Default: by network."
)
@click.option(
    "--schedule",
    type=click.Choice(SCHEDULES.names()),
    default=None,
    help="Of the rate.  [default: one-cycle]",
)
@click.option(
    "--average",
    type=click.Choice(AVERAGES),
    default=None,
    help="Keep an average of the weights: over steps (ema) or the last quarter of epochs (swa).",
)
@train_defense.defense_options
@click.option("--resume", is_flag=True, help="Go on with an interrupted run of the same command.")
@seed_option
@json_option
@quiet_option
def train(
    source: str,
    output: Path,
    arch: str,
    epochs: int | None,
    batch_size: int | None,
    lr: float | None,
    schedule: str | None,
    average: str | None,
    defense: str | None,
    settings: tuple[tuple[str, Any], ...],
    static: tuple[Path, ...],
    resume: bool,
    seed: int,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train a network on DATA (digits, mnist, ..., or a file or folder) and write a checkpoint.

    A tenth of the training samples is held out to choose the best epoch and to stop early; the test samples
    are looked at once, at the end. With --defense the network is trained against attacks within --epsilon,
    and the epoch with the best accuracy under a short PGD is kept. Ctrl-C keeps the finished epochs: the same
    command with --resume goes on from there and ends with the same network as if it had not been interrupted.
    """
    check_target(output)
    guard = train_defense.built(defense, settings, static, **options)
    with showing(quiet, as_json) as on_event:
        samples, test = data.load_split(source, on_event=on_event)
        stated = {
            "epochs": epochs,
            "batch_size": batch_size,
            "lr": lr,
            "schedule": schedule,
            "average": average,
        }
        config = training.recipe(arch, guard is not None, **stated)
        model, _ = run(samples, test, arch, config, seed, output, resume, on_event, guard, static)
    result = dict(model.provenance["training"]) | {"output": str(output), "fingerprint": model.fingerprint}
    if as_json:
        print_json(result)
    elif not quiet:
        low, high = result["test_interval"]
        click.echo(
            f"{arch} on {samples.name}: test accuracy {result['test_accuracy']:.2%} "
            f"(n={result['test_samples']:,}, 95 % interval {low:.2%} to {high:.2%}) "
            f"after {result['epochs']} epochs"
        )
        for line in train_defense.lines(result) if guard is not None else ():
            click.echo(line)
        click.echo(f"wrote {output}; next: armour fuzz {shlex.quote(str(output))}")


def run(
    samples: Dataset,
    test: Dataset,
    arch: str,
    config: TrainConfig,
    seed: int,
    output: Path,
    resume: bool,
    on_event: OnEvent,
    defense: AdversarialTraining | None = None,
    static: tuple[Path, ...] = (),
) -> tuple[ModuleModel, int]:
    """Train on samples, by a defense or plainly, measure on test, save; gives the model and its epochs.

    The state of the run lies beside the output until it is written. Raises Interrupted on Ctrl-C.
    """
    state = output.with_name(output.name + ".train")
    check_writable(state)
    if resume and output.exists() and not state.exists():
        raise InvalidArgument(
            f"there is nothing to resume: {output} is there and no {state.name} beside it; "
            "leave --resume out to train anew"
        )
    classes = max(samples.num_classes, test.num_classes)
    if classes < 2:
        raise InvalidArgument(f"expected at least 2 classes to train on, got {classes} in {samples.name}")
    rng = generator(seed)
    shape = samples.x.shape[1:]
    net = zoo.build(arch, shape if len(shape) == 3 else (int(np.prod(shape)), 1, 1), classes, rng)
    fitting, validation = data.split_dataset(samples, _VALIDATION, rng)
    mean, std = training.normalisation(fitting.x)
    fit = training.fit if defense is None else defense.fit
    epochs = fit(
        net,
        fitting,
        validation,
        config,
        rng,
        mean=mean,
        std=std,
        state=state,
        resume=resume,
        on_event=on_event,
    )
    command = _command(samples.name, arch, config, seed, defense, static)
    outcome = _finish(epochs, state, f"{command} -o {shlex.quote(str(output))} --resume")
    progress = outcome.progress if isinstance(outcome, TrainingResult) else outcome
    model = ModuleModel(
        net,
        mean=mean,
        std=std,
        bounds=samples.bounds,
        input_shape=shape,
        num_classes=classes,
        class_names=samples.class_names or test.class_names,
        name=f"{arch}-{Path(samples.name).stem}",
    )
    model.provenance["data"] = {"name": samples.name, "digest": samples.digest, "test_digest": test.digest}
    model.provenance["training"] = (
        {"command": command, "arch": arch, "seed": seed, "config": asdict(config)}
        | {"samples": len(fitting), "validation_samples": len(validation)}
        | {"epochs": progress.done, "best_epoch": progress.best_epoch}
        | {"validation_accuracy": _validation_accuracy(outcome)}
        | _measured(model, test)
        | ({} if defense is None else train_defense.measured(defense, outcome, model, test))
        | {"armour": armour.__version__, "numpy": np.__version__, "python": platform.python_version()}
    )
    armour.save(model, output)
    state.unlink(missing_ok=True)
    return model, progress.done


def _finish(epochs: Any, state: Path, again: str) -> Any:
    """Run the generator of epochs to its end; a Progress, or a TrainingResult of a defense."""
    try:
        while True:
            next(epochs)
    except StopIteration as end:
        return end.value
    except KeyboardInterrupt:
        if not state.exists():
            raise Interrupted(
                "training was interrupted before its first epoch ended; nothing was kept"
            ) from None
        raise Interrupted(
            f"training was interrupted; finished epochs are kept, go on with: {again}"
        ) from None


def _validation_accuracy(outcome: Progress | TrainingResult) -> float:
    """Of the epoch that was kept."""
    return outcome.best.clean if isinstance(outcome, TrainingResult) else outcome.best_accuracy


def _measured(model: ModuleModel, test: Dataset) -> dict[str, Any]:
    """The one look at the test samples."""
    right = int((model.predict(test.x) == test.y).sum())
    return {
        "test_accuracy": right / len(test),
        "test_samples": len(test),
        "test_interval": list(wilson(right, len(test))),
    }


def _command(
    source: str,
    arch: str,
    config: TrainConfig,
    seed: int,
    defense: AdversarialTraining | None,
    static: tuple[Path, ...],
) -> str:
    """The command that trains the same network, without the output's path: equal runs give equal files."""
    words = ["armour", "train", source, "--arch", arch, "--epochs", str(config.epochs)]
    words += ["--batch-size", str(config.batch_size), "--lr", str(config.lr), "--seed", str(seed)]
    words += ["--schedule", config.schedule, "--average", config.average]
    return shlex.join(words + train_defense.words(defense, static))
