"""What `armour evaluate` says at its end: verdict, attacks, curve and checks, as text or as a JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from armour.page_evaluation import attack_table, group_table, transfer_table
from armour.report import Report
from armour.report_checks import all_checks
from armour.verdict import (
    attack_sentence,
    epsilon_text,
    interval_text,
    masking_sentence,
    percent,
    printable,
)


def summary(report: Report, output: Path | None, page: Path | None) -> dict[str, Any]:
    """The result as one JSON object."""
    section, attack = report.evaluation, report.attacks[0]
    assert section is not None
    k = attack.headline
    return {
        "verdict": attack_sentence(attack),
        "masking": section.masking,
        "signs": section.signs,
        "model": report.model.name,
        "fingerprint": report.model.fingerprint,
        "data": attack.data.name,
        "samples": attack.clean.n,
        "seed": report.provenance.seed,
        "threat": {
            "norm": section.threat.norm,
            "epsilon": attack.epsilons[k],
            "knowledge": section.threat.knowledge,
            "queries": section.threat.queries,
            "goal": section.threat.goal,
        },
        "clean_accuracy": attack.clean.value,
        "clean_interval": [attack.clean.low, attack.clean.high],
        "robust_accuracy": attack.robust[k].value,
        "results": [
            {"epsilon": epsilon, "robust_accuracy": rate.value, "interval": [rate.low, rate.high]}
            for epsilon, rate in zip(attack.epsilons, attack.robust, strict=True)
        ],
        "attacks": [
            {
                "name": step.name,
                "config": step.config,
                "given": step.given,
                "broken": step.broken,
                "left": [rate.value for rate in step.left],
                "queries": step.queries,
                "gradients": step.gradients,
                "complete": step.complete,
            }
            for step in section.steps
        ],
        "checks": [
            {"id": check.id, "title": check.title, "status": check.status, "text": check.text}
            | ({"advice": check.advice} if check.advice else {})
            for check in all_checks(report)
        ],
        "complete": section.complete,
        "notes": section.notes,
        "queries": attack.queries,
        "gradients": attack.gradients,
        "seconds": attack.seconds,
        "sha256": report.sha256,
        "output": None if output is None else str(output),
        "report": None if page is None else str(page),
    }


def table(report: Report, output: Path | None, page: Path | None) -> str:
    """The result for people."""
    section, attack = report.evaluation, report.attacks[0]
    assert section is not None
    lines = [attack_sentence(attack), masking_sentence(section), ""]
    where = (
        f"{printable(report.model.name)}, {attack.clean.n:,} samples of {attack.data.name or 'unnamed data'}"
    )
    lines += [f"{where}, seed {report.provenance.seed}", ""]
    attacks = attack_table(report)
    if attacks is not None:
        lines += [attacks.caption, *grid([attacks.heads, *attacks.rows]), ""]
    norm = section.threat.norm
    curve = [[f"{norm} epsilon", "accuracy", "95 % interval"], ["clean", *_rate(attack.clean, "")]]
    curve += [
        [epsilon_text(e), *_rate(r, "<= ")] for e, r in zip(attack.epsilons, attack.robust, strict=True)
    ]
    lines += [*grid(curve), ""]
    for more in (group_table(report), transfer_table(section)):
        if more is not None:
            lines += [more.caption, *grid([more.heads, *more.rows]), ""]
    checks = all_checks(report)
    counts = [f"{sum(c.status == s for c in checks)} {s}" for s in ("ok", "note", "warning", "error")]
    lines.append(f"{len(checks)} checks: {', '.join(counts)}")
    for check in checks:
        if check.status in ("warning", "error"):
            lines.append(f"  {check.status} {check.id}: {check.text} {check.advice}".rstrip())
    lines += [f"note: {note}" for note in section.notes]
    lines += ["", f"{attack.queries:,} queries, {attack.gradients:,} gradients, {attack.seconds:.1f} s"]
    lines += [f"wrote {path}" for path in (output, page) if path is not None]
    return "\n".join(lines)


def grid(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns, the first to the left and the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _rate(rate: Any, sign: str) -> list[str]:
    return [f"{sign}{percent(rate.value)}", interval_text(rate)]
