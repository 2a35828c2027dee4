"""Line charts as inline SVG: no script, no font, no colour of their own (the page's style sheet gives those).

Series differ by dash and marker as well as by colour. Each chart has a title and a description for those who
cannot see it, and `table` gives its figures for the real table that stands behind it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

DASHES = ("", "7 4", "2 3", "9 3 2 3")
MAX_MARKERS = 9

# The markers after the circle: square, triangle, diamond.
_CORNERS: tuple[tuple[tuple[float, float], ...], ...] = (
    ((-4, -4), (4, -4), (4, 4), (-4, 4)),
    ((0, -5), (5, 4), (-5, 4)),
    ((0, -5.5), (5.5, 0), (0, 5.5), (-5.5, 0)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line: points in rising x, and the ends of an interval at each if there are any."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What a chart shows: lines, or bars between `edges` if there are some, one for each y of its series.

    percent: y is a share, drawn from 0 to 100 %. mark: an x to point out, with a note.
    """

    key: str
    title: str
    description: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_x: bool = False
    percent: bool = False
    mark: tuple[float, str] | None = None
    edges: tuple[float, ...] = ()
    x_text: Callable[[float], str] = "{:,.4g}".format


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where the plot area lies, and how values become pixels."""

    left: float
    top: float
    right: float
    bottom: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log_x: bool

    def x(self, value: float) -> float:
        low, high = self.x_range
        if self.log_x:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        return self.left + (value - low) / ((high - low) or 1) * (self.right - self.left)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.bottom - (value - low) / ((high - low) or 1) * (self.bottom - self.top)


def line_chart(chart: Chart, width: int, height: int, suffix: str = "") -> Markup:
    """The chart as an SVG of `width` x `height` units; `suffix` keeps ids apart if it stands twice on a
    page."""
    key = f"{chart.key}{suffix}"
    frame = _frame(chart, width, height)
    parts = [
        Markup('<svg viewBox="0 0 {} {}" role="img" aria-labelledby="{}-t {}-d" class="chart">').format(
            width, height, key, key
        ),
        Markup('<title id="{}-t">{}</title><desc id="{}-d">{}</desc>').format(
            key, chart.title, key, chart.description
        ),
        _axes(chart, frame),
    ]
    if chart.edges:
        parts.append(_bars(chart, frame))
    else:
        parts += [_band(series, i, frame) for i, series in enumerate(chart.series) if series.low]
        parts += [_line(series, i, frame, chart) for i, series in enumerate(chart.series)]
    if chart.mark is not None:  # above the bars, which would hide its words
        parts.append(_mark(chart.mark, frame))
    return Markup("").join([*parts, _legend(chart, width), Markup("</svg>")])


def table(chart: Chart, limit: int = 24) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the chart's figures: one row for each x, at most about `limit`, the last one
    always."""
    heads = [chart.x_label]
    for series in chart.series:
        heads += [series.name, *(["95 % interval"] if series.low else [])]
    xs = sorted({x for series in chart.series for x in series.x})
    step = -(-len(xs) // limit)
    keep = xs[:: step or 1] + (xs[-1:] if step > 1 and (len(xs) - 1) % step else [])
    rows = []
    for x in keep:
        row = [chart.x_text(x)]
        for series in chart.series:
            row += _cells(series, x, chart.percent)
        rows.append(row)
    return heads, rows


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round values (1, 2 or 5 times a power of ten) from `low` to `high`."""
    if high <= low:
        return [low]
    raw = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float, count: int) -> list[float]:
    """Powers of ten between `low` and `high`, with 2 and 5 in between while they are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**p for p in powers for m in steps if low * 0.999 <= m * 10.0**p <= high * 1.001]
        if len(ticks) <= count:
            return ticks
    return ticks[:: -(-len(ticks) // count)]


def _frame(chart: Chart, width: int, height: int) -> _Frame:
    xs = [*chart.edges, *(x for series in chart.series for x in series.x)] or [0.0, 1.0]
    ys = [y for series in chart.series for y in (*series.y, *series.high)] or [1.0]
    low_x, high_x = min(xs), max(xs)
    if chart.log_x:
        low_x = max(low_x, 1.0)
        high_x = max(high_x, low_x * 1.0001)
    top = 1.0 if chart.percent else _round_up(max(ys))
    above = max((y for _, y in _places(chart, width)), default=-8.0) + 24
    return _Frame(52, above, width - 16, height - 46, (low_x, high_x), (0.0, top), chart.log_x)


def _round_up(value: float) -> float:
    if value <= 4:
        return 4.0
    first, second = nice_ticks(0, value, 5)[:2]
    return math.ceil(value / (second - first) - 1e-9) * (second - first)


def _axes(chart: Chart, frame: _Frame) -> Markup:
    wide = frame.right - frame.left > 420
    ticks = log_ticks if chart.log_x else nice_ticks
    parts = [Markup('<g class="axes">')]
    for value in nice_ticks(*frame.y_range, 5):
        y, text = frame.y(value), (f"{100 * value:.0f} %" if chart.percent else f"{value:,.0f}")
        parts.append(
            Markup('<line class="grid" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
                frame.left, frame.right, y, y
            )
        )
        parts.append(_text(frame.left - 8, y + 4, text, "end"))
    for value in ticks(*frame.x_range, 8 if wide else 5):
        x = frame.x(value)
        parts.append(
            Markup('<line class="tick" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
                x, x, frame.bottom, frame.bottom + 5
            )
        )
        parts.append(
            _text(x, frame.bottom + 19, f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}", "middle")
        )
    parts.append(
        Markup('<line class="base" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
            frame.left, frame.right, frame.bottom, frame.bottom
        )
    )
    parts.append(_text((frame.left + frame.right) / 2, frame.bottom + 38, chart.x_label, "middle", "label"))
    return Markup("").join([*parts, Markup("</g>")])


def _mark(mark: tuple[float, str], frame: _Frame) -> Markup:
    x = frame.x(mark[0])
    line = Markup('<line class="mark" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
        x, x, frame.top, frame.bottom
    )
    left = x > (frame.left + frame.right) / 2
    return line + _text(x + (-6 if left else 6), frame.top + 12, mark[1], "end" if left else "start", "note")


def _band(series: Series, index: int, frame: _Frame) -> Markup:
    up = [(frame.x(x), frame.y(y)) for x, y in zip(series.x, series.high, strict=True)]
    down = [(frame.x(x), frame.y(y)) for x, y in zip(series.x, series.low, strict=True)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in up + down[::-1])
    return Markup('<polygon class="band s{}" points="{}"/>').format(index % len(DASHES), points)


def _line(series: Series, index: int, frame: _Frame, chart: Chart) -> Markup:
    points = [(frame.x(x), frame.y(y)) for x, y in zip(series.x, series.y, strict=True)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts = [Markup('<g class="s{}">').format(index % len(DASHES)), _stroke(path, index)]
    for i in _spread(points):
        text = _point_text(series, i, chart)
        parts.append(Markup("<g>{}<title>{}</title></g>").format(_marker(*points[i], index), text))
    return Markup("").join([*parts, Markup("</g>")])


def _bars(chart: Chart, frame: _Frame) -> Markup:
    series, parts = chart.series[0], [Markup('<g class="s0">')]
    for i, (left, right) in enumerate(pairwise(chart.edges)):
        x, y = frame.x(left), frame.y(series.y[i])
        shape = Markup('<rect class="column" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            x + 0.5, y, max(0.5, frame.x(right) - x - 1), max(0.0, frame.bottom - y)
        )
        text = f"{series.y[i]:,.0f} from {chart.x_text(left)} to {chart.x_text(right)}"
        parts.append(Markup("<g>{}<title>{}</title></g>").format(shape, text))
    return Markup("").join([*parts, Markup("</g>")])


def _point_text(series: Series, i: int, chart: Chart) -> str:
    value = f"{100 * series.y[i]:.1f} %" if chart.percent else f"{series.y[i]:,.0f}"
    return f"{series.name}: {value} at {chart.x_text(series.x[i])}"


def _spread(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of at most MAX_MARKERS points, about evenly spaced on the page."""
    if len(points) <= MAX_MARKERS:
        return list(range(len(points)))
    step = (points[-1][0] - points[0][0]) / (MAX_MARKERS - 1)
    wanted = [points[0][0] + i * step for i in range(MAX_MARKERS)]

    def nearest(x: float) -> int:
        return min(range(len(points)), key=lambda j: abs(points[j][0] - x))

    return sorted({nearest(x) for x in wanted})


def _stroke(path: str, index: int) -> Markup:
    dash = (
        Markup(' stroke-dasharray="{}"').format(DASHES[index % len(DASHES)])
        if DASHES[index % len(DASHES)]
        else Markup("")
    )
    return Markup('<polyline class="line" points="{}"{}/>').format(path, dash)


def _marker(x: float, y: float, index: int) -> Markup:
    shape = index % len(DASHES)
    if shape == 0:
        return Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(x, y)
    path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in _CORNERS[shape - 1])
    return Markup('<polygon class="dot" points="{}"/>').format(path)


def _places(chart: Chart, width: int) -> list[tuple[float, float]]:
    """Where each entry of the legend stands: side by side, in a new row where there is no room."""
    places: list[tuple[float, float]] = []
    x, y = 52.0, 14.0
    for series in chart.series if len(chart.series) > 1 else ():
        long = 48 + 6.6 * len(series.name)
        if places and x + long > width:
            x, y = 52.0, y + 20
        places.append((x, y))
        x += long + 14
    return places


def _legend(chart: Chart, width: int) -> Markup:
    parts = []
    for i, (x, y) in enumerate(_places(chart, width)):
        parts.append(Markup('<g class="s{}">').format(i % len(DASHES)))
        parts.append(_stroke(f"{x:.1f},{y} {x + 34:.1f},{y}", i) + _marker(x + 17, y, i) + Markup("</g>"))
        parts.append(_text(x + 41, y + 4, chart.series[i].name, "start"))
    return Markup("").join(parts)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>').format(
        x, y, anchor, kind, escape(text)
    )


def _cells(series: Series, x: float, percent: bool) -> list[str]:
    if x not in series.x:
        return ["–", *(["–"] if series.low else [])]
    i = series.x.index(x)
    cells = [f"{100 * series.y[i]:.1f} %" if percent else f"{series.y[i]:,.0f}"]
    if series.low:
        low, high = series.low[i], series.high[i]
        cells.append(f"{100 * low:.1f}–{100 * high:.1f} %" if percent else f"{low:,.0f}–{high:,.0f}")
    return cells
