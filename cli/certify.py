"""`armour certify MODEL`: what is proved, what an attack breaks, and what stays unknown, in one table."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from armour.attacks import FixedBudgetAttack
from armour.cli.attack import build
from armour.cli.evaluate_text import grid
from armour.cli.model_options import load_model, model_options
from armour.cli.options import (
    EPSILON,
    data_option,
    device_option,
    json_option,
    output_option,
    plain,
    print_json,
    quiet_option,
    samples_option,
    seed_option,
)
from armour.cli.progress import progress as showing
from armour.cli.remote import MODEL, remote_options
from armour.cli.samples import Chosen, choose
from armour.contract import Model
from armour.defenses import DEFENSES, RandomizedSmoothing, SmoothedModel
from armour.errors import InvalidArgument, UnsoundEvidence, UnsupportedError
from armour.events import OnEvent, emit
from armour.files import check_writable, write_text
from armour.stats import wilson
from armour.verdict import epsilon_text

SCHEMA = "armour-certificates/1"
SMOOTHING = "smoothing"
# The command's name of a method, and the defense that it is.
METHODS = {
    **{name: name for name in ("ibp", "crown-ibp", "crown", "alpha-crown") if name in DEFENSES},
    SMOOTHING: "randomized-smoothing",
}
SHARES = ("clean", "certified", "attacked", "unknown")


def _evidence() -> str:
    # \b keeps click from filling the lines together.
    return "\n\n".join(
        f"\b\n{name}:\n  {DEFENSES.get(defense).evidence}" for name, defense in METHODS.items()
    )


@click.command(epilog=_evidence())
@click.argument("model", type=MODEL, metavar="MODEL|URL")
@click.option(
    "--method",
    type=click.Choice(list(METHODS)),
    default=next(iter(METHODS)),
    show_default=True,
    help="How it is proved; below is what each is worth. smoothing certifies the smoothed model, in l2.",
)
@click.option(
    "--epsilon",
    "epsilons",
    multiple=True,
    metavar="BUDGET[,BUDGET...]",
    help="Largest distance from the input, in input units: 0.1 or 8/255. May be given several times.",
)
@click.option(
    "--norm",
    type=click.Choice(["linf", "l2", "l1"]),
    default=None,
    help="Distance that the budget limits. Default: linf; l2 for smoothing.",
)
@click.option("--sigma", type=float, default=None, help="smoothing: deviation of the noise, in input units.")
@click.option(
    "--draws",
    type=click.IntRange(min=1),
    default=100_000,
    show_default=True,
    help="smoothing: noisy copies of each sample.",
)
@click.option(
    "--alpha", type=float, default=0.001, show_default=True, help="smoothing: chance of error, each sample."
)
@click.option(
    "--attack",
    default=None,
    metavar="NAME",
    help="Attack at the same budgets (see armour attack --list). Default: auto-attack; of a smoothed model "
    "pgd through the noise, or square without gradients.",
)
@samples_option(100)
@data_option
@model_options
@output_option("Write the result's JSON here.")
@seed_option
@device_option
@remote_options
@json_option
@quiet_option
def certify(
    model: Path | str,
    method: str,
    epsilons: tuple[str, ...],
    norm: str | None,
    sigma: float | None,
    draws: int,
    alpha: float,
    attack: str | None,
    samples: int,
    data: str | None,
    model_options: dict[str, Any],
    output: Path | None,
    seed: int,
    device: str,
    remote: dict[str, Any],
    as_json: bool,
    quiet: bool,
) -> None:
    """Certify MODEL at each budget, and attack it there.

    Robust accuracy lies between `certified` (a proof for each sample) and `attacked` (what the attack left);
    `unknown` is what lies between. A certified sample that the attack breaks is an error with exit code 3:
    one of the two is wrong.
    """
    budgets = sorted({EPSILON.convert(part, None, None) for text in epsilons for part in text.split(",")})
    if not budgets:
        raise InvalidArgument("expected a budget to certify; state one, such as --epsilon 8/255")
    smooth = method == SMOOTHING
    norm = norm or ("l2" if smooth else "linf")
    if smooth and norm != "l2":
        raise UnsupportedError(f"expected --norm l2 for smoothing, whose radii are in l2; got {norm}")
    if smooth != (sigma is not None):
        raise InvalidArgument(
            "expected --sigma, the deviation of the noise, such as --sigma 0.25"
            if smooth
            else f"--sigma is for --method smoothing; leave it out for {method}"
        )
    if output is not None:
        check_writable(output)
    start = time.monotonic()
    target = load_model(model, model_options, remote=remote, device=device)
    smoothing = RandomizedSmoothing(target, sigma) if sigma is not None else None
    attacked = target if smoothing is None else SmoothedModel(smoothing, rng=seed)
    name = attack or ("auto-attack" if not smooth else "pgd" if target.can_grad else "square")
    chosen_attack = build(name, {"norm": norm})
    if not isinstance(chosen_attack, FixedBudgetAttack):
        raise InvalidArgument(f"expected an attack within a budget, such as auto-attack; got {name}")
    chosen_attack.check_model(attacked)
    with showing(quiet, as_json) as on_event:
        chosen = choose(target, data, samples, seed, on_event)
        x, y = chosen.samples.x, chosen.samples.y
        if smoothing is not None:
            certificate = smoothing.certify(x, n=draws, alpha=alpha, rng=seed, on_event=on_event)
            right = certificate.prediction == y
            held = np.array([certificate.certified(y, budget) for budget in budgets])
        else:
            right = target.predict(x) == y
            held = _proved(target, x, y, method, norm, budgets, on_event)
        found = chosen_attack.attack(attacked, x, y, budgets, rng=seed, on_event=on_event)
        broken = found.success
        if smoothing is not None:
            said = [
                smoothing.predict(adv, n=draws, alpha=alpha, rng=seed + 1, on_event=on_event).prediction
                for adv in found.adv
            ]
            broken = np.array([(labels != y) & (labels >= 0) for labels in said])
    # What a smaller budget breaks a larger one breaks, and what is proved for a larger one for a smaller.
    broken = np.logical_or.accumulate(broken, axis=0)
    held = np.logical_or.accumulate((held & right)[::-1], axis=0)[::-1]
    summary = {
        "schema": SCHEMA,
        "method": method,
        "evidence": str(DEFENSES.get(METHODS[method]).evidence),
        "norm": norm,
        "sigma": sigma,
        "draws": draws if smooth else None,
        "alpha": alpha if smooth else None,
        "attack": found.attack,
        "model": target.name,
        "fingerprint": target.fingerprint,
        "data": chosen.samples.name,
        "samples": len(y),
        "seed": seed,
        "results": [_row(*row) for row in zip(budgets, held, broken, [right] * len(budgets), strict=True)],
        "seconds": time.monotonic() - start,
        "output": None if output is None else str(output),
    }
    if output is not None:
        write_text(output, json.dumps(plain(summary), allow_nan=False, ensure_ascii=False, indent=1) + "\n")
    if as_json:
        print_json(summary)
    elif not quiet:
        click.echo(table(summary))
    _agree(held, broken, budgets, chosen, norm, found.attack)


def _proved(
    model: Model,
    x: np.ndarray,
    y: np.ndarray,
    method: str,
    norm: str,
    budgets: list[float],
    on_event: OnEvent,
) -> np.ndarray:
    """(budgets, n) True where the method proves label y."""
    prove, held = DEFENSES.get(METHODS[method])(norm=norm), []
    for done, budget in enumerate(budgets):
        emit(on_event, "certify", done, len(budgets), f"epsilon {epsilon_text(budget)}")
        held.append(prove(model, x, y, epsilon=budget).certified)
    emit(on_event, "certify", len(budgets), len(budgets))
    return np.array(held)


def _row(epsilon: float, held: np.ndarray, broken: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Counts, shares and 95 % intervals of one budget."""
    n, standing = len(right), right & ~broken
    counts = (right.sum(), held.sum(), standing.sum(), (standing & ~held).sum())
    row: dict[str, Any] = {"epsilon": epsilon, "n": n}
    for name, count in zip(SHARES, map(int, counts), strict=True):
        row[name] = {"count": count, "share": count / n, "interval": list(wilson(count, n))}
    return row


