"""Planted gradient masking is said; a healthy network is left in peace. The rates are measured by
tests/benchmarks/masking_study.py."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from benchmarks import masking_study as study

import armour
from armour import data
from armour.report import Report
from armour.report_checks import all_checks, badges
from armour.verdict import masking_sentence


@lru_cache(maxsize=2)
def network() -> armour.tensor.nn.Module:
    return study.train("mlp", seed=3, epochs=8, adversarial=False)


def evaluated(model: armour.Model, attacks: str = "pgd") -> Report:
    _, test = data.load_split("digits")
    threat = armour.Threat(epsilons=[study.EPSILON])
    return armour.evaluate(model, test.x[:70], test.y[:70], threat=threat, attacks=attacks)


def test_a_healthy_network_shows_no_sign() -> None:
    report = evaluated(study.model(network(), "healthy"), "quick")
    assert report.evaluation is not None
    assert report.evaluation.masking == "none" and report.evaluation.signs == ()
    assert masking_sentence(report.evaluation) == "No sign of gradient masking."
    assert not [check for check in all_checks(report) if check.status == "error"]
    assert "No sign of gradient masking." in report.to_html()


@pytest.mark.parametrize("plant", sorted(study.PLANTS))
def test_planted_masking_is_said(plant: str) -> None:
    report = evaluated(study.PLANTS[plant](network(), 1))
    section = report.evaluation
    assert section is not None and section.masking == "signs" and section.signs
    words = masking_sentence(section)
    assert words.startswith("Signs of gradient masking: ")
    wanted = {"logits": "saturated", "temper": "saturated", "noise ": "random"}.get(plant[:6], "quantised")
    if "inside" in plant:
        wanted = "operations without a derivative (round)"
    assert wanted in words
    assert any(badge.text == "signs of gradient masking" for badge in badges(report))
    assert words[:30] in report.to_html() and "Signs of gradient masking" in report.to_markdown()
    for check in report.checks:
        assert not check.sign or check.advice, "a sign comes with what to do about it"


def test_rounding_that_is_fine_beside_epsilon_is_no_sign() -> None:
    report = evaluated(study.quantising(256, True)(network(), 0))
    assert report.evaluation is not None and report.evaluation.masking == "none"
    found = {check.id: check for check in report.checks}
    assert found["R13"].status == "note" and "straight through" in found["R13"].text
    assert found["R14"].status == "ok", found["R14"].text


def test_the_same_seed_gives_the_same_words() -> None:
    model = study.model(network(), "healthy")
    one, two = evaluated(model), evaluated(model)
    assert one.sha256 == two.sha256
    assert np.isfinite(one.attacks[0].seconds)
