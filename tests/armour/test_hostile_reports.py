"""A report with anything in it is refused in one line, or shown; nothing else can happen."""

from __future__ import annotations

import json
from typing import Any

import report_samples as samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pages_html import check

from armour.errors import FormatError
from armour.render import html
from armour.report import Report

BASE = samples.report(attacks=(samples.attack_section(examples=1),), fuzz=samples.fuzz_section(2)).to_json()

EVALUATED = samples.evaluated().to_json()

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**12, -(10**12), 2**60, 1e-300, 1e200, 0.5, -0.0, 99_999]),
    st.text(max_size=30),
    st.sampled_from(
        ["<script>alert(1)</script>", "V2", "linf", "0>1", "-1>5", "a>b", "\u202e", "\x00", "{{x}}", "'"]
    ),
    st.just([]),
    st.just({}),
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values in a tree."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(found for key, value in children for found in places(value, (*path, key)))][
        bool(not path) :
    ]


PLACES = places(json.loads(BASE))
MORE = [path for path in places(json.loads(EVALUATED)) if path[0] in ("evaluation", "checks")]

Change = tuple[tuple[Any, ...], Any, str]


def changes_of(where: list[tuple[Any, ...]]) -> st.SearchStrategy[list[Change]]:
    how = st.sampled_from(["set", "set", "drop", "double"])
    return st.lists(st.tuples(st.sampled_from(where), JUNK, how), min_size=1, max_size=3)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes_of(PLACES))
def test_a_changed_report_is_refused_or_shown(changes: list[Change]) -> None:
    refused_or_shown(BASE, changes)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes_of(MORE))
def test_a_changed_evaluation_is_refused_or_shown(changes: list[Change]) -> None:
    refused_or_shown(EVALUATED, changes)


def refused_or_shown(text: str, changes: list[Change]) -> None:
    tree = json.loads(text)
    del tree["sha256"]
    for path, value, how in changes:
        node = tree
        try:
            for step in path[:-1]:
                node = node[step]
            if how == "set":
                node[path[-1]] = value
            elif how == "drop":
                del node[path[-1]]
            elif isinstance(node, list):
                node.append(node[path[-1]])
        except (KeyError, IndexError, TypeError):
            continue
    try:
        report = Report.from_json(json.dumps(tree))
    except FormatError as error:
        assert "\n" not in str(error) and len(str(error)) < 1_000
        return
    check(html(report))
    report.to_markdown()
    assert Report.from_json(report.to_json()) == report
