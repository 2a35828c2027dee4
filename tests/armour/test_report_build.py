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
from armour.model import CallableModel
from armour.preprocessing import Preprocessing
from armour.report import Report
from armour.report_build import attack_section, data_info, model_info, short_name
from armour.report_checks import badges

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
        logits,
        input_shape=(1, 2, 2),
        num_classes=2,
        name="bright",
        provenance={"path": "/a/b.ckpt", "training": {"test_accuracy": 0.5}},
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


def test_a_report_of_an_attack_survives_saving() -> None:
    model, x, y, _, result = attacked()
    report = Report.from_attack(result, model, x, y, headline=0.1, environment=samples.environment())
    assert Report.from_json(report.to_json()) == report
    assert f"n={N}" in report.to_html()


def test_the_model_is_named_without_paths() -> None:
    info = model_info(bright_or_not(), name="bright.ckpt")
    assert info.name == "bright.ckpt" and info.provenance["path"] == "b.ckpt"
    assert info.provenance["training test accuracy"] == "0.5"
    assert (info.input_shape, info.num_classes, info.bounds, info.parameters) == (
        (1, 2, 2),
        2,
        (0.0, 1.0),
        None,
    )


@pytest.mark.parametrize(
    ("outputs", "badge"),
    [("labels", "labels only"), ("probabilities", "probabilities"), ("logits", None)],
)
def test_what_the_model_gives_and_takes_is_shown(outputs: Any, badge: str | None) -> None:
    def answers(x: np.ndarray) -> np.ndarray:
        first = x.reshape(len(x), -1)[:, 0] / 255
        share = np.stack([1 - first, first], axis=1)
        return share.argmax(axis=1) if outputs == "labels" else share

    model = CallableModel(
        answers,
        outputs=outputs,
        input_shape=(1, 2, 2),
        num_classes=2,
        preprocessing=Preprocessing(scale=255, dtype="uint8", resize=(4, 4)),
    )
    _, x, y, _, result = attacked()
    report = Report.from_attack(result, model, x, y, headline=0.1, environment=samples.environment())
    names = [badge.text for badge in badges(report)]
    assert ("labels only" in names, "probabilities" in names) == (
        badge == "labels only",
        badge == "probabilities",
    )
    assert report.model.provenance["preprocessing"] == "resized to 4 x 4, times 255, as uint8"
    page = report.to_html()
    assert "resized to 4 x 4, times 255, as uint8" in page
    assert model.provenance["outputs"] in report.to_markdown() or model.provenance["outputs"] in page


def test_data_is_identified_by_its_values() -> None:
    x = np.zeros((5, 1, 2, 2), np.float32)
    info = data_info(Dataset(x, np.array([0, 0, 1, 1, 1]), name="/home/someone/set.npz"), selection="all")
    assert (info.name, info.n, info.class_counts, info.selection) == ("set.npz", 5, (2, 3), "all")
    assert info.sha256 == Dataset(x, np.array([0, 0, 1, 1, 1]), name="other").digest


@pytest.mark.parametrize(
    "text, name",
    [
        ("PGD(norm='linf', steps=40)", "PGD-40"),
        ("FGSM(norm='l2', steps=1)", "FGSM"),
        ("Square()", "Square"),
        ("APGDDLR(norm='linf', steps=40, restarts=1)", "APGD-DLR-40"),
        ("APGDT(steps=100)", "APGD-T-100"),
        ("FABT(steps=100)", "FAB-T-100"),
        ("APGD(steps=100, loss='margin')", "APGD-100"),
        ("VMIFGSM(steps=20)", "VMI-FGSM-20"),
        ("RFGSM()", "R-FGSM"),
        ("HopSkipJump(queries=5)", "HopSkipJump"),
        ("AutoAttack(steps=100)", "AutoAttack"),
        ("", "attack"),
    ],
)
def test_attacks_have_short_names(text: str, name: str) -> None:
    assert short_name(text) == name
