"""`armour corpus verify`: does all that a corpus claims hold, and which failures are the model's own?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from armour.cli.corpus_model import models_of
from armour.cli.model_options import load_model, model_options
from armour.cli.options import device_option, json_option, mutators_option, print_json, quiet_option
from armour.cli.progress import progress
from armour.cli.remote import MODEL
from armour.errors import UnsoundEvidence
from armour.fuzz import Corpus, ladder, plugins, references
from armour.fuzz.oracles import ORACLES
from armour.fuzz.selection import load_named
from armour.fuzz.verify import Verified
from armour.fuzz.verify import verify as verify_corpus
from armour.report_sections import Rate

_SHOWN = 12


@click.command(short_help="Check every claim of a corpus; with --panel, find the model's own failures (V3).")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option(
    "--model",
    "other",
    type=MODEL,
    metavar="MODEL|URL",
    default=None,
    help="Where the model is now, if it moved.",
)
@click.option(
    "--panel",
    "judges",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    metavar="MODEL",
    help="Another model of the task, at least two: a failure that one of them reads rightly is V3.",
)
@click.option("--oracle", multiple=True, metavar="NAME", help="Plug-in of oracles that DIR was made with.")
@click.option(
    "--against", multiple=True, metavar="MODEL2", help="Where a model is that DIR compares with. Repeatable."
)
@mutators_option("Plug-ins that the corpus was made with: +NAME loads one.")
@model_options
@device_option
@json_option
@quiet_option
def verify(
    folder: Path,
    other: Path | str | None,
    judges: tuple[Path, ...],
    oracle: tuple[str, ...],
    against: tuple[str, ...],
    mutators: str,
    model_options: dict[str, Any],
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check that each failure in DIR is what the corpus says: its files, its recipe, its label and its
    validity.

    Exits with 3 if anything does not hold. What a panel says is kept in DIR/panel.json.
    """
    load_named(mutators)
    plugins.load_named(ORACLES, oracle)
    found = Corpus.read(folder)
    model, others = models_of(found, other, against, model_options, device=device)
    with progress(quiet, as_json) as on_event:
        checked = verify_corpus(found, model, on_event, others)
        said = None
        if judges and not checked.unsound:
            own = {"bounds": tuple(found.bounds)}
            said = references.ask(found, [load_model(path, own, device=device) for path in judges], on_event)
            references.write(found, said)
            ladder.enter(found)
    said = said or references.read(found)
    specific = None if said is None else [r["id"] for r in found.records() if said.specific(r)]
    if as_json:
        print_json(_figures(checked, said, specific))
    elif not quiet:
        click.echo(_text(checked, said, specific))
    if checked.unsound:
        first = next(iter(checked.unsound.items()))
        raise UnsoundEvidence(
            f"{len(checked.unsound)} of {checked.failures} failures in {folder} are not what the corpus "
            f"says; {first[0]}: {first[1]}"
        )


def _figures(
    checked: Verified, said: references.References | None, specific: list[str] | None
) -> dict[str, Any]:
    return {
        "failures": checked.failures,
        "stored": checked.stored,
        "verified": checked.failures - len(checked.unsound),
        "unsound": checked.unsound,
        "panel": None if said is None else [name for name, _ in said.models],
        "v3": specific,
    }


def _text(checked: Verified, said: references.References | None, specific: list[str] | None) -> str:
    sound = checked.failures - len(checked.unsound)
    lines = [f"{sound:,} of {checked.failures:,} failures verified: files, recipes, labels and validity"]
    lines += [f"  {key}: {reason}" for key, reason in list(checked.unsound.items())[:_SHOWN]]
    if said is not None and specific is not None:
        names = ", ".join(name for name, _ in said.models)
        share = Rate.of(len(specific), max(checked.failures, 1))
        lines.append(
            f"{len(specific):,} of them at V3, the model's own: a model of the panel ({names}) is right "
            f"({100 * share.value:.1f} %, 95 % interval {100 * share.low:.1f} to {100 * share.high:.1f})"
        )
        lines.append(
            "the panel may share the model's training data; failing V3 does not make an input invalid"
        )
    return "\n".join(lines)
