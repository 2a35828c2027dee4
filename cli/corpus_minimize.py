"""`armour corpus minimize`: fewer inputs that cover as much, or one failure made smaller."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from armour.cli.corpus_model import asking_options, model_of
from armour.cli.options import print_json
from armour.cli.progress import progress
from armour.errors import InvalidArgument
from armour.fuzz import Corpus
from armour.fuzz.content import criteria
from armour.fuzz.distil import Distilled, distil
from armour.fuzz.manifest import is_empty
from armour.fuzz.selection import load_named
from armour.fuzz.shrinking import Shrunk, shrink

_ROWS = (
    ("survivors", "kept inputs"),
    ("failures", "failing inputs"),
    ("classes", "failure classes (D2)"),
    ("solved", "niches solved"),
    ("niches", "niches come nearer to"),
)


@click.command(short_help="Keep fewer inputs that cover as much, or shrink one failure.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="OUT",
    default=None,
    help="New folder for the result. Default: DIR-min, or the next free DIR-min-2, ...",
)
@click.option(
    "--criterion",
    type=click.Choice(criteria()),
    default="sections",
    show_default=True,
    help="What must stay covered. sections: those of KMNC, NBC and SNAC together.",
)
@click.option(
    "--case", metavar="ID", default=None, help="Shrink the failure whose id begins so, in DIR itself."
)
@asking_options("Where the model is now, if not where the corpus says.")
def minimize(
    folder: Path,
    output: Path | None,
    criterion: str,
    case: str | None,
    other: Path | str | None,
    mutators: str,
    model_options: dict[str, Any],
    device: str,
    remote: dict[str, Any],
    as_json: bool,
    quiet: bool,
) -> None:
    """Distil the corpus in DIR into a new folder, by greedy set cover.

    Everything it covered stays covered, every failure class and every solved niche (seed and label) has a
    failure, and every other niche keeps the input that comes nearest to failing; the model is run on the
    result to see that. The result is a corpus like others, but holds no state of a campaign: it can be
    replayed, merged and minimised again, not resumed.
    """
    load_named(mutators)
    found = Corpus.read(folder)
    model = model_of(found, other, model_options, remote=remote, device=device)
    if case is not None:
        if output is not None:
            raise InvalidArgument("expected --case or --output, got both; a case is shrunk where it is")
        shrunk = shrink(found, model, case)
        if as_json:
            print_json({**asdict(shrunk), "smaller": shrunk.smaller})
        elif not quiet:
            click.echo(_case(shrunk, folder))
        return
    with progress(quiet, as_json) as on_event:
        result = distil(found, model, output or _free(folder), criterion, on_event)
    if as_json:
        print_json({**asdict(result), "folder": str(result.folder)})
    elif not quiet:
        click.echo(_table(result))


def _free(folder: Path) -> Path:
    """DIR-min or the next free number, beside DIR."""
    base = folder.absolute()
    number, free = 1, base.with_name(f"{base.name}-min")
    while not is_empty(free):
        number += 1
        free = base.with_name(f"{base.name}-min-{number}")
    return folder.with_name(free.name) if folder.name else free


def _table(result: Distilled) -> str:
    lines = [f"{'':<24}{'before':>12}{'after':>12}"]
    for name, text in (*_ROWS, ("covered", f"covered ({result.criterion})")):
        lines.append(f"{text:<24}{getattr(result.before, name):>12,}{getattr(result.after, name):>12,}")
    lines += ["", "the model was run on the result again: all failure classes and solved niches are there"]
    if result.edge:
        lines.append(f"{result.edge} cells were not hit again; they lie within rounding of an edge")
    if result.missing:
        lines.append(
            f"{result.missing} kept inputs were listed and not there; resume the corpus to repair it"
        )
    where = shlex.quote(str(result.folder))
    return "\n".join([*lines, "", f"corpus  {result.folder}", f"replay  armour corpus replay {where}"])


def _case(shrunk: Shrunk, folder: Path) -> str:
    lines = [f"{shrunk.id}  {shrunk.key}"]
    if shrunk.smaller:
        lines.append(f"l2 to the reference {shrunk.before:.4g}, now {shrunk.after:.4g}")
        lines.append(f"  {shrunk.recipe}")
    else:
        lines.append(f"l2 to the reference {shrunk.before:.4g}; nothing smaller fails alike")
    lines.append(f"replay  armour corpus replay {shlex.quote(str(folder))} --case {shrunk.id}")
    return "\n".join(lines)
