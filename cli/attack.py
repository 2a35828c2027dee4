"""`armour attack MODEL`: one attack on a model, as a table or JSON, and its inputs as an .npz file."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import numpy as np

from armour import attacks
from armour.attacks import Attack, AttackResult, FixedBudgetAttack
from armour.cli.attack_options import SettingType, known_settings, merged, read_mask, show_list, understood
from armour.cli.defend_options import defend_option, defended, evidence
from armour.cli.model_options import load_model, model_options
from armour.cli.options import (
    EPSILON,
    data_option,
    device_option,
    json_option,
    output_option,
    print_json,
    quiet_option,
    samples_option,
    seed_option,
)
from armour.cli.progress import progress as showing
from armour.cli.remote import MODEL, remote_options
from armour.cli.samples import choose
from armour.contract import Model
from armour.data import Dataset
from armour.errors import ArmourError, InvalidArgument
from armour.files import atomic_write, check_writable
from armour.stats import wilson


@click.command()
@click.argument("model", type=MODEL, metavar="MODEL|URL")
@click.option(
    "--attack",
    "name",
    default="pgd",
    show_default=True,
    metavar="NAME",
    help="Name of an attack: pgd, apgd-ce, auto-attack, ...; without gradients: square, hop-skip-jump, ... "
    "--list shows all.",
)
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_list,
    help="Show all attacks with their norms, what they need, and their papers, and end.",
)
@click.option(
    "--epsilon",
    "epsilons",
    type=EPSILON,
    multiple=True,
    metavar="BUDGET",
    help="Largest distance from the input, in input units: 0.1 or 8/255. May be given several times.",
)
@click.option(
    "--norm",
    default=None,
    help="Distance that limits or measures the attack; --list shows which it knows, its default first.",
)
@click.option("--steps", type=int, default=None, help="Steps of an iterative attack.")
@click.option("--step-size", type=float, default=None, help="Length of a step, as a fraction of epsilon.")
@click.option("--restarts", type=int, default=None, help="Runs from new random points.")
@click.option("--queries", type=int, default=None, help="Most questions for each sample, without gradients.")
@click.option("--loss", default=None, help="Loss to climb: cross-entropy, margin, dlr or jitter; pgd: kl.")
@click.option(
    "--set",
    "more",
    type=SettingType(),
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other setting of the attack. May be given several times. transfer: surrogate=MODEL and "
    "using=ATTACK; bytes: edits=replace:16,append:64,padding:256.",
)
@click.option(
    "--mask",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="Where an input may change: booleans in .npy or .npz, or a picture (what is not black).",
)
@samples_option()
@defend_option
@data_option
@model_options
@output_option("Write inputs, labels and adversarial inputs to this .npz file.")
@seed_option
@device_option
@remote_options
@json_option
@quiet_option
def attack(
    model: Path | str,
    name: str,
    epsilons: tuple[float, ...],
    norm: str | None,
    steps: int | None,
    step_size: float | None,
    restarts: int | None,
    queries: int | None,
    loss: str | None,
    more: tuple[tuple[str, Any], ...],
    mask: Path | None,
    samples: int,
    defend: tuple[str, ...],
    data: str | None,
    model_options: dict[str, Any],
    output: Path | None,
    seed: int,
    device: str,
    remote: dict[str, Any],
    as_json: bool,
    quiet: bool,
) -> None:
    """Run one attack on MODEL and count what is left of its accuracy.

    MODEL is a file, or the URL of a served model (Open Inference Protocol v2). The samples are the test part
    of the data set that MODEL records, or of --data; all samples of a file. If the attack is interrupted, or
    a server stops answering, what is finished goes into OUTPUT.incomplete.npz.
    """
    settings = {"norm": norm, "steps": steps, "step_size": step_size, "restarts": restarts}
    settings |= {"queries": queries, "loss": loss}
    stated: dict[str, Any] = {key: value for key, value in settings.items() if value is not None}
    stated |= {} if mask is None else {"mask": read_mask(mask)}
    chosen = build(name, understood(merged(stated, more), device))
    if isinstance(chosen, FixedBudgetAttack) and not epsilons:
        raise InvalidArgument(f"expected a budget for {name}; state one, such as --epsilon 8/255")
    if output is not None:
        check_writable(output)
    target = defended(load_model(model, model_options, remote=remote, device=device), defend, seed)
    chosen.check_model(target)
    with showing(quiet, as_json) as on_event:
        picked = choose(target, data, samples, seed, on_event)
        samples_at, chosen_data = picked.at, picked.samples
        if target.remote:
            _ = (
                target.fingerprint
            )  # asked for now: a server that has stopped cannot be asked when it is written
        try:
            result = chosen.attack(
                target, chosen_data.x, chosen_data.y, epsilons or None, rng=seed, on_event=on_event
            )
        except (ArmourError, KeyboardInterrupt) as error:
            keep(error, output, chosen_data, samples_at, target)
            raise
    if output is not None:
        write(output, result, chosen_data, samples_at, target)
    summary = summarise(result, target, chosen_data, seed) | {
        "defenses": evidence(target),
        "output": None if output is None else str(output),
    }
    if as_json:
        print_json(summary)
    elif not quiet:
        click.echo(table(summary))


def build(name: str, settings: dict[str, Any]) -> Attack:
    """The attack of that name; InvalidArgument for a setting that it does not have."""
    kind = attacks.get(name)
    known = [field.name for field in fields(kind)]
    for key in settings:
        if key not in known:
            options = ", ".join("--" + field.replace("_", "-") for field in known_settings(kind))
            raise InvalidArgument(f"{name} has no setting --{key.replace('_', '-')}; it has: {options}")
    try:
        return kind(**settings)
    except TypeError as error:  # --set can state what a setting cannot be
        raise InvalidArgument(f"{name} cannot be made of these settings: {error}") from error


def keep(error: BaseException, output: Path | None, samples: Dataset, at: np.ndarray, model: Model) -> None:
    """Write what an attack had finished when the error broke it off, and say so in a note of the error."""
    part = getattr(error, "partial", None)
    if not isinstance(part, AttackResult):
        return
    done = f"{int(part.finished.sum()):,} of {len(samples):,} samples are finished"
    if output is None:
        error.add_note(f"{done}, and lost without --output")
        return
    path = output.with_name(f"{output.name.removesuffix('.npz')}.incomplete.npz")
    write(path, part, samples, at, model)
    error.add_note(f"{done} and in {path}")


def write(path: Path, result: AttackResult, samples: Dataset, at: np.ndarray, model: Model) -> None:
    """x (n, ...), y (n,), adv (k, n, ...), success and distance (k, n), epsilons (k,), index (n,), complete.

    Of a result that was broken off only the finished inputs, and complete is False.
    """
    rows = result.finished
    with atomic_write(path) as stream:
        np.savez(
            stream,
            x=samples.x[rows],
            y=samples.y[rows],
            adv=result.adv[:, rows],
            success=result.success[:, rows],
            distance=result.distance[:, rows],
            epsilons=result.epsilons,
            index=at[rows],
            complete=np.array(bool(rows.all())),
            attack=np.array(result.attack),
            norm=np.array(result.norm),
            data=np.array(samples.name),
            model=np.array(model.fingerprint),
        )


def summarise(result: AttackResult, model: Model, samples: Dataset, seed: int) -> dict[str, Any]:
    """What the command says, as JSON values."""
    n = len(samples)
    clean = round(result.clean_accuracy * n)
    rows = []
    for epsilon, success, distance in zip(result.epsilons, result.success, result.distance, strict=True):
        left = int((~success).sum())
        moved = distance[success & (distance > 0)]
        rows.append(
            {
                "epsilon": float(epsilon) if math.isfinite(epsilon) else None,
                "robust_accuracy": left / n,
                "interval": list(wilson(left, n)),
                "broken": clean - left,
                "median_distance": float(np.median(moved)) if len(moved) else None,
            }
        )
    return {
        "attack": result.attack,
        "left_out": list(result.left_out),
        "norm": result.norm,
        "model": model.name,
        "fingerprint": model.fingerprint,
        "data": samples.name,
        "samples": n,
        "seed": seed,
        "clean_accuracy": clean / n,
        "clean_interval": list(wilson(clean, n)),
        "results": rows,
        "queries": result.queries,
        "gradients": result.gradients,
        "seconds": result.seconds,
    }


def table(summary: dict[str, Any]) -> str:
    """The summary for people. An attack gives an upper bound on robust accuracy, hence "<="."""
    low, high = summary["clean_interval"]
    between = f"{low:.2%} to {high:.2%}"
    lines = [
        summary["attack"],
        *summary["left_out"],
        *summary["defenses"],
        f"{summary['model']}, {summary['samples']:,} samples of {summary['data']}, seed {summary['seed']}",
        "",
        f"{'epsilon':>10}  {'accuracy':>10}  {'95 % interval':>18}  {'broken':>7}  {'median distance':>15}",
        f"{'clean':>10}  {summary['clean_accuracy']:>10.2%}  {between:>18}",
    ]
    for row in summary["results"]:
        low, high = row["interval"]
        left = f"<= {row['robust_accuracy']:.2%}"
        median = "" if row["median_distance"] is None else f"{row['median_distance']:.4g}"
        between = f"{low:.2%} to {high:.2%}"
        budget = "any" if row["epsilon"] is None else f"{row['epsilon']:.4g}"
        lines.append(f"{budget:>10}  {left:>10}  {between:>18}  {row['broken']:>7,}  {median:>15}")
    lines += [
        "",
        f"{summary['queries']:,} queries, {summary['gradients']:,} gradients, {summary['seconds']:.1f} s",
    ]
    if summary["output"]:
        lines.append(f"wrote {summary['output']}")
    return "\n".join(lines)
