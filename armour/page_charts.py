"""The charts of the HTML page: security curves and the growth of a fuzzing campaign, at two widths."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from armour import plots
from armour.report import Report
from armour.report_sections import AttackSection, FuzzSection
from armour.verdict import epsilon_text, norm_text, percent, printable

WIDE, NARROW, THIRD = (1020, 380), (360, 300), (330, 280)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart at two widths, with the table behind it."""

    chart: plots.Chart
    wide: Markup
    narrow: Markup
    heads: list[str]
    rows: list[list[str]]


def security_curves(report: Report) -> list[Drawn]:
    """One chart for each norm: robust accuracy over epsilon, with clean accuracy at 0."""
    drawn: list[Drawn] = []
    beside = _after(report)
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
            series=(*(_curve(section) for section in group), *(beside if not drawn else ())),
            percent=True,
            mark=(epsilon, f"{epsilon_text(epsilon)}: ≤ {percent(rate.value)}"),
            x_text=epsilon_text,
        )
        drawn.append(draw(chart, WIDE))
    return drawn


def _after(report: Report) -> list[plots.Series]:
    """The accuracy that is left after some attacks of an evaluation, beside the worst case of all."""
    section = report.evaluation
    if section is None or not report.attacks or len(section.steps) < 2:
        return []
    first, earlier = report.attacks[0], list(section.steps[:-1])
    if len(earlier) > len(plots.DASHES) - 1:
        # One that left what the worst case is has its line under that one: the others say more.
        final = tuple(rate.value for rate in first.robust)
        earlier = [step for step in earlier if tuple(rate.value for rate in step.left) != final]
    if len(earlier) > len(plots.DASHES) - 1:
        earlier = [earlier[0], earlier[len(earlier) // 2], earlier[-1]]
    if any(len(step.left) != len(first.epsilons) for step in earlier):
        return []
    return [
        plots.Series(
            name=printable(f"after {step.name}", 40),
            x=(0.0, *first.epsilons),
            y=(first.clean.value, *(rate.value for rate in step.left)),
        )
        for step in earlier
    ]


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
        drawn.append(draw(chart, THIRD))
    return drawn


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


def draw(chart: plots.Chart, size: tuple[int, int]) -> Drawn:
    """The chart at that size and at the narrow one."""
    heads, rows = plots.table(chart)
    return Drawn(
        chart, plots.line_chart(chart, *size), plots.line_chart(chart, *NARROW, suffix="-s"), heads, rows
    )
