"""The section on fuzzing: the counts of the result, a spread of its failures, recipes for people."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour.errors import InvalidArgument
from armour.fuzz.result import CampaignResult, Failure, FuzzResult, GrowthPoint
from armour.model import CallableModel
from armour.report import Report
from armour.report_fuzz import fuzz_section, operations


def model() -> CallableModel:
    return CallableModel(lambda x: np.zeros((len(x), 2), np.float32), input_shape=(1, 4, 4), num_classes=2)


def failure(key: str, pair: str, root: int) -> Failure:
    rng = np.random.default_rng(root)
    image = rng.random((1, 4, 4)).astype(np.float32)
    mutant = np.clip(image + 0.1, 0, 1)
    return Failure(
        id=f"{root:012d}",
        oracle="label-flip",
        true=0,
        predicted=1,
        root=root,
        source=root,
        recipe=f"root={root};brightness(delta=0.2)@1;box-blur(radius=0.03)@2",
        minimised_recipe=f"root={root};brightness(delta=0.1)@1",
        validity="V2",
        pair=pair,
        key=key,
        families=("light",),
        confidence=0.9,
        margin=float("nan"),
        execution=5,
        root_image=image,
        reference=image,
        mutant=mutant,
        minimised=mutant,
        minimised_reference=image,
        replay=f"armour corpus replay corpus --case {root:012d}",
    )


def campaign(schedule: str, points: int = 3) -> CampaignResult:
    return CampaignResult(
        schedule=schedule,
        executions=1_000,
        valid=900,
        levels={"invalid": 20, "V0": 50, "V1": 30, "V2": 900},
        failing={"V0": 5, "V2": 42},
        failures=40,
        pairs=2,
        classes=3,
        distinct=17,
        roots=9,
        class_counts={"a": 5, "b": 30, "c": 5},
        pair_counts={(0, 1): 35, (1, 0): 5},
        triage_executions=77,
        steps_rejected=4,
        survivors=12,
        coverage={"KMNC": 0.5},
        seconds=0.5,
        curve=tuple(
            GrowthPoint(
                executions=(i + 1) * 2, failures=i, distinct=i, classes=i, roots=i, valid=i, coverage=0.4
            )
            for i in range(points)
        ),
    )


def fuzzed(**changes: Any) -> FuzzResult:
    parts: dict[str, Any] = {
        "failures": (failure("a", "0>1", 1), failure("b", "0>1", 2), failure("c", "1>0", 3)),
        "executions": 1_000,
        "classes": 3,
        "seconds": 1.0,
        "guided": campaign("niche"),
        "baseline": campaign("random"),
        "validity": "V2",
        "validator": "rule, SSIM, density",
        "seeds": 12,
        "roots": 10,
        "skipped": 2,
        "seed": 0,
        "corpus": None,
        "data_sha256": "00" * 32,
        "fingerprint": "11" * 32,
    }
    return FuzzResult(**{**parts, **changes})


def test_a_campaign_keeps_its_counts() -> None:
    section = fuzz_section(fuzzed(), model())
    guided = section.guided
    assert (guided.failures, guided.classes, guided.distinct, guided.roots, guided.triage) == (
        40,
        3,
        17,
        9,
        77,
    )
    assert guided.pair_counts == {"0>1": 35, "1>0": 5}
    assert section.baseline is not None and section.baseline.schedule == "random"
    assert [kind.key for kind in section.classes] == ["b", "a", "c"]
    assert section.validator == "rule, SSIM, density" and section.data.n == 12


def test_the_gallery_shows_every_pair_before_a_second_of_any() -> None:
    section = fuzz_section(fuzzed(), model(), pictures=2)
    assert [shown.key for shown in section.failures] == ["b", "c"]
    first = section.failures[0]
    assert first.recipe == "root=2;brightness(delta=0.1)@1"
    assert first.figures["linf"] == pytest.approx(0.1, abs=1e-6)
    assert set(first.figures) == {"confidence", "l2", "linf"}


def test_long_curves_are_thinned_and_keep_their_end() -> None:
    section = fuzz_section(fuzzed(guided=campaign("niche", points=455)), model())
    assert len(section.guided.curve) <= 201 and section.guided.curve[-1].executions == 910


def test_it_survives_saving_and_shows() -> None:
    report = Report.from_fuzz(fuzzed(), model(), limits=("no people",))
    assert Report.from_json(report.to_json()) == report
    assert report.limits == ("no people",)
    assert "40 failures at V2 in 3 D2 classes" in report.to_html()


def test_recipes_for_people_leave_out_what_does_nothing() -> None:
    text = "root=3;scale(wide=1,high=0.8999999)@9b;gaussian-noise(sigma=0.04000001)@ff"
    assert operations(text) == "scale(high=0.9), gaussian-noise(sigma=0.04)"
    assert operations("root=3") == ""
    with pytest.raises(InvalidArgument, match="expected a recipe"):
        operations("<script>")
