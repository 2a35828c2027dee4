"""Charts: values land where they should, ticks are round, and nothing depends on colour alone."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armour.plots import Chart, Series, line_chart, log_ticks, nice_ticks, table

TWO = Chart(
    key="c",
    title="Security <curve>",
    description='Falls & "ends" at 0',
    x_label="epsilon",
    y_label="accuracy",
    series=(
        Series(name="PGD", x=(0.0, 0.1, 0.2), y=(1.0, 0.5, 0.0), low=(0.9, 0.4, 0.0), high=(1.0, 0.6, 0.1)),
        Series(name="<b>FGSM", x=(0.0, 0.2), y=(1.0, 0.25)),
    ),
    percent=True,
)


def svg(chart: Chart, width: int = 400, height: int = 300) -> ElementTree.Element:
    return ElementTree.fromstring(str(line_chart(chart, width, height)))


def points(element: ElementTree.Element) -> list[tuple[float, float]]:
    return [tuple(map(float, pair.split(","))) for pair in element.attrib["points"].split()]  # type: ignore[misc]


def test_values_land_in_proportion() -> None:
    first = next(e for e in svg(TWO).iter("polyline") if len(e.attrib["points"].split()) == 3)
    (x0, y0), (x1, y1), (x2, y2) = points(first)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and x1 > x0
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2) and y1 > y0  # down the page is down in accuracy
    band = next(e for e in svg(TWO).iter("polygon") if "band" in e.attrib["class"])
    ends = points(band)
    assert ends[1][1] < y1 < ends[4][1]


def test_a_logarithmic_axis_spaces_powers_evenly() -> None:
    series = Series(name="guided", x=(1.0, 10.0, 100.0, 1000.0), y=(0.0, 1.0, 2.0, 3.0))
    chart = Chart(key="g", title="t", description="d", x_label="x", y_label="y", series=(series,), log_x=True)
    xs = [x for x, _ in points(next(svg(chart).iter("polyline")))]
    assert [b - a for a, b in pairwise(xs)] == pytest.approx([xs[1] - xs[0]] * 3, abs=0.2)


def test_lines_differ_by_dash_and_marker_not_by_colour_alone() -> None:
    root = svg(TWO)
    lines = list(root.iter("polyline"))
    assert len({line.attrib.get("stroke-dasharray", "") for line in lines}) == 2
    shapes = {child.tag for group in root.iter("g") for child in group if child.attrib.get("class") == "dot"}
    assert shapes == {"circle", "polygon"}
    assert not re.search(r"fill=|stroke=|style=", str(line_chart(TWO, 400, 300)))


def test_it_speaks_to_those_who_cannot_see_it() -> None:
    root = svg(TWO)
    assert root.attrib["role"] == "img"
    ids = {e.attrib["id"]: e.text for e in root.iter() if "id" in e.attrib}
    assert root.attrib["aria-labelledby"].split() == list(ids)
    assert list(ids.values()) == ["Security <curve>", 'Falls & "ends" at 0']
    assert "<b>FGSM" in [e.text for e in root.iter("text")]  # as text, not as markup


def test_the_table_holds_every_figure() -> None:
    heads, rows = table(TWO)
    assert heads == ["epsilon", "PGD", "95 % interval", "<b>FGSM"]
    assert rows == [
        ["0", "100.0 %", "90.0–100.0 %", "100.0 %"],
        ["0.1", "50.0 %", "40.0–60.0 %", "–"],
        ["0.2", "0.0 %", "0.0–10.0 %", "25.0 %"],
    ]
    long = Series(name="s", x=tuple(float(i) for i in range(1, 1001)), y=tuple(float(i) for i in range(1000)))
    chart = Chart(key="k", title="t", description="d", x_label="x", y_label="y", series=(long,))
    rows = table(chart)[1]
    assert len(rows) <= 26 and rows[-1] == ["1,000", "999"]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 10))
def test_ticks_are_inside_and_few(low: float, span: float, count: int) -> None:
    ticks = nice_ticks(low, low + span, count)
    slack = 1e-6 * max(1.0, abs(low), span)
    assert all(low - slack <= tick <= low + span + slack for tick in ticks)
    assert len(ticks) <= 2 * count + 2


@given(st.floats(1, 1e5), st.floats(1.1, 1e6), st.integers(3, 9))
def test_logarithmic_ticks_are_inside_and_few(low: float, ratio: float, count: int) -> None:
    ticks = log_ticks(low, low * ratio, count)
    assert all(low * 0.99 <= tick <= low * ratio * 1.01 for tick in ticks)
    assert len(ticks) <= count


@pytest.mark.parametrize(
    "series",
    [(), (Series(name="one", x=(0.5,), y=(0.0,)),), (Series(name="flat", x=(1.0, 2.0), y=(0.0, 0.0)),)],
)
@pytest.mark.parametrize("log_x", [False, True])
def test_little_data_is_drawn_without_failing(series: tuple[Series, ...], log_x: bool) -> None:
    chart = Chart(key="k", title="t", description="d", x_label="x", y_label="y", series=series, log_x=log_x)
    text = str(line_chart(chart, 330, 280))
    ElementTree.fromstring(text)
    assert not re.search(r"nan|inf\b", text)
