"""Planted gradient masking is said; a healthy network is left in peace. The rates are measured by
tests/benchmarks/masking_study.py."""

from __future__ import annotations

from functools import lru_cache

import linear
import numpy as np
import pytest
from benchmarks import masking_study as study

import armour
from armour import data
from armour.attacks import PGD
from armour.evaluation import presets
from armour.evaluation.context import Context
from armour.report import Report
from armour.report_checks import all_checks, badges
from armour.verdict import attack_sentence, masking_sentence


@lru_cache(maxsize=2)
def network() -> armour.tensor.nn.Module:
    return study.train("mlp", seed=3, epochs=8, adversarial=False)


def evaluated(model: armour.Model, attacks: str = "pgd", n: int = 70) -> Report:
    _, test = data.load_split("digits")
    threat = armour.Threat(epsilons=[study.EPSILON])
    return armour.evaluate(model, test.x[:n], test.y[:n], threat=threat, attacks=attacks)


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


def test_a_random_network_is_attacked_by_averaged_gradients() -> None:
    """A preset sees to it by itself, and the verdict says so; a network that is not random keeps its row."""
    noisy = study.PLANTS["noise 0.1 in the forward pass"](network(), 1)
    report = evaluated(noisy, "quick", 30)
    section = report.evaluation
    assert section is not None and section.preset == "quick"
    assert [step.name for step in section.steps][:2] == ["PGD-20, EOT 20", "Square"]
    assert attack_sentence(report.attacks[0]).startswith("robust accuracy <= ")
    assert "(quick, 2 attacks, EOT 20, Linf 0.1, n=30" in attack_sentence(report.attacks[0])
    assert any("gradients were averaged over 20 draws for each step (EOT)" in note for note in section.notes)
    assert "EOT 20" in report.to_html() and "EOT 20" in report.to_markdown()
    plain = evaluated(study.model(network(), "healthy"), "quick", 30)
    assert plain.evaluation is not None and "EOT" not in plain.to_markdown()
    own = evaluated(noisy, "pgd", 30).evaluation
    assert own is not None and own.steps[0].name == "PGD-40", "a choice is left as it is"
    assert any(note.endswith("more than half of 20 answers say so.") for note in own.notes)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
@pytest.mark.parametrize("preset", ["quick", "standard", "thorough", "black-box"])
def test_rows_for_random_models_average_wherever_an_attack_can(preset: str, norm: str) -> None:
    threat = armour.Threat(epsilons=1.0, norm=norm)
    row = presets.averaged(preset, threat, study.model(network(), "healthy"))
    averages = [presets.draws(attack) for attack in row if attack.needs_gradient]
    assert set(averages) <= {20} and {attack.norm for attack in row} <= {norm}
    assert bool(row) == (preset != "black-box" and norm != "l0")
    blind = armour.Threat(epsilons=1.0, norm=norm, knowledge="black-box")
    assert presets.averaged(preset, blind, study.model(network(), "healthy")) == []


class Flickering(linear.LinearModel):
    """A sure linear model that gives the opposite answer at every fourth call."""

    asked = 0

    def _forward(self, x: np.ndarray) -> np.ndarray:
        self.asked += 1
        logits = super()._forward(x)
        return -logits if self.asked % 4 == 0 else logits


def test_a_lucky_answer_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a budget too small for anything, neither the row nor the checks' own attacks count luck."""
    known = linear.two_classes(seed=2)
    x = linear.inputs(known, 24, 2)

    def go() -> Report:
        model = Flickering(known.weights, known.bias)
        threat = armour.Threat(epsilons=1e-5)
        return armour.evaluate(model, x, known.predict(x), threat=threat, attacks=[PGD(steps=5)])

    report = go()
    assert report.attacks[0].robust[0].k == 24
    assert {check.id: check for check in report.checks}["R12"].status == "warning"
    monkeypatch.setattr(Context, "_confirmed", lambda self, name, trial: trial.success)
    assert go().attacks[0].robust[0].k < 24, "there are lucky answers in it"


def test_the_same_seed_gives_the_same_words() -> None:
    model = study.model(network(), "healthy")
    one, two = evaluated(model), evaluated(model)
    assert one.sha256 == two.sha256
    assert np.isfinite(one.attacks[0].seconds)
