"""A report as Markdown, short enough for the description of a pull request (below 64 KiB)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armour import page_charts, page_evaluation, page_hardening, page_tables, pages
from armour.report_checks import all_checks, badges, limits
from armour.report_hardening import hardening_sentence
from armour.verdict import (
    attack_sentence,
    baseline_sentence,
    fuzz_sentence,
    masking_sentence,
    printable,
)

if TYPE_CHECKING:
    from armour.report import Report

MAX_FAILURES = 40
# What would start a tag, a link, a table cell or emphasis; escaped, so that a label stays a label.
_SPECIAL = "\\`*_[]<>#|!~&@"


def markdown(report: Report) -> str:
    """Verdicts, tables, failures with their recipes, environment, reproduction and limits; no pictures."""
    parts = [f"# {text(report.title)}: {text(report.model.name)}"]
    verdicts = [hardening_sentence(report.hardening)] if report.hardening else []
    verdicts += [attack_sentence(section) for section in report.attacks]
    verdicts += [fuzz_sentence(report.fuzz)] if report.fuzz else []
    parts += [f"**{text(line[:1].upper() + line[1:])}**" for line in verdicts or ["nothing was evaluated"]]
    if report.evaluation is not None:
        parts.append(f"**{text(masking_sentence(report.evaluation))}**")
    if report.fuzz is not None:
        parts.append(text(baseline_sentence(report.fuzz)))
    found = badges(report)
    if found:
        parts.append("\n".join(f"- **{text(badge.text)}**: {text(badge.meaning)}" for badge in found))
    hardened = page_hardening.hardening_table(report.hardening)
    if report.hardening is not None and hardened is not None:
        parts += ["## Hardening", text(page_hardening.hardening_lead(report.hardening))]
        parts += [text(hardened.caption), _table(hardened.heads, hardened.rows)]
    if report.fuzz is not None:
        parts += ["## What fuzzing found", _campaigns(report)]
    attacks = page_evaluation.attack_table(report)
    if attacks is not None:
        parts += ["## Attack by attack", text(attacks.caption), _table(attacks.heads, attacks.rows)]
    if report.evaluation is not None and report.evaluation.notes:
        parts.append("\n".join(f"- {text(note)}" for note in report.evaluation.notes))
    for curve in page_charts.security_curves(report):
        parts += [f"## {text(curve.chart.title)}", _table(curve.heads, curve.rows)]
    for curve in page_evaluation.charts(report.evaluation):
        parts += [
            f"## {text(curve.chart.title)}",
            text(curve.chart.description),
            _table(curve.heads, curve.rows),
        ]
    for table in (page_evaluation.group_table(report), page_evaluation.transfer_table(report.evaluation)):
        if table is not None:
            parts += [f"## {text(table.caption)}", _table(table.heads, table.rows)]
    if report.fuzz is not None and report.fuzz.failures:
        parts += ["## Failures", _failures(report)]
    checks = [
        [check.id, check.status, check.title, f"{check.text} {check.advice}".strip()]
        for check in all_checks(report)
    ]
    parts += ["## Can you trust this?", _table(["id", "verdict", "check", "why"], checks)]
    parts += [
        "## Environment",
        _table(["what", "value"], [list(row) for row in pages.environment_rows(report)]),
    ]
    if report.provenance.reproduce:
        parts += [
            "## How to reproduce",
            "\n".join(f"    {printable(c, 2000)}" for c in report.provenance.reproduce),
        ]
    parts += [
        "## Limits: what was not tested",
        "\n".join(f"- {text(limit, 1000)}" for limit in limits(report)),
    ]
    parts.append(f"{report.schema}, sha256 `{report.sha256}`")
    return "\n\n".join(parts) + "\n"


def text(value: str, limit: int = 600) -> str:
    """One line of plain text: nothing in it is taken for markup."""
    return "".join(f"\\{c}" if c in _SPECIAL else c for c in printable(str(value), limit))


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads)]
    shown = [[text(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [[text(h) for h in heads], *lines[1:], *shown])


def _campaigns(report: Report) -> str:
    assert report.fuzz is not None
    table: Any = page_tables.campaign_table(report.fuzz, report.model)
    rows = [[f"{row.name} {row.note}".strip(), *row.cells] for row in table["rows"]]
    return _table(["count", *table["heads"]], rows)


def _failures(report: Report) -> str:
    assert report.fuzz is not None
    shown = pages.shown_failures(report, MAX_FAILURES)
    rows = [
        [
            f"{item.true} → {item.predicted}",
            item.failure.validity,
            item.failure.operations,
            item.failure.replay,
        ]
        for item in shown
    ]
    note = f"One failure of each of {len(shown):,} of {report.fuzz.guided.classes:,} classes (D2)."
    return f"{text(note)}\n\n{_table(['true → predicted', 'validity', 'operations', 'replay'], rows)}"
