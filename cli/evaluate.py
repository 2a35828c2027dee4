"""`armour evaluate MODEL`: a row of attacks, the checks of their evidence, and a report."""

from __future__ import annotations

import shlex
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from armour.cli import evaluate_text as text
from armour.cli.defend_options import defend_option, defended, evidence
from armour.cli.model_options import load_model, model_options
from armour.cli.model_options import words as model_words
from armour.cli.options import (
    DURATION,
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
from armour.cli.remote import FLAGS, MODEL, remote_options, repeated
from armour.cli.report import check_report_path, write_report
from armour.cli.samples import choose, read_groups
from armour.distances import parse_epsilon
from armour.errors import ArmourError, InvalidArgument, UnsoundEvidence
from armour.files import check_writable
from armour.report import Report
from armour.report_checks import all_checks
from armour.report_sections import Provenance
from armour.verdict import epsilon_text

_PRESETS = "quick, standard, thorough or black-box"
# What a command repeats; files that it writes are not part of it.
_REPEATED = (
    *(
        "attacks",
        "norm",
        "goal",
        "knowledge",
        "queries",
        "samples",
        "data",
        "seed",
        "group",
        "adaptive",
        "defend",
    ),
    "device",
    *FLAGS,
)


@click.command()
@click.argument("model", type=MODEL, metavar="MODEL|URL")
@click.option(
    "--attacks",
    default="standard",
    show_default=True,
    metavar="PRESET|NAME,...",
    help=f"A preset ({_PRESETS}), or names of attacks (see armour attack --list).",
)
@click.option(
    "--epsilon",
    "epsilons",
    type=EPSILON,
    multiple=True,
    metavar="BUDGET",
    help="Largest distance from the input: 0.1 or 8/255. Several make a curve; the verdict is of the first.",
)
@click.option("--norm", default="linf", show_default=True, help="Distance: linf, l2, l1 or l0.")
@click.option(
    "--goal", default="untargeted", show_default=True, help="untargeted, or targeted: a class drawn."
)
@click.option(
    "--knowledge",
    default=None,
    help="What the attacker knows: white-box, black-box (scores) or labels-only. Default: white-box if the "
    "model has gradients.",
)
@click.option("--queries", type=click.IntRange(min=1), default=None, help="Most questions for each sample.")
@samples_option()
@click.option(
    "--seconds", type=DURATION, default=None, help="Stop after about this long (90, 5m) with what is there."
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="Keep what is finished in this file, and go on from it if it is there.",
)
@click.option("--resume", is_flag=True, help="Go on where this command was interrupted.")
@click.option(
    "--group",
    default=None,
    metavar="FILE[:COLUMN]",
    help="Group of each sample (.npy, .npz, .csv), for a table of accuracy by group.",
)
@click.option(
    "--surrogate",
    "surrogates",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="Another model, whose adversarial inputs are tried on this one. May be given several times.",
)
@click.option("--adaptive", is_flag=True, help="State that the attacks were made for this model.")
@defend_option
@data_option
@model_options
@output_option("Write the report's JSON here.")
@click.option(
    "--report",
    "page",
    type=click.Path(path_type=Path),
    default=None,
    metavar="PATH",
    help="Write a page here: .html or .md.",
)
@seed_option
@device_option
@remote_options
@json_option
@quiet_option
@click.pass_context
def evaluate(
    context: click.Context,
    model: Path | str,
    attacks: str,
    epsilons: tuple[float, ...],
    norm: str,
    goal: str,
    knowledge: str | None,
    queries: int | None,
    samples: int,
    seconds: float | None,
    state: Path | None,
    resume: bool,
    group: str | None,
    surrogates: tuple[Path, ...],
    adaptive: bool,
    defend: tuple[str, ...],
    data: str | None,
    model_options: dict[str, Any],
    output: Path | None,
    page: Path | None,
    seed: int,
    device: str,
    remote: dict[str, Any],
    as_json: bool,
    quiet: bool,
) -> None:
    """Evaluate MODEL under a threat: the worst case of several attacks, and whether to believe it.

    Attacks run in order of cost, each on what those before it have left. Checks then look for broken attacks,
    masked gradients, randomness and leaked data; an error among them ends with exit code 3. Ctrl-C saves what
    is finished; the same command with --resume goes on to the same report.
    """
    import armour
    from armour.report_build import data_info
    from armour.threat import Threat

    if not epsilons:
        raise InvalidArgument("expected a budget to evaluate within; state one, such as --epsilon 8/255")
    kept = _state_path(state, output, resume)
    for path in (output, kept):
        if path is not None:
            check_writable(path)
    if page is not None:
        check_report_path(page)
    _known(attacks, norm)
    Threat(epsilons=epsilons, norm=norm, knowledge=knowledge or "white-box", queries=queries, goal=goal)
    target = defended(load_model(model, model_options, remote=remote, device=device), defend, seed)
    others = [load_model(path, {}, device=device) for path in surrogates]
    threat = Threat(
        epsilons=epsilons,
        norm=norm,
        knowledge=knowledge or ("white-box" if target.can_grad else "black-box"),
        queries=queries,
        goal=goal,
    )
    command = _command(context, model, model_options, surrogates)
    with showing(quiet, as_json) as on_event:
        chosen = choose(target, data, samples, seed, on_event)
        groups = None if group is None else read_groups(group, chosen)
        part = "all samples" if len(chosen.at) == chosen.total else f"{len(chosen.at):,} of {chosen.total:,}"
        described = data_info(
            chosen.samples, f"{part}, stratified by class, chosen by seed {seed} beforehand"
        )
        training = None if chosen.training is None else (chosen.training.x, chosen.training.y)
        if kept is not None and not resume and state is None:
            kept.unlink(missing_ok=True)  # of an evaluation that nobody asks to go on
        try:
            report = armour.evaluate(
                target,
                chosen.samples.x,
                chosen.samples.y,
                threat=threat,
                attacks=attacks,
                rng=seed,
                on_event=on_event,
                state=kept,
                seconds=seconds,
                groups=groups,
                surrogates=others,
                training=training,
                adaptive=adaptive,
                data=described,
                provenance=Provenance(
                    command=command,
                    seed=seed,
                    reproduce=(command,),
                    created=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
                ),
            )
        except (ArmourError, KeyboardInterrupt) as error:
            if kept.is_file():
                error.add_note(
                    f"what is finished is in {kept}; the same command with --resume goes on from there"
                )
            raise
    if defend:
        report = replace(report, limits=(*report.limits, *(f"Defense {line}." for line in evidence(target))))
    if others:
        report = replace(report, limits=(*report.limits, *_weak_surrogates(others)))
    if state is None and report.evaluation is not None and report.evaluation.complete:
        with suppress(OSError):
            kept.unlink(missing_ok=True)
    _show(report, output, page, as_json, quiet, evidence(target))


def _show(
    report: Report, output: Path | None, page: Path | None, as_json: bool, quiet: bool, defenses: list[str]
) -> None:
    """Write what was asked for, say what was found, and end with 3 if the evidence is unsound."""
    if output is not None:
        report.save(output)
    if page is not None:
        write_report(report, page)
    if as_json:
        print_json(text.summary(report, output, page) | {"defenses": defenses})
    elif not quiet:
        click.echo("\n".join([*defenses, text.table(report, output, page)]))
    errors = [check for check in all_checks(report) if check.status == "error"]
    if errors:
        said = "; ".join(f"{check.id} {check.text}" for check in errors[:3])
        raise UnsoundEvidence(f"the evidence is unsound: {said}")


def _state_path(state: Path | None, output: Path | None, resume: bool) -> Path:
    """Where the state is kept: --state, or a file beside the output."""
    if state is not None:
        path = state
    elif output is not None:
        path = output.with_name(f"{output.name.removesuffix('.json')}.state.npz")
    else:
        path = Path("armour-evaluate.state.npz")
    if resume and not path.is_file():
        raise InvalidArgument(
            f"expected the state of an interrupted evaluation in {path}; leave --resume out"
        )
    return path


def _known(chosen: str, norm: str) -> None:
    """Whether the preset or the attacks are known, asked before a model is loaded."""
    from armour.evaluation.presets import check_names

    check_names(chosen, norm)


def _command(
    context: click.Context,
    model: Path | str,
    options: dict[str, Any],
    surrogates: tuple[Path, ...],
) -> str:
    """What makes this report again; epsilons to the last digit."""
    words = ["armour", "evaluate", str(model)]
    for epsilon in context.params["epsilons"]:
        words += [
            "--epsilon",
            written if parse_epsilon(written := epsilon_text(epsilon)) == epsilon else repr(epsilon),
        ]
    words += [*repeated(context, _REPEATED), *model_words(options)]
    for path in surrogates:
        words += ["--surrogate", str(path)]
    return shlex.join(words)


def _weak_surrogates(others: list[Any]) -> list[str]:
    blind = [other.name for other in others if not other.can_grad]
    return [f"No inputs were made on {', '.join(blind)}: without gradients."] if blind else []
