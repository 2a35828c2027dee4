"""The tables of the HTML page: counts of the campaigns, failures by class pair, accuracy by class."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from armour.report import Report
from armour.report_sections import AttackSection, Campaign, FuzzSection, ModelInfo
from armour.verdict import epsilon_text, interval_text, norm_text, percent

MAX_HEAT = 12


class Row(NamedTuple):
    """A row of the table of campaigns."""

    name: str
    note: str
    cells: list[str]


def campaign_table(fuzz: FuzzSection, model: ModelInfo) -> dict[str, object]:
    """The counts of the guided campaign beside the baseline's."""
    both = [fuzz.guided, *([fuzz.baseline] if fuzz.baseline else [])]

    def row(name: str, note: str, value: Callable[[Campaign], str]) -> Row:
        return Row(name, note, [value(campaign) for campaign in both])

    rows = [
        row("Distinct failures", "(root, predicted class)", lambda c: f"{c.distinct:,}"),
        row("Failure classes, D2", "pair and operation families", lambda c: f"{c.classes:,}"),
        *(
            [row("Variants, D3", "class and fingerprint of a layer", lambda c: f"{c.variants or 0:,}")]
            if fuzz.guided.variants is not None
            else []
        ),
        row("Class pairs, D1", "(true, predicted)", lambda c: f"{c.pairs:,}"),
        row("Failing inputs, D0", f"at {fuzz.level}", lambda c: f"{c.failures:,}"),
        row("Roots broken", f"of {fuzz.roots:,}", lambda c: f"{c.roots:,}"),
        row("Spread of predictions", "1 is even over classes", lambda c: _spread(c, model.num_classes)),
        row("Failing, but not valid enough", f"below {fuzz.level}", lambda c: f"{_below(c, fuzz.level):,}"),
        row(f"Valid at {fuzz.level}", "of executions", lambda c: _share(c.valid, c.executions)),
    ]
    names = sorted({name for campaign in both for name in (*campaign.coverage, *(campaign.measures or {}))})
    rows += [
        Row(f"Coverage, {name.upper()}", "no verdict", [_coverage(campaign, name) for campaign in both])
        for name in names
    ]
    names = sorted({name for campaign in both for name in campaign.correlation or {}})
    rows += [
        Row(
            f"Growth, {name.upper()}",
            "rank correlation with failures",
            [_correlation(campaign, name) for campaign in both],
        )
        for name in names
    ]
    rows.append(row("Executions", "", lambda c: f"{c.executions:,}"))
    if any(campaign.seconds for campaign in both):
        rows.append(row("Seconds", "share of the run", lambda c: f"{c.seconds:,.1f}"))
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
    caption = (
        f"Guided failures at {fuzz.level}, by true class (rows) and the class they are read as (columns)"
    )
    heads = [model.label(label) for label in labels]
    return {"heads": heads, "rows": rows, "caption": caption, "long": max(map(len, heads)) > 3}


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
    from armour.fuzz.coverage import shown

    if name in (campaign.measures or {}):
        return shown(name, (campaign.measures or {})[name])
    return percent(campaign.coverage[name]) if name in campaign.coverage else "–"


def _correlation(campaign: Campaign, name: str) -> str:
    found = (campaign.correlation or {}).get(name)
    return "–" if found is None else f"{found[0]:+.2f} [{found[1]:+.2f}, {found[2]:+.2f}]"


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({percent(part / whole)})" if whole else f"{part:,}"


def _symbols(text: str) -> str:
    return text.replace("<=", "≤").replace(">=", "≥")
