"""Sections from results: every count is checked against the arrays it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import report_samples as samples

from armour import stats
from armour.data import Dataset
from armour.errors import InvalidArgument, NothingEvaluated
from armour.fuzz.result import CampaignResult, Failure, FuzzResult, GrowthPoint
from armour.model import CallableModel
from armour.report import Report
from armour.report_build import attack_section, data_info, fuzz_section, model_info, short_name

N = 60


@dataclass
class Result:
    """What an attack returns, as far as a report reads it."""

    adv: np.ndarray
    success: np.ndarray
    distance: np.ndarray
    epsilons: np.ndarray
    attack: str = "PGD(norm='linf', steps=40)"
    norm: str = "linf"
    queries: int = 300
    gradients: int = 240
    seconds: float = 0.5
    clean_accuracy: float = 0.0
    robust_accuracy: np.ndarray = field(default_factory=lambda: np.zeros(0))


def bright_or_not() -> CallableModel:
    """Class 1 if the first pixel is above one half."""

    def logits(x: np.ndarray) -> np.ndarray:
        first = x.reshape(len(x), -1)[:, 0]
        return np.stack([0.5 - first, first - 0.5], axis=1).astype(np.float32)

    return CallableModel(
        logits, input_shape=(1, 2, 2), num_classes=2, name="bright", provenance={"path": "/a/b.ckpt"}
    )


def attacked(epsilons: tuple[float, ...] = (0.3, 0.1, 0.2)) -> tuple[Any, ...]:
    """A model, inputs, labels (some misread) and the exact optimum of an attack on it."""
    rng = np.random.default_rng(0)
    x = rng.random((N, 1, 2, 2)).astype(np.float32)
    y = (x[:, 0, 0, 0] > 0.5).astype(np.int64)
    y[:6] = 1 - y[:6]  # misread from the start
    first = x[:, 0, 0, 0]
    right = (first > 0.5) == y.astype(bool)
    adv, success, distance = [], [], []
    for epsilon in epsilons:
        moved = x.copy()
        moved[:, 0, 0, 0] = np.where(right, np.clip(first + np.where(y == 1, -epsilon, epsilon), 0, 1), first)
        fooled = (moved[:, 0, 0, 0] > 0.5) != y.astype(bool)
        adv.append(moved)
        success.append(fooled)
        distance.append(np.abs(moved - x).reshape(N, -1).max(1))
    result = Result(np.stack(adv), np.stack(success), np.stack(distance), np.array(epsilons))
    return bright_or_not(), x, y, right, result


def test_rates_are_counts_of_the_masks() -> None:
    model, x, y, right, result = attacked()
    section = attack_section(result, model, x, y, headline=0.2)
    assert section.epsilons == (0.1, 0.2, 0.3) and section.headline == 1
    assert (section.clean.k, section.clean.n) == (int(right.sum()), N) == (N - 6, N)
    for epsilon, rate in zip(section.epsilons, section.robust, strict=True):
        row = int(np.flatnonzero(result.epsilons == epsilon)[0])
        assert rate.k == int((~result.success[row]).sum())
        assert (rate.low, rate.high) == pytest.approx(stats.wilson(rate.k, N))
    assert section.name == "PGD-40" and section.access == "white-box"
    for label, row in enumerate(section.classes):
        assert row.clean.n == int((y == label).sum())
        assert row.clean.k == int((right & (y == label)).sum())
    assert sum(row.robust[1].k for row in section.classes) == section.robust[1].k


def test_examples_were_right_before_and_are_wrong_after() -> None:
    model, x, y, _, result = attacked()
    section = attack_section(result, model, x, y, headline=0.3, examples=4)
    assert 0 < len(section.examples) <= 4
    for shown in section.examples:
        assert shown.true != shown.predicted
        assert shown.largest == pytest.approx(0.3, abs=1e-6)


def test_an_attack_without_epsilons_has_a_curve_from_its_distances() -> None:
    model, x, y, right, result = attacked((0.3,))
    minimal = np.where(right, np.abs(x[:, 0, 0, 0] - 0.5), 0.0)
    result.success, result.distance = np.ones((1, N), bool), minimal[None]
    result.epsilons = np.array([np.inf])
    section = attack_section(result, model, x, y)
    for epsilon, rate in zip(section.epsilons, section.robust, strict=True):
        assert rate.k == int((minimal > epsilon).sum())


def test_what_cannot_be_reported_is_refused() -> None:
    model, x, y, _, result = attacked()
    with pytest.raises(InvalidArgument, match="expected a headline among the epsilons"):
        attack_section(result, model, x, y, headline=0.15)
    with pytest.raises(NothingEvaluated, match="at least one attacked sample"):
        attack_section(result, model, x[:0], y[:0])


def test_the_model_is_named_without_paths() -> None:
    info = model_info(bright_or_not(), name="bright.ckpt")
    assert info.name == "bright.ckpt" and info.provenance["path"] == "b.ckpt"
    assert (info.input_shape, info.num_classes, info.bounds, info.parameters) == (
        (1, 2, 2),
        2,
        (0.0, 1.0),
        None,
    )


def test_data_is_identified_by_its_values() -> None:
    x = np.zeros((5, 1, 2, 2), np.float32)
    info = data_info(Dataset(x, np.array([0, 0, 1, 1, 1]), name="/home/someone/set.npz"), selection="all")
    assert (info.name, info.n, info.class_counts, info.selection) == ("set.npz", 5, (2, 3), "all")
    assert info.sha256 == Dataset(x, np.array([0, 0, 1, 1, 1]), name="other").digest


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
        recipe=f"root={root};brightness(amount=0.2)@1;blur(width=2)@2",
        minimised_recipe=f"root={root};brightness(amount=0.1)@1",
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
    section = fuzz_section(fuzzed(), bright_or_not())
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
    section = fuzz_section(fuzzed(), bright_or_not(), pictures=2)
    assert [shown.key for shown in section.failures] == ["b", "c"]
    first = section.failures[0]
    assert first.recipe == "root=2;brightness(amount=0.1)@1"
    assert first.figures["linf"] == pytest.approx(0.1, abs=1e-6)
    assert set(first.figures) == {"confidence", "l2", "linf"}


def test_long_curves_are_thinned_and_keep_their_end() -> None:
    section = fuzz_section(fuzzed(guided=campaign("niche", points=455)), bright_or_not())
    assert len(section.guided.curve) <= 201 and section.guided.curve[-1].executions == 910


def test_both_make_one_report_that_survives_saving() -> None:
    model, x, y, _, result = attacked()
    attack = Report.from_attack(result, model, x, y, headline=0.1, environment=samples.environment())
    both = attack.merge(Report.from_fuzz(fuzzed(), model, limits=("no people",)))
    assert Report.from_json(both.to_json()) == both
    assert both.limits == ("no people",)
    page = both.to_html()
    assert "40 failures at V2 in 3 D2 classes" in page


@pytest.mark.parametrize(
    "text, name",
    [
        ("PGD(norm='linf', steps=40)", "PGD-40"),
        ("FGSM(norm='l2', steps=1)", "FGSM"),
        ("Square()", "Square"),
        ("", "attack"),
    ],
)
def test_attacks_have_short_names(text: str, name: str) -> None:
    assert short_name(text) == name
