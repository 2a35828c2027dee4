"""`armour corpus stats --watch DIR`: a running campaign's screen, drawn from its files."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from armour.errors import FormatError
from armour.fuzz.manifest import read_json, read_manifest
from armour.fuzz.status import printable, read

_PAUSE = 1.0  # seconds between looks at the files


def watch_campaign(folder: Path) -> None:
    """Show how the campaign in a folder is doing until it ends, its process is gone, or Ctrl-C.

    A screen on a terminal; otherwise one line for each look that shows more executions. Reads, and nothing
    else. Raises FormatError for what is no corpus.
    """
    manifest = read_manifest(folder)
    title = f"{folder}: {printable(str(manifest['model'].get('name', '?')))}"
    with suppress(KeyboardInterrupt):
        if sys.stdout.isatty():
            _on_screen(folder, title)
        else:
            _in_lines(folder)


def look(folder: Path) -> tuple[dict[str, Any] | None, bool]:
    """What stats.json says now, None if it says nothing yet; and whether the campaign is at work."""
    try:
        values = read_json(folder / "stats.json")
    except FormatError:
        return None, True
    return read(values), values.get("state") == "running" and _alive(values.get("pid"))


def _alive(pid: Any) -> bool:
    if type(pid) is not int or pid <= 0:
        return False
    try:
        os.kill(pid, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _on_screen(folder: Path, title: str) -> None:
    from rich.live import Live
    from rich.text import Text

    from armour.cli.fuzz_screen import draw

    with Live(Text(f"{title}: waiting for figures"), transient=True, auto_refresh=False) as live:
        while True:
            status, at_work = look(folder)
            if status is not None:
                live.update(draw(title, status), refresh=True)
            if not at_work:
                return
            time.sleep(_PAUSE)


def _in_lines(folder: Path) -> None:
    shown = -1
    while True:
        status, at_work = look(folder)
        if status is not None and status["executions"] != shown:
            shown = status["executions"]
            click.echo(
                f"{shown:,} executions, {status['executions_per_second']:,.0f}/s, "
                f"{status['failures']:,} failures, {status['classes']:,} classes, "
                f"residual {status['residual']:.2g}"
            )
        if not at_work:
            return
        time.sleep(_PAUSE)
