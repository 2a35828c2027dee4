"""`armour corpus`: show and replay what fuzzing found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from armour.cli import fuzz_text
from armour.cli.corpus_coverage import coverage_command
from armour.cli.corpus_export import export
from armour.cli.corpus_lock import counting, lock, lock_option
from armour.cli.corpus_merge import merge_command
from armour.cli.corpus_minimize import minimize
from armour.cli.corpus_model import models_of
from armour.cli.corpus_review import review
from armour.cli.corpus_verify import verify
from armour.cli.corpus_watch import watch_campaign
from armour.cli.model_options import model_options
from armour.cli.options import device_option, json_option, mutators_option, print_json, quiet_option
from armour.cli.progress import progress
from armour.cli.remote import MODEL, remote_options
from armour.errors import GateFailed
from armour.fuzz import Corpus, plugins
from armour.fuzz.oracles import ORACLES
from armour.fuzz.replay import replay as replay_corpus
from armour.fuzz.selection import load_named


@click.group()
def corpus() -> None:
    """Show, replay, minimise or merge what fuzzing found."""


@corpus.command(short_help="Counts: executions, failures by class, coverage.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option(
    "--watch",
    is_flag=True,
    help="Show the screen of a running campaign until it ends; Ctrl-C leaves it alone.",
)
@json_option
def stats(folder: Path, watch: bool, as_json: bool) -> None:
    """Counts of the corpus in DIR: executions, failures by class, coverage; also while it is growing."""
    if watch:
        watch_campaign(folder)
    found = fuzz_text.corpus_stats(Corpus.read(folder))
    if as_json:
        print_json(found)
    else:
        click.echo(fuzz_text.stats_table(found))


@corpus.command(short_help="Rebuild the failures and ask the model again.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option("--case", metavar="ID", default=None, help="Only the failure whose id begins so.")
@click.option(
    "--model",
    "other",
    type=MODEL,
    metavar="MODEL|URL",
    default=None,
    help="Ask this model instead of the one that the corpus records.",
)
@click.option("--fail-on-finding", is_flag=True, help="Exit with 1 if any failure still fails.")
@click.option(
    "--oracle", multiple=True, metavar="NAME", help="Plug-in of oracles that the corpus was made with."
)
@click.option(
    "--against",
    multiple=True,
    metavar="MODEL2",
    help="Where a model is that the corpus compares with, if not where it records. Repeatable.",
)
@lock_option
@mutators_option("Plug-ins that the corpus was made with: +NAME loads one.")
@model_options
@device_option
@remote_options
@json_option
@quiet_option
def replay(
    folder: Path,
    case: str | None,
    other: Path | str | None,
    fail_on_finding: bool,
    oracle: tuple[str, ...],
    against: tuple[str, ...],
    lock: Path | None,
    mutators: str,
    model_options: dict[str, Any],
    device: str,
    remote: dict[str, Any],
    as_json: bool,
    quiet: bool,
) -> None:
    """Rebuild the failures in DIR from their recipes and ask the model again.

    Exits with 0 whether or not they still fail, unless --fail-on-finding says otherwise.
    """
    load_named(mutators)
    plugins.load_named(ORACLES, oracle)
    found = Corpus.read(folder)
    model, others = models_of(found, other, against, model_options, remote=remote, device=device)
    with progress(quiet, as_json) as on_event:
        cases = replay_corpus(found, model, case, on_event, others=others)
    changed = model.fingerprint != found.manifest["model"]["fingerprint"]
    if as_json:
        print_json(fuzz_text.replay_figures(cases, changed))
    elif not quiet:
        click.echo(fuzz_text.replay_table(cases, changed, model, single=case is not None))
    failing = {one.key for one in cases if one.fails}
    if fail_on_finding and failing:
        counted = set(counting(sorted(failing), lock))
        still = sum(one.fails and one.key in counted for one in cases)
        if still:
            raise GateFailed(f"{still} of {len(cases)} failures in {folder} still fail")


for _command in (coverage_command, export, lock, merge_command, minimize, review, verify):
    corpus.add_command(_command)
