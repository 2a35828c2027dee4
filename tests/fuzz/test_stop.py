"""Stop rules: each by a table of counts, and at work in a campaign."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import small_models
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from armour.errors import InvalidArgument
from armour.fuzz import FuzzConfig, Fuzzer, FuzzResult
from armour.fuzz.stop import Standing, StopRules, upper


def standing(**counts: int) -> Standing:
    """Counts after 1,000 executions, all valid, without a failure, but for those given."""
    usual = {"executions": 1000, "valid": 1000, "failures": 0, "classes": 0, "once": 0, "latest": 0}
    return Standing(**{**usual, **counts})


def test_nothing_in_a_thousand_is_at_most_0_30_percent() -> None:
    assert standing().failure_bound == pytest.approx(0.002991, abs=1e-6)
    assert standing().failure_bound == pytest.approx(1 - 0.05 ** (1 / 1000), rel=1e-12)
    assert standing(valid=0).failure_bound == 1.0 == standing(executions=0).residual


@given(st.integers(1, 3000), st.data())
def test_the_bound_is_where_the_binomial_tail_is_5_percent(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n - 1))
    assert scipy_stats.binom.cdf(k, n, upper(k, n)) == pytest.approx(0.05, rel=1e-6)


def test_good_turing() -> None:
    now = standing(executions=5000, classes=40, once=7)
    assert now.residual == 7 / 5000 < now.residual_bound < 14 / 5000


RULES = [
    (StopRules(executions=1000), standing(), "executions"),
    (StopRules(executions=1001), standing(), None),
    (StopRules(), standing(executions=19_999), None),
    (StopRules(), standing(executions=20_000), "executions"),
    (StopRules(plateau=500), standing(executions=20_000, classes=3, latest=19_501), None),
    (StopRules(plateau=500), standing(executions=20_000, classes=3, latest=19_500), "plateau"),
    (StopRules(plateau=1000), standing(), "plateau"),
    (StopRules(until_class=4), standing(classes=3), None),
    (StopRules(until_class=4), standing(classes=4), "until-class"),
    (StopRules(residual_risk=0.003), standing(classes=9, once=0), "residual-risk"),
    (StopRules(residual_risk=0.00299), standing(classes=9, once=0), None),
    (StopRules(residual_risk=0.003), standing(classes=9, once=1), None),
    (StopRules(seconds=9.9), standing(), None),
    (StopRules(seconds=1.0), standing(), "seconds"),
    (StopRules(seconds=1.0, until_class=4), standing(classes=4), "until-class"),
    (StopRules(until_class=1, plateau=1, residual_risk=0.9), standing(executions=0, valid=0), None),
]


@pytest.mark.parametrize(("rules", "now", "rule"), RULES, ids=range(len(RULES)))
def test_rules(rules: StopRules, now: Standing, rule: str | None) -> None:
    assert rules.reached(now, 2.0, judged=True) == rule
    assert rules.said(rule, now)


def test_counts_are_judged_at_barriers_but_budgets_and_time_everywhere() -> None:
    now = standing(classes=4)
    assert StopRules(until_class=4).reached(now, 2.0, judged=False) is None
    assert StopRules(executions=1000).reached(now, 2.0, judged=False) == "executions"
    assert StopRules(seconds=1).reached(now, 2.0, judged=False) == "seconds"


@pytest.mark.parametrize(
    "values",
    [{"executions": 0}, {"seconds": 0.0}, {"until_class": 0}, {"plateau": -1}, {"residual_risk": 0.0},
     {"residual_risk": 1.0}, {"residual_risk": math.nan}],
    ids=str,
)  # fmt: skip
def test_what_is_no_rule(values: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument):
        StopRules(**values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def seeds() -> tuple[np.ndarray, np.ndarray]:
    return small_models.digits(120)


def run(
    seeds: tuple[np.ndarray, np.ndarray], folder: Path | None = None, islands: int = 1, **rules: object
) -> FuzzResult:
    x, y = seeds
    config = FuzzConfig(round=128, islands=islands, baseline=False)
    fuzzer = Fuzzer(small_models.centroids(x, y), x, y, corpus=folder, config=config)
    return fuzzer.run(**rules)  # type: ignore[arg-type]


def test_until_class_ends_with_the_round_that_reached_it(seeds: tuple[np.ndarray, np.ndarray]) -> None:
    result = run(seeds, until_class=60)
    assert result.classes >= 60 > result.guided.curve[-2].classes
    assert result.stopped == f"{result.classes} failure classes were found (until 60)"
    again = run(seeds, executions=result.executions)
    assert again.guided.class_counts == result.guided.class_counts


def test_a_run_goes_on_under_other_rules(seeds: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    first = run(seeds, tmp_path / "c", executions=256)
    assert first.stopped == "256 executions were to be made"
    # Every mutant of a small model's seeds breaks something new for a while: 1 execution is no plateau yet.
    more = run(seeds, tmp_path / "c", resume=True, until_class=first.classes + 1)
    assert more.executions > 256 and more.classes > first.classes
    curve = run(seeds, executions=more.executions).guided.curve
    newest = next(point.executions for point in curve if point.classes == more.classes)
    still = run(seeds, tmp_path / "c", resume=True, plateau=more.executions - newest + 1)
    assert "no new failure class in the last" in still.stopped


def test_islands_are_judged_where_they_meet(
    seeds: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("armour.fuzz.islands._LEG", 384)
    result = run(seeds, islands=2, until_class=1)
    assert result.executions == 2 * 3 * 128 and result.classes > 1
