"""A comparison of fuzzing schedules as one HTML page and as plain JSON values."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from armour import plots
from armour.page_charts import Drawn, draw
from armour.render import templates
from armour.verdict import printable

if TYPE_CHECKING:
    from armour.fuzz.comparison import Comparison, Line

_SIZE = (500, 320)
_LINES = len(plots.DASHES)  # of a chart, so that each looks different
_CHARTS = {
    "classes": ("Failure classes (D2)", "oracle, true and predicted class, operation families"),
    "distinct": ("(seed, label) pairs", "different pairs of seed and predicted class"),
    "roots": ("Seeds broken", "seeds with at least one failure"),
    "coverage": ("Coverage (KMNC)", "share of the sections of all neurons that were hit"),
}


def values(found: Comparison, command: str) -> dict[str, Any]:
    """The figures as JSON values: verdicts, lines, growth curves and the counts of every run."""
    return {
        "schema": "armour-comparison/1",
        "model": {"name": found.model, "fingerprint": found.fingerprint},
        "data_sha256": found.data_sha256,
        "schedules": list(found.schedules),
        "repeats": {name: len(found.of(name)) for name in found.schedules},
        "executions": found.executions,
        "seed": found.seed,
        "validity": found.validity,
        "roots": found.roots,
        "verdicts": found.verdicts(),
        "lines": [_line(line) for line in found.lines],
        "growth": {
            name: {column: [list(row) for row in found.growth(name, column)] for column in _CHARTS}
            for name in found.schedules
        },
        "runs": [
            {
                "schedule": r.schedule,
                "repeat": r.repeat,
                "seed": r.seed,
                "valid": r.valid,
                "cpu_seconds": r.seconds,
            }
            | {"counts": r.counts}
            for r in found.runs
        ],
        "interrupted": found.interrupted,
        "notes": list(found.notes),
        "command": command,
    }


def html(found: Comparison, command: str) -> str:
    """One page without a script or an address to load from; every text is escaped."""
    from armour.fuzz.machine import armour_version

    sentences = [sentence.partition(": ") for sentence in found.verdicts()]
    context = {
        "found": found,
        "version": armour_version(),
        "facts": _facts(found),
        "verdicts": [
            (head[:1].upper() + head[1:] + ("." if rest else ""), rest) for head, _, rest in sentences
        ],
        "tables": [_table(found, name) for name in dict.fromkeys(line.schedule for line in found.lines)],
        "growth": _growth(found),
        "runs": _runs(found),
        "command": command,
    }
    return templates().get_template("compare.html.j2").render(**context)


def _line(line: Line) -> dict[str, Any]:
    effect = line.effect
    return {
        "schedule": line.schedule,
        "count": line.count,
        "median": line.median,
        "median_interval": [line.low, line.high],
        "random": line.baseline,
        "a12": effect.value,
        "a12_interval": [effect.low, effect.high],
        "p": line.p,
        "holm": line.holm,
    }


def _facts(found: Comparison) -> list[str]:
    done = min(len(found.of(name)) for name in found.schedules)
    return [
        f"{len(found.schedules)} schedules",
        f"{done} repeats of {found.executions:,} executions",
        f"{found.roots:,} seeds",
        f"seeds of randomness {found.seed} to {found.seed + max(done, 1) - 1}",
    ]


def _table(found: Comparison, name: str) -> dict[str, Any]:
    from armour.fuzz.comparison import COUNTS

    rows = []
    for count, text in COUNTS.items():
        line = found.line(name, count)
        rows.append(
            [
                text,
                f"{line.median:,.1f} ({line.low:,.0f}–{line.high:,.0f})",
                f"{line.baseline:,.1f}",
                f"{line.effect.value:.2f} ({line.effect.low:.2f}–{line.effect.high:.2f})",
                f"{line.holm:.2g}",
            ]
        )
    return {
        "caption": f"{name} against stacked random",
        "heads": ["Count", name, "random", "A12", "p"],
        "rows": rows,
    }


def _runs(found: Comparison) -> dict[str, Any]:
    rows = []
    for name in found.schedules:
        own = found.of(name)
        if own:
            speed = found.executions / max(statistics.mean(run.seconds for run in own), 1e-9)
            valid = statistics.mean(run.valid for run in own)
            rows.append([name, f"{len(own)}", f"{100 * valid:.1f} %", f"{speed:,.0f}"])
    heads = ["Schedule", "runs", f"valid at {found.validity}", "executions a second of processor time"]
    return {"caption": "What each schedule cost", "heads": heads, "rows": rows}


def _growth(found: Comparison) -> list[list[Drawn]]:
    """Charts of stacked random beside up to three schedules, for all schedules in turn."""
    base, *others = (name for name in found.schedules if found.of(name))
    groups: list[list[Drawn]] = []
    for start in range(0, len(others), _LINES - 1):
        names = [*others[start : start + _LINES - 1], base]
        groups.append([_chart(found, names, column, len(groups)) for column in _CHARTS])
    return groups


def _chart(found: Comparison, names: list[str], column: str, number: int) -> Drawn:
    title, meaning = _CHARTS[column]
    series = []
    for name in names:
        rows = found.growth(name, column)
        x, y, low, high = zip(*rows, strict=True)
        text = "stacked random" if name == names[-1] else printable(name, 40)
        series.append(plots.Series(name=text, x=x, y=y, low=low, high=high))
    share = column == "coverage"
    last = "; ".join(
        f"{s.name} {100 * s.y[-1]:.1f} %" if share else f"{s.name} {s.y[-1]:,.0f}" for s in series
    )
    chart = plots.Chart(
        key=f"growth-{column}-{number}",
        title=title,
        description=f"{title} ({meaning}) over executions, logarithmic. Medians at the end: {last}.",
        x_label="executions",
        y_label=meaning,
        series=tuple(series),
        log_x=True,
        percent=share,
        x_text="{:,.0f}".format,
    )
    return draw(chart, _SIZE)
