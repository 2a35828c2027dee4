"""What the HTML page shows, computed from a Report: rows of tables, charts, captions. No HTML is written
here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from armour import plots
from armour.report import Report
from armour.report_sections import AttackSection, Campaign, Example, Failure, FuzzSection, ModelInfo
from armour.verdict import epsilon_text, interval_text, norm_text, percent, plural, printable

WIDE, NARROW, THIRD = (1020, 380), (360, 300), (330, 280)
MAX_HEAT = 12


class Figure(NamedTuple):
    """One large number of the page's head."""

    name: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart at two widths, with the table behind it."""

    chart: plots.Chart
    wide: Markup
    narrow: Markup
    heads: list[str]
    rows: list[list[str]]


class Row(NamedTuple):
    """A row of the table of campaigns."""

    name: str
    note: str
    cells: list[str]


class Shown(NamedTuple):
    """A failure with its labels as text."""

    failure: Failure
    true: str
    predicted: str
    figures: str
    operations: str


class Adversarial(NamedTuple):
    """An adversarial example with its labels as text."""

    example: Example
    true: str
    predicted: str
    note: str


def facts(report: Report) -> list[str]:
    """What stands beside the model's name: parameters, input, data."""
    model, found = report.model, []
    if model.parameters is not None:
        found.append(f"{model.parameters:,} parameters")
    if model.input_shape:
        found.append("input " + "×".join(str(side) for side in model.input_shape))
    sections = [*report.attacks, *([report.fuzz] if report.fuzz else [])]
    for data in dict.fromkeys((section.data.name, section.data.n) for section in sections):
        found.append(f"{data[0]} (n={data[1]:,})")
    if report.provenance.seed is not None:
        found.append(f"seed {report.provenance.seed}")
    return found


def figures(report: Report) -> list[Figure]:
    """The numbers that the page opens with."""
    found = []
    clean = report.clean or (report.attacks[0].clean if report.attacks else None)
    if clean is not None:
        found.append(Figure("Clean accuracy", percent(clean.value), f"{interval_text(clean)}, n={clean.n:,}"))
    for section in report.attacks[:2]:
        rate, epsilon = section.robust[section.headline], epsilon_text(section.epsilons[section.headline])
        name = f"Robust accuracy, {norm_text(section.norm)} {epsilon}"
        found.append(Figure(name, f"<= {percent(rate.value)}", f"{interval_text(rate)}, {section.name}"))
    if report.fuzz is not None:
        found += _fuzz_figures(report.fuzz)
    return found


def security_curves(report: Report) -> list[Drawn]:
    """One chart for each norm: robust accuracy over epsilon, with clean accuracy at 0."""
    drawn = []
    for norm in dict.fromkeys(section.norm for section in report.attacks):
        group = [section for section in report.attacks if section.norm == norm]
        first = group[0]
        budget = printable(norm_text(norm), 20)
        epsilon, rate = first.epsilons[first.headline], first.robust[first.headline]
        names = printable(", ".join(dict.fromkeys(section.name for section in group)))
        chart = plots.Chart(
            key=f"curve-{len(drawn)}",
            title="Security curve" if len(drawn) == 0 else f"Security curve, {budget}",
            description=f"Accuracy left after {names} as the {budget} budget grows from 0 (clean). "
            "The band is the 95 % interval of the sample; it says nothing about attacks that were not tried.",
            x_label=f"{budget} epsilon",
            y_label="accuracy",
            series=tuple(_curve(section) for section in group),
            percent=True,
            mark=(epsilon, f"{epsilon_text(epsilon)}: ≤ {percent(rate.value)}"),
            x_text=epsilon_text,
        )
        drawn.append(_draw(chart, WIDE))
    return drawn


def growth_charts(fuzz: FuzzSection | None) -> list[Drawn]:
    """Distinct failures and D2 classes over executions, guided and baseline."""
    if fuzz is None or len(fuzz.guided.curve) < 2:
        return []
    lines = [(printable(f"guided ({fuzz.guided.schedule})", 40), fuzz.guided.curve)]
    if fuzz.baseline is not None and fuzz.baseline.curve:
        lines.append(("stacked random", fuzz.baseline.curve))
    titles = {
        "distinct": ("Distinct failures", "different pairs of root and predicted class"),
        "classes": ("D2 failure classes", "oracle, true and predicted class, operation families"),
        "roots": ("Roots broken", "seed images with at least one failure"),
    }
    drawn = []
    for field, (title, meaning) in titles.items():
        last = "; ".join(f"{name} {getattr(curve[-1], field):,}" for name, curve in lines)
        chart = plots.Chart(
            key=f"growth-{field}",
            title=title,
            description=f"{title} ({meaning}) found over executions, logarithmic. At the end: {last}.",
            x_label="executions",
            y_label=meaning,
            series=tuple(
                plots.Series(
                    name=name,
                    x=tuple(float(p.executions) for p in curve if p.executions > 0),
                    y=tuple(float(getattr(p, field)) for p in curve if p.executions > 0),
                )
                for name, curve in lines
            ),
            log_x=True,
            x_text="{:,.0f}".format,
        )
        drawn.append(_draw(chart, THIRD))
    return drawn


