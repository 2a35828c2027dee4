"""`armour corpus export`: failures as a regression suite."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import click

from armour.cli.options import json_option, print_json
from armour.errors import InvalidArgument
from armour.fuzz import Corpus
from armour.fuzz.regression import TESTS
from armour.fuzz.regression import export as export_suite
from armour.remote import is_url


@click.command(short_help="Write the failures as a pytest suite.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the suite; an earlier suite in it is replaced.",
)
@click.option("--as-found", is_flag=True, help="The inputs as they were found, not minimised.")
@json_option
def export(folder: Path, output: Path, as_found: bool, as_json: bool) -> None:
    """Write one failure of each class in DIR as a suite: failures.npz, cases.json and test_failures.py.

    `pytest` in the suite asks the model again, or the one that ARMOUR_MODEL names. A failures.lock beside it
    is respected.
    """
    found = Corpus.read(folder)
    suite = export_suite(found, output, minimised=not as_found, model=_model(found, output))
    left = len({record["class"] for record in found.records()}) - len(suite.cases)
    if as_json:
        print_json({"cases": len(suite.cases), "left_out": left, "output": str(output)})
        return
    click.echo(
        f"{len(suite.cases)} failures in {output}; run them with: pytest {shlex.quote(str(output / TESTS))}"
    )
    if left:
        click.echo(f"{left} classes are left out: no wrong label, so nothing that a label could mend")


def _model(found: Corpus, output: Path) -> dict[str, Any]:
    """Where the model is, seen from the suite, and what was stated about it."""
    source = found.manifest.get("source")
    name = source.get("model") if isinstance(source, dict) else None
    if not isinstance(source, dict) or not isinstance(name, str) or is_url(name):
        raise InvalidArgument(f"{found.folder} does not record a model file, which a suite needs")
    path = os.path.relpath(found.folder.resolve().parent / name, output.resolve())
    return {"path": path, "options": source.get("model_options", [])}
