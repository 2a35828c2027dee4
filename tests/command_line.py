"""The command `armour` called inside a test."""

from __future__ import annotations

import os
from pathlib import Path

from click.testing import CliRunner, Result

from armour.cli.main import main


def run(folder: Path, *arguments: object, keys: str | None = None) -> Result:
    """The command in a folder, its exit code and output; keys: what is typed."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(main, [str(a) for a in arguments], input=keys, standalone_mode=True)
    finally:
        os.chdir(before)
