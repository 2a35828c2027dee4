"""What `armour demo` says at its end: a table on a terminal, plain lines otherwise, figures for --json."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from armour.report import Report
from armour.verdict import (
    attack_sentence,
    baseline_sentence,
    fuzz_sentence,
    fuzz_speed,
    interval_text,
    percent,
    printable,
)


def figures(report: Report, folder: Path, seconds: float) -> dict[str, Any]:
    """The result as one JSON object."""
    attack, fuzz = report.attacks[0], report.fuzz
    assert fuzz is not None
    counts = ("schedule", "executions", "valid", "failures", "classes", "distinct", "roots", "seconds")
    campaigns = [fuzz.guided, *([fuzz.baseline] if fuzz.baseline else [])]
    guided, *baseline = ({name: getattr(one, name) for name in counts} for one in campaigns)
    return {
        "report": str(folder / "report.json"),
        "page": str(folder / "report.html"),
        "model": str(folder / "model.ckpt"),
        "corpus": str(folder / "demo-fuzz"),
        "sha256": report.sha256,
        "verdict": [attack_sentence(attack), fuzz_sentence(fuzz)],
        "clean_accuracy": attack.clean.value,
        "epsilons": attack.epsilons,
        "robust_accuracy": [rate.value for rate in attack.robust],
        "fuzz": {**guided, "baseline": baseline[0] if baseline else None},
        "seconds": seconds,
    }


def show(report: Report, folder: Path, seconds: float) -> None:
    """The summary on stdout."""
    rows, files, commands = _rows(report, seconds), _files(folder), _next(folder)
    if sys.stdout.isatty():
        _table(rows, files, commands)
        return
    for pairs in (rows, files):
        width = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            click.echo(f"{name:<{width}}  {value}")
    click.echo("next:")
    for command in commands:
        click.echo(f"  {command}")


def _rows(report: Report, seconds: float) -> list[tuple[str, str]]:
    attack, fuzz = report.attacks[0], report.fuzz
    assert fuzz is not None
    head, detail = attack_sentence(attack), fuzz_sentence(fuzz)
    return [
        (
            "network",
            f"{printable(report.model.name)}, {attack.data.n:,} held-out images of {attack.data.name}",
        ),
        ("clean accuracy", f"{percent(attack.clean.value)} (95 % CI {interval_text(attack.clean)})"),
        ("under attack", head),
        ("under fuzzing", detail),
        ("", baseline_sentence(fuzz)),
        ("fuzzing speed", f"{fuzz_speed(fuzz) or 0:,.0f} inputs a second mutated, validity-checked, judged"),
        ("time", f"{seconds:.0f} s"),
    ]


def _files(folder: Path) -> list[tuple[str, str]]:
    return [
        (str(folder / "report.html"), "the report: open it in a browser"),
        (str(folder / "report.json"), "the same figures as data"),
        (str(folder / "model.ckpt"), "the network, its data set and how it was trained"),
        (str(folder / "demo-fuzz"), "every failure with the recipe that makes it again"),
    ]


def _next(folder: Path) -> list[str]:
    model, corpus, result = (
        shlex.quote(str(folder / name)) for name in ("model.ckpt", "demo-fuzz", "report.json")
    )
    return [
        f"armour fuzz {model}",
        f"armour attack {model} --attack pgd --epsilon 0.1",
        f"armour corpus replay {corpus}",
        f"armour report {result} -o report.md",
    ]


def _table(rows: list[tuple[str, str]], files: list[tuple[str, str]], commands: list[str]) -> None:
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    def grid(pairs: list[tuple[str, str]], style: str) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column()
        for name, value in pairs:
            table.add_row(Text(name, style=style), Text(value))
        return table

    console = Console()
    console.print(Panel(grid(rows, "bold"), title="armour demo", title_align="left", border_style="dim"))
    lines = [Text("next", style="bold"), *(Text(f"  {command}") for command in commands)]
    console.print(Group(grid(files, "cyan"), Text(""), *lines))
