"""`armour corpus merge`: several corpora in one."""

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
from armour.fuzz.merging import Merged, merge, needs_model, occupied
from armour.fuzz.replay import model_path
from armour.fuzz.selection import load_named

_BELOW = "do not reach the validity level of the first"
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("merge", short_help="Join corpora, each failing input once.")
@click.argument("target", type=_FOLDER, metavar="DST")
@click.argument("sources", type=_FOLDER, metavar="SRC...", nargs=-1, required=True)
@asking_options(
    "The model of the result, which judges the failures of others. Default: the first corpus'.",
    "the corpora were",
)
def merge_command(
    target: Path,
    sources: tuple[Path, ...],
    other: Path | str | None,
    mutators: str,
    model_options: dict[str, Any],
    device: str,
    remote: dict[str, Any],
    as_json: bool,
    quiet: bool,
) -> None:
    """Merge the corpora SRC... into DST: a new folder, or a corpus that was merged or minimised before.

    Failing inputs are told apart by their sha256, classes by their D2 key. The corpora SRC stay as they are.
    Other seeds than those of the first stand beside them. If corpora were made with different models, one
    model judges again what the others failed on. The result is a corpus like others, but holds no state of a
    campaign: it can be replayed, merged and minimised, not resumed.
    """
    load_named(mutators)
    folders = [target, *sources] if occupied(target) else list(sources)
    if target.resolve() in [source.resolve() for source in sources]:
        raise InvalidArgument(f"expected other corpora than {target} to merge into it, got {target} itself")
    corpora = [Corpus.read(folder) for folder in folders]
    model = source = None
    if other is not None or needs_model(corpora):
        model = model_of(corpora[0], other, model_options, remote=remote, device=device)
        source = str(model_path(corpora[0]) if other is None else other)
        source = source if isinstance(other, str) else str(Path(source).resolve())
    with progress(quiet, as_json) as on_event:
        done = merge(corpora, target, model, on_event, source=source)
    if as_json:
        print_json({**asdict(done), "folder": str(done.folder)})
    elif not quiet:
        click.echo(_table(done, None if model is None else model.name))


def _table(done: Merged, model: str | None) -> str:
    width = max(len(part.folder) for part in done.parts)
    lines = [f"{'':<{width}}  {'failures':>10}{'new':>10}{'classes':>10}{'kept inputs':>13}{'new':>10}"]
    for part in done.parts:
        counts = f"{part.failures:>10,}{part.new:>10,}{part.classes:>10,}{part.kept:>13,}{part.new_kept:>10,}"
        lines.append(f"{part.folder:<{width}}  {counts}")
    total = f"{'':>10}{done.failures:>10,}{done.classes:>10,}{'':>13}{done.survivors:>10,}"
    lines.append(f"{done.folder!s:<{width}}  {total}")
    for part in done.parts:
        if part.judged:
            lines += ["", f"{part.folder} was made with another model; its failures were judged by {model}:"]
            lines.append(f"  {part.gone:,} do not fail on it, or it misreads their seed already")
        for count, why in ((part.below, _BELOW), (part.unknown, "cannot be rebuilt")):
            if count:
                lines.append(f"{part.folder}: {count:,} failing inputs {why}; they stay there alone")
    lines += [f"note: {note}" for note in done.notes]
    where = shlex.quote(str(done.folder))
    return "\n".join([*lines, "", f"corpus  {done.folder}", f"replay  armour corpus replay {where}"])
