"""What a page shows of an evaluation: attack by attack, distances, questions asked, groups, other models."""

from __future__ import annotations

from typing import NamedTuple

from armour import plots
from armour.page_charts import NARROW, Drawn
from armour.report import Report
from armour.report_evaluation import AttackStep, DistanceCurve, EvaluationSection, QueryCurve
from armour.report_sections import Rate
from armour.verdict import epsilon_text, interval_text, norm_text, percent, plural, printable

HALF = (500, 320)


class Table(NamedTuple):
    """Heads and rows of text; the first cell of a row is its name."""

    caption: str
    heads: list[str]
    rows: list[list[str]]


def attack_table(report: Report) -> Table | None:
    """What each attack broke at the verdict's epsilon, in their order."""
    section = report.evaluation
    if section is None:
        return None
    k = report.attacks[0].headline
    epsilon = f"{norm_text(section.threat.norm)} {epsilon_text(report.attacks[0].epsilons[k])}"
    heads = ["attack", "needs", "samples", "broken", "accuracy left", "queries", "gradients"]
    rows = [_attack_row(step, k) for step in section.steps]
    clean = ["none", "", f"{report.attacks[0].clean.n:,}", "", _rate(report.attacks[0].clean), "", ""]
    return Table(f"At {epsilon}, each attack on what those before it have left", heads, [clean, *rows])


def _attack_row(step: AttackStep, k: int) -> list[str]:
    spent = step.queries or step.gradients
    return [
        printable(step.name, 60) + ("" if step.complete else " (cut short)"),
        "gradients" if step.access == "white-box" else "answers",
        f"{step.given[k]:,}",
        f"{step.broken[k]:,}",
        f"<= {_rate(step.left[k])}",
        f"{step.queries:,}" if spent else "–",
        f"{step.gradients:,}" if spent else "–",
    ]


def _rate(rate: Rate) -> str:
    return f"{percent(rate.value)} ({interval_text(rate)})"


def group_table(report: Report) -> Table | None:
    """Accuracy of each group, clean and at no more than three epsilons."""
    section = report.evaluation
    if section is None or not section.groups:
        return None
    attack = report.attacks[0]
    columns = sorted({0, attack.headline, len(attack.epsilons) - 1})
    norm = norm_text(section.threat.norm)
    heads = ["group", "n", "clean", *(f"{norm} {epsilon_text(attack.epsilons[k])}" for k in columns)]
    rows = [
        [
            printable(group.name, 60),
            f"{group.clean.n:,}",
            _rate(group.clean),
            *(_rate(group.robust[k]) for k in columns),
        ]
        for group in section.groups
    ]
    return Table("Accuracy of each group, with 95 % intervals in percent", heads, rows)


def transfer_table(section: EvaluationSection | None) -> Table | None:
    """How inputs made on other models do on this one."""
    if section is None or not section.transfer:
        return None
    rows = [
        [printable(row.source, 60), epsilon_text(row.epsilon), _rate(row.itself), _rate(row.target)]
        for row in section.transfer
    ]
    heads = ["made on", "epsilon", "fools that model", "fools this one"]
    return Table("Adversarial inputs of other models, on this one", heads, rows)


def charts(section: EvaluationSection | None) -> list[Drawn]:
    """Distribution of the smallest distances, and success over questions."""
    if section is None:
        return []
    drawn = [] if section.distances is None else [_distances(section, section.distances)]
    return [*drawn, *(_queries(curve, number) for number, curve in enumerate(section.queries[:2]))]


def distance_sentence(curve: DistanceCurve, norm: str) -> str:
    """What the histogram is of."""
    source = curve.name or "the attacks within the budgets, so at no distance between them"
    median = f"median {curve.median:.3g}" if curve.median is not None else "fewer than half were broken"
    what = f"Smallest {norm_text(norm)} distance that broke each of {plural(curve.n, 'sample')}, by {source}"
    return f"{what}: {curve.found:,} broken, {median}."


def _distances(section: EvaluationSection, curve: DistanceCurve) -> Drawn:
    norm = printable(norm_text(section.threat.norm), 20)
    middles = tuple((a + b) / 2 for a, b in zip(curve.edges, curve.edges[1:], strict=False))
    chart = plots.Chart(
        key="distances",
        title="Smallest distances",
        description=printable(distance_sentence(curve, section.threat.norm), 400),
        x_label=f"{norm} distance",
        y_label="samples",
        series=(plots.Series(name="samples", x=middles, y=tuple(float(count) for count in curve.counts)),),
        mark=None if curve.median is None else (curve.median, f"median {curve.median:.3g}"),
        edges=curve.edges,
        x_text="{:.3g}".format,
    )
    return _draw(chart)


def _queries(curve: QueryCurve, number: int) -> Drawn:
    points = [(q, rate) for q, rate in zip(curve.queries, curve.broken, strict=True) if q > 0]
    name = printable(curve.name, 40)
    chart = plots.Chart(
        key=f"queries-{number}",
        title="Success over questions",
        description=f"Share of {points[-1][1].n if points else 0:,} samples read right that {name} breaks "
        f"within {epsilon_text(curve.epsilon)}, by the questions it may ask about each (logarithmic).",
        x_label="questions about each sample",
        y_label="broken",
        series=(
            plots.Series(
                name=name,
                x=tuple(float(q) for q, _ in points),
                y=tuple(rate.value for _, rate in points),
                low=tuple(rate.low for _, rate in points),
                high=tuple(rate.high for _, rate in points),
            ),
        ),
        log_x=True,
        percent=True,
        x_text="{:,.0f}".format,
    )
    return _draw(chart)


def _draw(chart: plots.Chart) -> Drawn:
    heads, rows = plots.table(chart)
    wide = plots.line_chart(chart, *HALF)
    return Drawn(chart, wide, plots.line_chart(chart, *NARROW, suffix="-s"), heads, rows)
