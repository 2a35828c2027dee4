"""The live screen of `armour fuzz`, which `armour corpus stats --watch` draws too: one look at a campaign."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from armour.cli.progress import progress, shows
from armour.events import Event, OnEvent

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH, HEIGHT = 80, 24  # what the screen takes, and needs
_BLOCKS = "▁▂▃▄▅▆▇█"
_SPARK = 58  # columns of the growth curve


@contextmanager
def screen(title: str, quiet: bool = False, json: bool = False) -> Iterator[OnEvent]:
    """Give the `on_event` to pass to Fuzzer.run: a screen on a terminal that has room for it, else a line.

    Nothing is shown where `progress` shows nothing. The screen goes when the block ends.
    """
    if not (shows(quiet, json) and _roomy()):
        with progress(quiet, json) as bars:
            yield bars
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)
    with Live(Text(f"{title}: reading"), console=console, transient=True, refresh_per_second=4) as live:

        def show(event: Event) -> None:
            if event.detail:
                live.update(draw(title, event.detail))
            elif event.stage != "fuzz":
                total = "" if event.total is None else f" of {event.total:,}"
                live.update(Text(f"{title}: {event.stage} {event.done:,}{total}  {event.text}".rstrip()))

        yield show


def _roomy() -> bool:
    """Whether stderr is a terminal on which the screen can be drawn over itself."""
    size = shutil.get_terminal_size((0, 0))
    dumb = os.environ.get("TERM", "dumb") in ("", "dumb")
    return not dumb and size.columns >= WIDTH and size.lines >= HEIGHT


def draw(title: str, status: Mapping[str, Any]) -> RenderableType:
    """The screen: at most 24 lines of 80 columns. status: what fuzz.status.Status says, as plain values."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=0)
    grid.add_column(width=WIDTH // 2)
    grid.add_column(width=WIDTH // 2)
    for left, right in ((_time, _found), (_inputs, _risk)):
        grid.add_row(_box(*left(status)), _box(*right(status)))
    curve = Panel(_growth(status), title="classes over executions", title_align="left", width=WIDTH)
    parts: list[RenderableType] = [_head(title), grid, curve]
    for warning in list(status.get("warnings", ()))[:3]:
        parts.append(Text(f" ! {warning}", style="yellow", no_wrap=True, overflow="ellipsis"))
    if not status.get("warnings"):
        parts.append(Text(" Ctrl-C saves and stops", style="dim"))
    return Group(*parts)


def _head(title: str) -> Any:
    from rich.text import Text

    text = Text(" armour fuzz ", style="bold reverse")
    text.append(f" {title}", style="bold not reverse")
    text.truncate(WIDTH, overflow="ellipsis")
    return text


def _box(title: str, rows: list[tuple[str, str]]) -> Any:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True, justify="right", overflow="ellipsis")
    for name, value in rows:
        table.add_row(name, Text(value))
    return Panel(table, title=title, title_align="left", width=WIDTH // 2)


def _time(status: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    done, budget = status["executions"], status.get("budget")
    share = f" of {budget:,}" if budget else ""
    now, mean = status["executions_per_second_now"], status["executions_per_second"]
    left = status.get("remaining")
    return "time", [
        ("run time", clock(status["seconds"])),
        ("remaining", "until stopped" if left is None else clock(left)),
        ("executions", f"{done:,}{share}"),
        ("speed", f"{now:,.0f}/s, mean {mean:,.0f}/s"),
    ]


def _found(status: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    other = status.get("baseline") or {}

    def both(name: str, own: str | None = None) -> str:
        value = f"{status[own or name]:,}"
        return f"{value:>8} {other[name]:>8,}" if name in other else value

    return ("found: guided, random" if other else "found"), [
        ("classes (D2)", both("classes")),
        ("failing inputs", both("failures")),
        ("seeds broken", both("roots", "roots_broken")),
        ("(seed, label)", both("distinct")),
    ]


def _inputs(status: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    steady = status.get("stability")
    return "inputs", [
        ("valid", f"{100 * status['valid_share']:.1f} %"),
        ("coverage (KMNC)", f"{100 * status['coverage']:.1f} %"),
        ("seeds", f"{status['roots']:,}"),
        ("stability", "not tried" if steady is None else f"{100 * steady:.3g} %"),
    ]


def _risk(status: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    since = f"{clock(status['since_seconds'])}, {status['since_executions']:,} ex."
    rows = [
        ("last new class", since if status["classes"] else "none yet"),
        ("seen once (f1)", f"{status['once']:,} of {status['classes']:,}"),
        ("residual risk", f"{status['residual']:.2g}, 95 % < {status['residual_bound']:.2g}"),
    ]
    bound = status.get("failure_bound")
    if bound is not None:
        return "risk", [*rows, ("failure rate", f"at most {100 * bound:.2g} %")]
    return "risk", [*rows, ("", "(biased by guidance)")]


def _growth(status: Mapping[str, Any]) -> Any:
    from rich.text import Text

    points = list(status.get("growth", ()))
    most = max([1, *(max(point[1:]) for point in points)])
    lines = Text()
    for place, name, style in ((1, "guided", "bold cyan"), (2, "random", "magenta")):
        if place == 2 and not status.get("baseline"):
            continue
        values = [point[place] for point in points][-_SPARK:]
        lines.append(f"{name:<8}")
        lines.append(spark(values, most).ljust(_SPARK), style=style)
        lines.append(f"{values[-1] if values else 0:>8,}")
        lines.append("\n")
    lines.rstrip()
    return lines


def spark(values: list[int], most: int) -> str:
    """A row of blocks, one for each value, as high as it is beside `most`."""
    last = len(_BLOCKS) - 1
    return "".join(_BLOCKS[min(last, max(0, round(last * value / most)))] for value in values)


def clock(seconds: float) -> str:
    """Seconds as 0:59, 12:34 or 1:02:03."""
    whole = int(max(0.0, seconds))
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