def campaign_table(fuzz: FuzzSection, model: ModelInfo) -> dict[str, object]:
    """The counts of the guided campaign beside the baseline's."""
    both = [fuzz.guided, *([fuzz.baseline] if fuzz.baseline else [])]

    def row(name: str, note: str, value: Callable[[Campaign], str]) -> Row:
        return Row(name, note, [value(campaign) for campaign in both])

    rows = [
        row("Distinct failures", "(root, predicted class)", lambda c: f"{c.distinct:,}"),
        row("Failure classes, D2", "pair and operation families", lambda c: f"{c.classes:,}"),
        row("Class pairs, D1", "(true, predicted)", lambda c: f"{c.pairs:,}"),
        row("Failing inputs, D0", f"at {fuzz.level}", lambda c: f"{c.failures:,}"),
        row("Roots broken", f"of {fuzz.roots:,}", lambda c: f"{c.roots:,}"),
        row("Spread of predictions", "1 is even over classes", lambda c: _spread(c, model.num_classes)),
        row("Failing, but not valid enough", f"below {fuzz.level}", lambda c: f"{_below(c, fuzz.level):,}"),
        row(f"Valid at {fuzz.level}", "of executions", lambda c: _share(c.valid, c.executions)),
    ]
    names = sorted({name for campaign in both for name in campaign.coverage})
    rows += [row(f"Coverage, {name}", "no verdict", lambda c, n=name: _coverage(c, n)) for name in names]  # type: ignore[misc]
    rows.append(row("Executions", "", lambda c: f"{c.executions:,}"))
    if any(campaign.seconds for campaign in both):
        rows.append(row("Seconds", "", lambda c: f"{c.seconds:,.1f}"))
    heads = [f"guided ({fuzz.guided.schedule})", *(["stacked random"] if fuzz.baseline else [])]
    return {
        "heads": heads,
        "rows": rows,
        "caption": "Each schedule on the same roots, with the same mutators",
    }


def heat_table(fuzz: FuzzSection | None, model: ModelInfo) -> dict[str, object] | None:
    """Failures by true and predicted class; None if there are none or too many classes for a table."""
    if fuzz is None or not fuzz.guided.pair_counts:
        return None
    counts = {}
    for key, count in fuzz.guided.pair_counts.items():
        true, _, predicted = key.partition(">")
        if true.isdecimal() and predicted.isdecimal():
            counts[int(true), int(predicted)] = count
    labels = sorted({label for pair in counts for label in pair})
    if model.num_classes and model.num_classes <= MAX_HEAT:
        labels = sorted({*labels, *range(model.num_classes)})
    if not counts or len(labels) > MAX_HEAT:
        return None
    most = max(counts.values())
    rows = [
        {
            "head": model.label(true),
            "cells": [
                {
                    "same": true == predicted,
                    "count": counts.get((true, predicted), 0),
                    "shade": round(6 + 40 * counts.get((true, predicted), 0) / most),
                }
                for predicted in labels
            ],
        }
        for true in labels
    ]
    caption = f"Guided failures at {fuzz.level}, by true class and the class they are read as"
    return {"heads": [model.label(label) for label in labels], "rows": rows, "caption": caption}


def class_tables(report: Report) -> list[dict[str, object]]:
    """Accuracy by class: one table for each attack, at no more than four epsilons."""
    found: list[dict[str, object]] = []
    for section in report.attacks:
        if not section.classes:
            continue
        columns = _columns(section)
        heads = [
            "n",
            "clean",
            *(f"{norm_text(section.norm)} {epsilon_text(section.epsilons[i])}" for i in columns),
        ]
        rows = [
            {
                "label": report.model.label(row.label),
                "n": f"{row.clean.n:,}",
                "cells": [
                    {
                        "text": percent(rate.value),
                        "interval": _symbols(interval_text(rate)),
                        "width": round(100 * rate.value, 1),
                    }
                    for rate in (row.clean, *(row.robust[i] for i in columns))
                ],
            }
            for row in section.classes
        ]
        caption = f"{section.name}: accuracy of each true class, with 95 % intervals in percent"
        found.append({"heads": heads, "rows": rows, "caption": caption})
    return found


def shown_failures(report: Report, limit: int) -> list[Shown]:
    """The first `limit` failures of the gallery with their labels."""
    if report.fuzz is None:
        return []
    label = report.model.label
    return [
        Shown(
            failure,
            label(failure.example.true),
            label(failure.example.predicted),
            _facts(failure.figures),
            _operations(failure.recipe),
        )
        for failure in report.fuzz.failures[:limit]
    ]


