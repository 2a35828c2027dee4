"""`armour train --defense`: figures, provenance and help agree; interrupted runs end with the same file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import armour
from armour import attacks, data
from armour.cli.main import main
from armour.cli.train_defense import STEP_SIZE, STEPS
from armour.defenses.training import objectives, watch
from armour.model import ModuleModel
from armour.stats import wilson

FAST = (
    "digits",
    "--arch",
    "mlp",
    "--epochs",
    "2",
    "--defense",
    "pgd",
    "--epsilon",
    "0.1",
    "--set",
    "steps=2",
)


def train(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def trained(path: Path, *more: object) -> dict[str, Any]:
    result = train(*FAST, "-o", path, "--json", *more)
    assert result.exit_code == 0, result.output
    shown: dict[str, Any] = json.loads(result.stdout)
    return shown


def test_figures_are_those_of_the_saved_model_and_its_command_makes_it_again(tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    shown = trained(path)
    model = armour.load(path)
    assert isinstance(model, ModuleModel)
    _, test = data.load_split("digits")
    attack = attacks.PGD(steps=STEPS, step_size=STEP_SIZE)
    found = attack.attack(model, test.x, test.y, 0.1, rng=0)
    right = int((~found.success[0]).sum())
    assert shown["robust_accuracy"] == right / len(test) < shown["test_accuracy"]
    assert shown["robust_samples"] == len(test) and shown["robust_interval"] == list(wilson(right, len(test)))
    record = model.provenance["training"]
    assert {**record, "output": str(path), "fingerprint": model.fingerprint} == shown
    defense = record["defense"]
    assert (defense["objective"], defense["epsilon"], defense["norm"]) == ("pgd", 0.1, "linf")
    assert defense["settings"] == {"steps": 2, "step_size": 0.25}
    assert defense["evidence"] == str(objectives()["pgd"].evidence) and defense["collapse"] is None
    best = defense["history"][record["best_epoch"] - 1]
    assert len(defense["history"]) == record["epochs"]
    assert record["validation_robust_accuracy"] == best["robust"]
    assert record["validation_accuracy"] == best["clean"]
    again = tmp_path / "again.ckpt"
    words = record["command"].split()
    assert train(*words[2:], "-o", again).exit_code == 0
    assert again.read_bytes() == path.read_bytes()


def test_text_shows_the_evidence_and_a_collapse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = iter([(0.5, 0.6), (0.1, 0.9)])

    def look(self: Any, model: Any, clean: float) -> watch.Watched:
        robust, fgsm = next(pairs)
        return watch.Watched(clean=clean, robust=robust, fgsm=fgsm)

    monkeypatch.setattr(watch.Watch, "look", look)
    result = train(*FAST, "-o", tmp_path / "m.ckpt")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[1].startswith("robust accuracy <= ") and "n=359, 95 % interval" in lines[1]
    assert "PGD(norm='linf'" in lines[1] and lines[1].endswith("epsilon=0.1")
    assert lines[2] == f"evidence of pgd: {objectives()['pgd'].evidence}"
    assert lines[3].startswith(
        "warning: catastrophic overfitting in epoch 2: accuracy under PGD fell from 50.0%"
    )
    assert lines[3].endswith("; epoch 1 was kept")


def test_help_tells_how_well_each_defense_holds() -> None:
    words = train("--help").output.split()
    for name, kind in objectives().items():
        told = f"{name}: {kind.evidence}".split()
        assert any(words[i : i + len(told)] == told for i in range(len(words))), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--defense", "pdg", "--epsilon", 0.1), "did you mean"),
        (("--defense", "pgd"), "state --epsilon"),
        (("--epsilon", 0.1), "--epsilon belongs to a defense"),
        (("--on-collapse", "stop"), "--on-collapse belongs to a defense"),
        (("--set", "steps=2"), "--set belongs to a defense"),
        (("--defense", "pgd", "--epsilon", 0.1, "--set", "step=2"), "no setting 'step'"),
        (("--defense", "pgd", "--epsilon", 0.1, "--set", "steps=0"), "steps"),
        (("--defense", "pgd", "--epsilon", 0.1, "--share", 2), "--share"),
        (("--defense", "pgd", "--epsilon", "x"), "epsilon"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, options: tuple[object, ...], message: str) -> None:
    result = train("digits", *options, "-o", tmp_path / "m.ckpt")
    assert result.exit_code == 2 and message in result.stderr
    assert list(tmp_path.iterdir()) == []
