"""`armour report RESULT.json -o FILE`: a result as a page for people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from armour.cli.options import json_option, output_option, print_json, quiet_option
from armour.errors import InvalidArgument
from armour.files import check_writable, write_text
from armour.report import Report

# By suffix; another form is a line here.
FORMS: dict[str, Callable[[Report], str]] = {
    ".html": Report.to_html,
    ".htm": Report.to_html,
    ".md": Report.to_markdown,
    ".json": Report.to_json,
}


@click.command()
@click.argument("result", type=click.Path(path_type=Path), metavar="RESULT.json")
@output_option("File to write; its suffix says the form: .html or .md. Default: RESULT.html.")
@json_option
@quiet_option
def report(result: Path, output: Path | None, as_json: bool, quiet: bool) -> None:
    """Render a result file (armour-report/1) as a page.

    The HTML is one file: it loads nothing, runs no script, and prints.
    """
    target = check_report_path(output or result.with_suffix(".html"))
    loaded = Report.load(result)
    write_report(loaded, target)
    if as_json:
        print_json({"report": str(result), "output": str(target), "sha256": loaded.sha256})
    elif not quiet:
        click.echo(f"wrote {target}")


def check_report_path(path: Path) -> Path:
    """The path, if its suffix names a form and it could be written; InvalidArgument otherwise. Ask before
    long work."""
    if path.suffix.lower() not in FORMS:
        raise InvalidArgument(f"expected a file ending in {', '.join(FORMS)}, got {path.name!r}")
    return check_writable(path)


def write_report(report: Report, path: Path) -> None:
    """Write the report in the form of the path's suffix, whole or not at all."""
    write_text(path, FORMS[path.suffix.lower()](report))