def shown_examples(report: Report, limit: int) -> list[Adversarial]:
    """The first `limit` adversarial examples of all attacks."""
    label = report.model.label
    return [
        Adversarial(
            example,
            label(example.true),
            label(example.predicted),
            f"{section.name}, {norm_text(section.norm)} {epsilon_text(section.epsilons[section.headline])}",
        )
        for section in report.attacks
        for example in section.examples
    ][:limit]


def environment_rows(report: Report) -> list[tuple[str, str]]:
    """Environment and model identity as name and value."""
    where, model = report.environment, report.model
    rows = [
        ("armour", where.armour),
        ("Python", where.python),
        ("System", f"{where.system}, {where.machine}"),
        ("Processor", f"{where.processor}, {plural(where.cores, 'core')}"),
        ("BLAS", where.blas),
        ("Device", where.device),
        ("Packages", ", ".join(f"{name} {version}" for name, version in sorted(where.packages.items()))),
    ]
    if where.settings:
        rows.append(("Settings", ", ".join(f"{k}={v}" for k, v in sorted(where.settings.items()))))
    if model.fingerprint:
        rows.append(("Model sha256", model.fingerprint))
    rows += [(f"Model: {key}", value) for key, value in sorted(model.provenance.items())]
    for section in report.attacks:
        rows.append(
            (section.name, f"{section.config}; {section.queries:,} queries, {section.gradients:,} gradients")
        )
    if report.fuzz is not None:
        rows.append(("Mutators", ", ".join(report.fuzz.mutators) or "not recorded"))
        rows.append(("Oracles", ", ".join(report.fuzz.oracles)))
        rows.append(("Validity", report.fuzz.validator or f"{report.fuzz.level}, validator not recorded"))
    return rows


def _fuzz_figures(fuzz: FuzzSection) -> list[Figure]:
    guided, base = fuzz.guided, fuzz.baseline
    beside = (lambda count: f"stacked random {count:,}") if base else (lambda count: "no baseline")
    found = [
        Figure("Distinct failures", f"{guided.distinct:,}", beside(base.distinct if base else 0)),
        Figure("Failure classes (D2)", f"{guided.classes:,}", beside(base.classes if base else 0)),
    ]
    if guided.seconds > 0:
        speed = guided.executions / guided.seconds
        found.append(Figure("Inputs tested a second", f"{speed:,.0f}", "mutated, validity-checked, judged"))
    return found


def _curve(section: AttackSection) -> plots.Series:
    rates = [*section.robust] if section.epsilons[0] == 0 else [section.clean, *section.robust]
    epsilons = section.epsilons if section.epsilons[0] == 0 else (0.0, *section.epsilons)
    return plots.Series(
        name=printable(section.name, 40),
        x=epsilons,
        y=tuple(rate.value for rate in rates),
        low=tuple(rate.low for rate in rates),
        high=tuple(rate.high for rate in rates),
    )


def _draw(chart: plots.Chart, size: tuple[int, int]) -> Drawn:
    heads, rows = plots.table(chart)
    return Drawn(
        chart, plots.line_chart(chart, *size), plots.line_chart(chart, *NARROW, suffix="-s"), heads, rows
    )


def _columns(section: AttackSection) -> list[int]:
    """Indices of at most four epsilons, the headline always among them."""
    count = len(section.epsilons)
    if count <= 4:
        return list(range(count))
    return sorted({0, section.headline, (section.headline + count - 1) // 2, count - 1})


def _spread(campaign: Campaign, num_classes: int) -> str:
    """Normalised entropy of the predicted classes (output impartiality); a dash without two classes."""
    totals: dict[str, int] = {}
    for key, count in campaign.pair_counts.items():
        predicted = key.partition(">")[2]
        totals[predicted] = totals.get(predicted, 0) + count
    whole, classes = sum(totals.values()), max(num_classes, len(totals))
    if whole == 0 or classes < 2:
        return "–"
    return f"{-sum(n / whole * math.log(n / whole) for n in totals.values() if n) / math.log(classes):.2f}"


def _below(campaign: Campaign, level: str) -> int:
    return sum(count for name, count in campaign.failing.items() if name == "invalid" or name < level)


def _coverage(campaign: Campaign, name: str) -> str:
    return percent(campaign.coverage[name]) if name in campaign.coverage else "–"


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({percent(part / whole)})" if whole else f"{part:,}"


def _symbols(text: str) -> str:
    return text.replace("<=", "≤").replace(">=", "≥")


def _operations(recipe: str) -> str:
    """A recipe for people: "root=3;rotate(deg=3.2041)@1f;blur(width=2)@9b" is "rotate(deg=3.2),
    blur(width=2)"."""
    steps = re.findall(r"(?:^|;)([a-z0-9-]+\([^()]*\))", recipe)
    short = [re.sub(r"-?\d+\.\d+(?:e-?\d+)?", lambda m: f"{float(m[0]):.3g}", step) for step in steps]
    return ", ".join(short) or "no operation"


def _facts(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in sorted(found.items()))
