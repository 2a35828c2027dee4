"""`armour report RESULT.json -o FILE`: a result as a page for people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from armour.cli.options import json_option, output_option, print_json, quiet_option
from armour.errors import InvalidArgument
from armour.files import check_writable, write_text
from armour.report import Report


def _html(result: Report) -> str:
    return result.to_html()


def _markdown(result: Report) -> str:
    return result.to_markdown()


def _json(result: Report) -> str:
    return result.to_json()


# By suffix; another form is a line here.
FORMS: dict[str, Callable[[Report], str]] = {".html": _html, ".htm": _html, ".md": _markdown, ".json": _json}


@click.command()
@click.argument("result", type=click.Path(path_type=Path), metavar="RESULT.json")
@output_option("File to write; its suffix says the form: .html or .md. Default: RESULT.html.")
@json_option
@quiet_option
def report(result: Path, output: Path | None, as_json: bool, quiet: bool) -> None:
    """Render a result file (armour-report/1) as a page.

    The HTML is one file: it loads nothing, runs no script, and prints.
    """
    target = output or result.with_suffix(".html")
    form = FORMS.get(target.suffix.lower())
    if form is None:
        raise InvalidArgument(f"expected an output ending in {', '.join(FORMS)}, got {target.name!r}")
    check_writable(target)
    loaded = Report.load(result)
    write_text(target, form(loaded))
    if as_json:
        print_json({"report": str(result), "output": str(target), "sha256": loaded.sha256})
    elif not quiet:
        click.echo(f"wrote {target}")
