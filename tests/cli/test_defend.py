"""`--defend` of attack and evaluate: the model behind defenses, their evidence shown, mistakes refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import armour
from armour import attacks
from armour.cli.main import main
from armour.defenses import Defended
from armour.defenses.input import input_defenses
from armour.report import Report


def armour_command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


OPTIONS: tuple[object, ...] = ("--epsilon", 0.1, "-n", 50, "--seed", 3)


def test_attack_is_that_of_the_model_behind_the_defense(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.npz"
    result = armour_command(
        "attack", model, *OPTIONS, "--defend", "bit-depth:bits=2", "--defend", "jpeg", "-o", out, "--json"
    )
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["model"].endswith("behind bit-depth:bits=2 then jpeg")
    assert [line.split(" (")[0] for line in said["defenses"]] == ["bit-depth:bits=2: broken", "jpeg: broken"]
    assert "https://arxiv.org/abs/1802.00420" in said["defenses"][1]
    kept = np.load(out, allow_pickle=False)
    defended = Defended(armour.load(model), ["bit-depth:bits=2", "jpeg"])
    found = attacks.PGD().attack(defended, kept["x"], kept["y"], 0.1, rng=3)
    np.testing.assert_array_equal(kept["adv"], found.adv)
    assert said["results"][0]["robust_accuracy"] == found.robust_accuracy[0]
    text = armour_command("attack", model, *OPTIONS, "--defend", "jpeg")
    assert "jpeg: broken (defeated in print by attacks that know it)" in text.stdout


def test_evaluate_says_so_everywhere_and_can_be_repeated(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = armour_command(
        "evaluate",
        model,
        *OPTIONS,
        "--attacks",
        "fgsm,pgd",
        "--defend",
        "spatial-smoothing:size=2",
        "-o",
        "r.json",
    )
    assert result.exit_code == 0, result.stderr
    assert "spatial-smoothing:size=2: broken" in result.stdout
    report = Report.load("r.json")
    assert any(line.startswith("Defense spatial-smoothing:size=2: broken") for line in report.limits)
    assert "--defend spatial-smoothing:size=2" in report.provenance.command


def test_answers_drawn_at_random_are_noticed_and_gradients_averaged(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = armour_command(
        "evaluate",
        model,
        "--epsilon",
        0.1,
        "-n",
        12,
        "--attacks",
        "quick",
        "--defend",
        "random-resizing",
        "-o",
        "r.json",
    )
    assert result.exit_code == 0, result.stderr
    report = json.loads(Path("r.json").read_text())
    assert "the forward pass is random" in json.dumps(report)
    assert re.search(r"eot=20", json.dumps(report))


def test_help_and_list_show_the_evidence() -> None:
    for command in ("attack", "evaluate"):
        assert "--defend NAME[:KEY=VALUE,...]" in " ".join(armour_command(command, "--help").stdout.split())
    listed = armour_command("attack", "--defenses").stdout
    for name, kind in input_defenses().items():
        assert re.search(rf"^{name}:", listed, re.MULTILINE) and str(kind.evidence) in listed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bitdepht", "did you mean bit-depth"),
        ("jpeg:quality=0", "expected a whole number"),
        ("jpeg:q=3", "quality=..."),
    ],
)
def test_mistakes_are_one_line(model: Path, text: str, message: str) -> None:
    result = armour_command("attack", model, *OPTIONS, "--defend", text)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1 and message in result.stderr
