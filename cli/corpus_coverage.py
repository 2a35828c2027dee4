"""`armour corpus coverage`: what was covered, and whether it grew where failures were found."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from armour.cli.corpus_model import asking_options, model_of
from armour.cli.coverage_text import correlation_lines, coverage_line
from armour.cli.options import coverage_option, print_json
from armour.cli.progress import progress
from armour.fuzz import Corpus
from armour.fuzz.coverage.measures import check_names
from armour.fuzz.growth import Coverage, as_counted, of_what_is_held
from armour.fuzz.selection import load_named


@click.command("coverage", short_help="What was covered, and whether failures went with it.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@coverage_option(
    "Run the model on what the corpus holds, and measure that by these. Default: what its campaign counted.",
    default="",
)
@asking_options("Where the model is now, if not where the corpus says.")
def coverage_command(
    folder: Path,
    coverage: str,
    other: Path | str | None,
    mutators: str,
    model_options: dict[str, Any],
    device: str,
    remote: dict[str, Any],
    as_json: bool,
    quiet: bool,
) -> None:
    """Coverage of the corpus in DIR by criterion, and how its growth in each round goes with failures.

    Sums of both grow as long as anything is executed, so what is compared is their growth per execution, by
    rank, with the executions so far held constant. Coverage is a measure, not a verdict: more of it was not
    found to mean more failures.
    """
    names = tuple(name.strip() for name in coverage.split(",")) if coverage else ()
    check_names(names)
    load_named(mutators)
    found = Corpus.read(folder)
    if names:
        model = model_of(found, other, model_options, remote=remote, device=device)
        with progress(quiet, as_json) as on_event:
            result = of_what_is_held(found, model, names, on_event)
    else:
        result = as_counted(found)
    if as_json:
        print_json(asdict(result))
    elif not quiet:
        click.echo(_text(result))


def _text(result: Coverage) -> str:
    what = "executions" if result.executed else "inputs that the corpus holds"
    rounds = f", in {result.rounds:,} rounds" if result.rounds else ""
    lines = [f"{result.executions:,} {what}, {result.failures:,} of them failures{rounds}"]
    if not result.values:
        return "\n".join([*lines, "no coverage was counted; ask for some with --coverage kmnc,nbc,snac"])
    lines.append(f"coverage: {coverage_line(result.values)}")
    return "\n".join([*lines, *correlation_lines(result.correlation)])
