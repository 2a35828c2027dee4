"""The HTML page of a report: one file, no script, no font and no address to load anything from.

Everything shown comes from the Report, and every text is escaped: labels, names and recipes may come from a
stranger.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from armour import page_charts, page_evaluation, page_hardening, page_tables, pages
from armour.report_checks import all_checks, badges, limits
from armour.report_hardening import hardening_verdict
from armour.verdict import (
    attack_verdict,
    baseline_sentence,
    fuzz_verdict,
    masking_sentence,
    plural,
    printable,
)

if TYPE_CHECKING:
    import jinja2

    from armour.report import Report

MAX_BYTES = 5_000_000
MAX_FAILURES = 60
MAX_EXAMPLES = 12


def html(report: Report, max_bytes: int = MAX_BYTES) -> str:
    """The report as one page of at most `max_bytes`; the gallery is cut until it fits, and says so."""
    failures, examples = MAX_FAILURES, MAX_EXAMPLES
    while True:
        page = _page(report, failures, examples)
        if len(page.encode("utf-8")) <= max_bytes or failures + examples == 0:
            return page
        failures, examples = failures // 2, examples // 2


def _page(report: Report, failures: int, examples: int) -> str:
    fuzz, checks = report.fuzz, all_checks(report)
    shown = pages.shown_failures(report, failures)
    context = {
        "report": report,
        "fuzz": fuzz,
        "sha256": report.sha256,
        "verdicts": _verdicts(report),
        "masking": masking_sentence(report.evaluation) if report.evaluation else "",
        "signs": bool(report.evaluation and report.evaluation.signs),
        "hardening": page_hardening.hardening_table(report.hardening),
        "hardened": page_hardening.hardening_lead(report.hardening) if report.hardening else "",
        "hardening_notes": report.hardening.notes if report.hardening else (),
        "attack_table": page_evaluation.attack_table(report),
        "notes": report.evaluation.notes if report.evaluation else (),
        "charts": page_evaluation.charts(report.evaluation),
        "groups": page_evaluation.group_table(report),
        "transfer": page_evaluation.transfer_table(report.evaluation),
        "badges": badges(report),
        "facts": pages.facts(report),
        "figures": pages.figures(report),
        "baseline": baseline_sentence(fuzz) if fuzz else "",
        "campaigns": page_tables.campaign_table(fuzz, report.model) if fuzz else None,
        "heat": page_tables.heat_table(fuzz, report.model),
        "checks": checks,
        "trust": _trust([check.status for check in checks]),
        "troubled": any(check.status in ("warning", "error") for check in checks),
        "curves": page_charts.security_curves(report),
        "class_tables": page_tables.class_tables(report),
        "gallery": {
            "failures": shown,
            "specimen": pages.specimen(shown, report.model.bounds),
            "examples": pages.shown_examples(report, examples),
            "note": _gallery_note(report, len(shown)),
        },
        "growth": page_charts.growth_charts(fuzz),
        "environment": pages.environment_rows(report),
        "limits": limits(report),
    }
    return templates().get_template("report.html.j2").render(sections=_sections(context), **context)


def _verdicts(report: Report) -> list[tuple[str, str]]:
    found = [hardening_verdict(report.hardening)] if report.hardening else []
    found += [attack_verdict(section) for section in report.attacks]
    if report.fuzz is not None:
        found.append(fuzz_verdict(report.fuzz))
    found = [(head[:1].upper() + head[1:], rest) for head, rest in found]
    return found or [("Nothing was evaluated", "(this report holds no attack and no fuzzing campaign)")]


def _trust(statuses: list[str]) -> str:
    words = {"ok": "ok", "note": "note", "warning": "warning", "error": "error"}
    counts = {word: statuses.count(status) for status, word in words.items()}
    parts = [f"{counts['ok']} ok", *(plural(n, word) for word, n in counts.items() if n and word != "ok")]
    return f"{plural(len(statuses), 'check')}: {', '.join(parts)}"


def _gallery_note(report: Report, shown: int) -> str:
    if report.fuzz is None:
        return ""
    total = report.fuzz.guided.classes
    if shown >= total:
        return f"One failure of each of the {plural(total, 'class')} (D2)."
    return f"Capped: one failure of each of {shown:,} of {total:,} classes (D2), most frequent pairs first."


def _sections(context: dict[str, Any]) -> list[tuple[str, str]]:
    found = [("hardening", "Hardening")] if context["hardening"] else []
    found += [("found", "Found")] if context["fuzz"] else []
    found.append(("trust", "Trust"))
    found += [("attacks", "Attacks")] if context["attack_table"] else []
    found += [(context["curves"][0].chart.key, "Curve")] if context["curves"] else []
    found += [("measures", "Distances")] if context["charts"] else []
    found += [("classes", "Classes")] if context["class_tables"] else []
    found += [("groups", "Groups")] if context["groups"] or context["transfer"] else []
    found += [("failures", "Failures")] if context["gallery"]["failures"] else []
    found += [("growth", "Growth")] if context["growth"] else []
    return [*found, ("environment", "Environment"), ("reproduce", "Reproduce"), ("limits", "Limits")]


def _plain(value: Any) -> Any:
    """Text without control and direction-changing characters, wherever the template puts it."""
    return printable(value, limit=400_000) if type(value) is str else value


@cache
def templates() -> jinja2.Environment:
    """The templates of our pages, which escape all text."""
    import jinja2
    from markupsafe import Markup

    names = ("report.html.j2", "compare.html.j2", "report_parts.j2", "report.css.j2")
    sources = {name: (files("armour") / name).read_text(encoding="utf-8") for name in names}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(sources),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # The style sheet is ours and holds no field, so it goes in as it is.
    environment.globals["css"] = Markup(sources["report.css.j2"])
    environment.filters["line"] = lambda value, limit=200: printable(str(value), limit)
    environment.filters["sentence"] = lambda text: (
        printable(str(text), 400).replace("<=", "≤").replace(">=", "≥")
    )
    return environment
