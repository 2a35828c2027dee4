"""The record: what is saved comes back, its hash sees figures and no clock, and a hostile file is one
line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import report_samples as samples

from armour import stats
from armour.errors import FormatError, InvalidArgument
from armour.report import SCHEMA, Report
from armour.report_sections import Campaign, DataInfo, GrowthPoint, Provenance, Rate


def test_a_saved_report_comes_back_equal(tmp_path: Path) -> None:
    report = samples.report()
    report.save(tmp_path / "r.json")
    again = Report.load(tmp_path / "r.json")
    assert again == report
    assert again.to_json() == (tmp_path / "r.json").read_text(encoding="utf-8")


def names(text: str) -> set[str]:
    return set(text.split())


def test_the_schema_is_the_published_one() -> None:
    tree = json.loads(samples.report().to_json())
    assert tree["schema"] == SCHEMA == "armour-report/1"
    assert sorted(tree) == list(tree)
    assert set(tree) == names(
        "attacks checks clean environment fuzz limits model provenance schema sha256 title"
    )
    assert set(tree["attacks"][0]) == names(
        "access adaptive classes clean config data distances epsilons examples gradients "
        "headline name norm queries robust seconds"
    )
    assert set(tree["attacks"][0]["clean"]) == {"high", "k", "low", "method", "n", "value"}
    assert set(tree["fuzz"]["guided"]) == names(
        "classes coverage curve distinct executions failing failures levels pair_counts pairs "
        "roots schedule seconds triage valid variants"
    )


def test_the_hash_sees_every_figure_and_no_time() -> None:
    report = samples.report()
    later = dataclasses.replace(
        report,
        provenance=dataclasses.replace(report.provenance, created="tomorrow"),
        attacks=(dataclasses.replace(report.attacks[0], seconds=99.0),),
    )
    assert later.sha256 == report.sha256
    other = dataclasses.replace(report, attacks=(samples.attack_section(n=2_000),))
    assert other.sha256 != report.sha256


def edited(change: dict[str, Any], base: Report | None = None) -> str:
    """The JSON of a sample with fields at dotted paths replaced, and without its hash."""
    tree = json.loads((base or samples.report()).to_json())
    del tree["sha256"]
    for path, value in change.items():
        at, *rest = [int(step) if step.isdigit() else step for step in path.split(".")]
        node = tree
        for step in rest:
            node, at = node[at], step
        node[at] = value
    return json.dumps(tree)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"schema": "armour-report/2"}, "got schema 'armour-report/2'"),
        ({"attacks.0.clean.value": 0.5}, "attacks[0].clean: expected a share k/n inside its interval"),
        ({"attacks.0.clean.k": 10_000}, "attacks[0].clean: expected a share"),
        ({"attacks.0.clean.n": 0}, "attacks[0].clean: expected a share"),
        ({"attacks.0.headline": 9}, "attacks[0]: expected one robust accuracy for each of 5 epsilons"),
        ({"attacks.0.epsilons": [5, 4, 3, 2, 1]}, "rising order"),
        ({"attacks.0.robust": []}, "one robust accuracy"),
        ({"attacks.0.examples.0.root.png": "<script>"}, "base64"),
        ({"attacks.0.examples.0.root.width": 10**9}, "PNG of 1000000000"),
        ({"fuzz.guided.valid": -1}, "fuzz.guided: expected counts"),
        ({"fuzz.guided.failing": {"V9": 1}}, "fuzz.guided: expected counts by V0"),
        ({"fuzz.guided.coverage": {"KMNC": 2.0}}, "coverage as shares"),
        ({"fuzz.level": "<b>"}, "expected a validity level"),
        ({"model.bounds": [0]}, "expected a list of 2 at model.bounds"),
        ({"colour": "red"}, "unknown field colour"),
        ({"fuzz.failures.0.recipe": None}, "expected a text at fuzz.failures[0].recipe"),
    ],
)
def test_a_hostile_report_is_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError) as caught:
        Report.from_json(edited(change), "r.json")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value) and "r.json" in str(caught.value)


def test_a_report_changed_by_hand_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    samples.report().save(path)
    path.write_text(path.read_text(encoding="utf-8").replace("44426", "44427"), encoding="utf-8")
    with pytest.raises(FormatError, match="changed after it was written"):
        Report.load(path)


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04K\x01.", b"[]", b"null", b'{"schema": "other"}', b"[" * 50_000]
)
def test_another_file_is_no_report(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"r\.json"):
        Report.load(path)
    with pytest.raises(FormatError, match="there is no report"):
        Report.load(tmp_path / "absent.json")
    with pytest.raises(FormatError, match="there is no report"):
        Report.load(tmp_path)


def test_rates_carry_their_interval() -> None:
    rate = Rate.of(472, 1_000)
    assert (rate.low, rate.high) == pytest.approx(stats.wilson(472, 1_000))
    none, all_of_them = Rate.of(0, 1_000), Rate.of(50, 50)
    assert none.method == all_of_them.method == "clopper-pearson"
    assert none.high == pytest.approx(1 - 0.05 ** (1 / 1_000))
    assert (all_of_them.low, all_of_them.high) == (pytest.approx(0.05 ** (1 / 50)), 1.0)
    with pytest.raises(InvalidArgument, match="at least one sample"):
        Rate.of(0, 0)


def test_merging_keeps_both_parts_and_refuses_two_models() -> None:
    attack, fuzz = samples.report(fuzz=None), samples.report(attacks=())
    both = attack.merge(fuzz)
    assert both.attacks == attack.attacks and both.fuzz == fuzz.fuzz
    assert fuzz.merge(attack).sha256 == both.sha256
    with pytest.raises(InvalidArgument, match="both reports hold a fuzzing campaign"):
        fuzz.merge(fuzz)
    other = dataclasses.replace(attack, model=dataclasses.replace(attack.model, fingerprint="cd" * 32))
    with pytest.raises(InvalidArgument, match="two reports of one model"):
        other.merge(fuzz)


def test_a_curve_must_rise_in_executions() -> None:
    point = GrowthPoint(executions=5, failures=0, distinct=0, classes=0, roots=0)
    counts = {"valid": 0, "failures": 0, "pairs": 0, "classes": 0, "distinct": 0, "roots": 0}
    with pytest.raises(InvalidArgument, match="rising executions"):
        Campaign(schedule="niche", executions=9, curve=(point, point), **counts)  # type: ignore[arg-type]


def test_defaults_make_the_smallest_report() -> None:
    report = Report(model=samples.model_info())
    assert report.environment.python and not report.attacks and report.provenance == Provenance()
    assert Report.from_json(report.to_json()) == report
    assert str(Path.home()) not in report.to_json()
    assert DataInfo(name="x", n=1).class_counts == ()


def test_a_report_written_before_evaluations_keeps_its_hash() -> None:
    text = samples.report().to_json()
    assert '"evaluation"' not in text and '"advice"' not in text and '"sign"' not in text
    report = samples.evaluated()
    assert Report.from_json(report.to_json()) == report
    plain = dataclasses.replace(report, evaluation=None, checks=())
    assert plain.sha256 == samples.report(attacks=report.attacks).sha256


def test_two_evaluations_are_two_reports() -> None:
    report = samples.evaluated()
    fuzzed = samples.report(attacks=())
    alone = dataclasses.replace(report, fuzz=None)
    assert fuzzed.merge(alone).evaluation == alone.merge(fuzzed).evaluation == report.evaluation
    with pytest.raises(InvalidArgument, match="both reports hold an evaluation"):
        alone.merge(alone)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"evaluation.outcomes.fate.0": "....?......."}, "expected one fate for each of 12 samples"),
        ({"evaluation.outcomes.ids.0": "zz"}, "expected ids of samples"),
        ({"evaluation.steps.0.given.0": -1}, "expected counts of an attack at or above 0"),
        ({"evaluation.steps": []}, "expected at least one attack"),
        ({"evaluation.signs": []}, "expected signs of masking where they are claimed"),
        ({"evaluation.queries.0.queries": [0, 0, 1]}, "expected a query curve of rising counts"),
        ({"evaluation.distances.counts": [100, 0, 0]}, "expected a histogram of at most 50 inputs"),
        ({"evaluation.masking": "yes"}, "masking"),
    ],
)
def test_a_hostile_evaluation_is_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError) as caught:
        Report.from_json(edited(change, samples.evaluated()), "r.json")
    assert message in str(caught.value) and "\n" not in str(caught.value)