def _agree(
    held: np.ndarray, broken: np.ndarray, budgets: list[float], chosen: Chosen, norm: str, attack: str
) -> None:
    """UnsoundEvidence that names the first sample that is both certified and broken."""
    both = np.argwhere(held & broken)
    if not len(both):
        return
    k, i = both[0]
    raise UnsoundEvidence(
        f"sample {int(chosen.at[i])} of {chosen.samples.name} is certified at {norm} epsilon "
        f"{epsilon_text(budgets[k])}, but {attack} breaks it there ({len(both)} such in all); either the "
        "bounds or the attack are wrong: report it with the model"
    )


def table(summary: dict[str, Any]) -> str:
    """The summary for people."""
    how = summary["method"]
    if summary["sigma"] is not None:
        how += (
            f", sigma {summary['sigma']:g}, {summary['draws']:,} draws, each sample at confidence "
            f"{1 - summary['alpha']:g}"
        )
    rows = [[f"{summary['norm']} epsilon", *SHARES]]
    for row in summary["results"]:
        rows.append([epsilon_text(row["epsilon"]), *(_share(row[name]) for name in SHARES)])
    lines = [
        f"{how}: {summary['evidence']}",
        f"attack: {summary['attack']}",
        f"{summary['model']}, {summary['samples']:,} samples of {summary['data']}, seed {summary['seed']}",
        "",
        *grid(rows),
        "",
        "Shares with 95 % intervals. Robust accuracy is at least `certified` and at most `attacked`.",
        f"{summary['seconds']:.1f} s",
    ]
    if summary["output"]:
        lines.append(f"wrote {summary['output']}")
    return "\n".join(lines)


def _share(entry: dict[str, Any]) -> str:
    low, high = entry["interval"]
    return f"{entry['share']:.1%} ({low:.1%} to {high:.1%})"
