"""Events of long jobs shown as bars: on stderr, only on a terminal, so that logs and pipes stay clean."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from armour.events import Event, OnEvent


@contextmanager
def progress(quiet: bool = False, json: bool = False) -> Iterator[OnEvent]:
    """Give the `on_event` to pass to a long job; None (nothing shown) if quiet or if stderr is no terminal.

    With json, nothing is shown either if stdout is a terminal too, where the bars would mix with the object.
    """
    if not shows(quiet, json):
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(event: Event) -> None:
            if event.stage not in tasks:
                tasks[event.stage] = bars.add_task(event.stage, total=event.total, note="")
            bars.update(tasks[event.stage], completed=event.done, total=event.total, note=note(event))

        yield show


def shows(quiet: bool, json: bool) -> bool:
    """Whether anything is shown: see progress."""
    return not quiet and _terminal(sys.stderr) and not (json and _terminal(sys.stdout))


def note(event: Event) -> str:
    """What stands right of the bar: the event's text and figures, on one line."""
    figures = (f"{name} {value:.4g}" for name, value in event.values.items())
    return "  ".join(part for part in (" ".join(event.text.split()), *figures) if part)


def _terminal(stream: IO[str]) -> bool:
    return bool(stream is not None and not stream.closed and stream.isatty())
