"""What `armour harden` says at its end: one column for each model, as text or as a JSON object."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from armour import records
from armour.page_hardening import hardening_lead, hardening_table
from armour.report_hardening import HardeningSection, gained, hardening_sentence
from armour.verdict import percent

_SHORT = {"clean": "control: same seeds", "mutants": "control: mutants"}


def figures(section: HardeningSection, target: Path, folder: Path, command: str) -> dict[str, Any]:
    """The object of `armour harden --json`."""
    return {
        "verdict": hardening_sentence(section),
        "gained": gained(section),
        **records.to_tree(section),
        "output": str(target),
        "folder": str(folder),
        "report": str(folder / "report.html"),
        "command": command,
    }


def summary(section: HardeningSection, name: str, target: Path, folder: Path, command: str) -> str:
    """The closing lines of `armour harden`."""
    table = hardening_table(section)
    assert table is not None
    heads = [
        "",
        *(_SHORT.get(model.name, head) for model, head in zip(section.models, table.heads[1:], strict=True)),
    ]
    rows = [heads]
    for measure in ("broken", "failures", "classes", "again_b", "again_a", "clean"):
        rows.append([_MEASURES[measure], *(_cell(getattr(model, measure)) for model in section.models)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]
    verdict = hardening_sentence(section)
    text = [f"{name}: {hardening_lead(section)}", "", *lines, "", verdict[:1].upper() + verdict[1:]]
    text += [f"note: {note}" for note in section.notes]
    text += ["", f"wrote   {target}", f"report  {folder / 'report.html'}"]
    text.append(f"again   {command}")
    return "\n".join([*text, f"next    armour fuzz {shlex.quote(str(target))}"])


_MEASURES = {
    "broken": "roots of B broken",
    "failures": "failing inputs on B",
    "classes": "failure classes (D2)",
    "again_b": "old failures of B left",
    "again_a": "failures of A left (trained on)",
    "clean": "held-out accuracy",
}


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value.k:,} of {value.n:,} ({percent(value.value)})"
