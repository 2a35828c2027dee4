"""`armour attack`: table, JSON and file agree; a mistake is one line and exit code 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_models
from click.testing import CliRunner, Result

import armour
from armour import attacks, data
from armour.cli.attack_options import _edits
from armour.cli.main import main
from armour.subset import stratified_order


def attack(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["attack", *map(str, arguments)])


def refused(result: Result, message: str, code: int = 2) -> None:
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert message in result.stderr and result.stdout == ""


def test_table(model: Path) -> None:
    result = attack(model, "--attack", "bim", "--epsilon", "8/255", "--epsilon", "0.2")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "BIM(norm='linf', steps=10, step_size=0.2, loss='cross-entropy')"
    assert lines[1] == "centroids, 359 samples of digits, seed 0"
    assert lines[4].split()[0] == "clean" and "%" in lines[4]
    assert lines[5].split()[:2] == ["0.03137", "<="] and lines[6].split()[0] == "0.2"
    assert "queries" in lines[-1] and result.stderr == ""
    assert attack(model, "--epsilon", "0.1", "--quiet", "--attack", "fgsm").output == ""


def test_json_and_file_agree_with_the_model(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "advs.npz"
    options = ("--epsilon", 0.1, "--epsilon", "0.25", "--norm", "linf", "--steps", 5, "--seed", 3, "-n", 100)
    result = attack(model, *options, "--json", "-o", target)
    assert result.exit_code == 0, result.stderr
    shown = json.loads(result.stdout)
    net = armour.load(model)
    with np.load(target, allow_pickle=False) as saved:
        assert saved["adv"].shape == (2, 100, 1, 8, 8) and saved["adv"].dtype == np.float32
        x, y = data.load("digits", "test")
        np.testing.assert_array_equal(saved["x"], x[saved["index"]])
        np.testing.assert_array_equal(saved["y"], y[saved["index"]])
        assert (np.bincount(saved["y"], minlength=10) >= 8).all(), "in the proportions of the classes"
        assert str(saved["attack"]) == shown["attack"] and str(saved["model"]) == net.fingerprint
        for k, row in enumerate(shown["results"]):
            right = net.predict(saved["adv"][k]) == saved["y"]
            np.testing.assert_array_equal(saved["success"][k], ~right)
            assert row["robust_accuracy"] == pytest.approx(right.mean())
            assert np.abs(saved["adv"][k].astype(float) - saved["x"]).max() <= row["epsilon"] * (1 + 1e-6)
            low, high = row["interval"]
            assert low < row["robust_accuracy"] < high
        assert shown["clean_accuracy"] == pytest.approx((net.predict(saved["x"]) == saved["y"]).mean())
        assert shown["results"][1]["broken"] >= shown["results"][0]["broken"] > 0
    again = json.loads(attack(model, *options, "--json").stdout)
    assert {**again, "seconds": 0, "output": 0} == {**shown, "seconds": 0, "output": 0}
    assert json.loads(attack(model, *options, "--json", "--seed", 4).stdout)["results"] != shown["results"]


def test_all_samples_of_a_file(model: Path, tmp_path: Path) -> None:
    x, y = data.load("digits", "test")
    source = tmp_path / "some.npz"
    np.savez(source, x=x[:50], y=y[:50])
    result = attack(model, "--epsilon", 0.1, "--attack", "fgsm", "--data", source, "--json")
    assert json.loads(result.stdout)["samples"] == 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "expected a budget for pgd; state one, such as --epsilon 8/255"),
        (("--epsilon", "8"), "did you mean 8/255?"),
        (("--epsilon", "8/0"), "8/255"),
        (("--epsilon", "-0.1"), "at or above 0"),
        (("--epsilon", ".1", "--attack", "pdg"), "unknown attack 'pdg'; did you mean pgd"),
        (("--epsilon", ".1", "--norm", "l7"), "unknown norm 'l7'"),
        (("--epsilon", ".1", "--attack", "r-fgsm", "--norm", "l2"), "unknown norm 'l2'; "),
        (
            ("--epsilon", ".1", "--attack", "fgsm", "--steps", "3"),
            "fgsm has no setting --steps; it has: --norm, --",
        ),
        (("--epsilon", ".1", "--steps", "0"), "steps=0"),
        (("--epsilon", ".1", "--loss", "cross"), "unknown loss 'cross'"),
        (("--epsilon", ".1", "--data", "mnits"), "did you mean mnist"),
        (("--epsilon", ".1", "-n", "0"), "samples"),
        (("--epsilon", ".1", "-o", "no/such/folder/a.npz"), "no folder"),
    ],
)
def test_mistakes(model: Path, options: tuple[str, ...], message: str) -> None:
    refused(attack(model, *options), message)


def test_data_that_does_not_fit(model: Path, tmp_path: Path) -> None:
    x, y = data.load("digits", "test")

    def against(message: str, **arrays: np.ndarray) -> None:
        source = tmp_path / "bad.npz"
        np.savez(source, **arrays)
        refused(attack(model, "--epsilon", 0.1, "--data", source), message)

    against(
        "expected inputs of shape (n, 1, 8, 8)", x=np.zeros((20, 1, 9, 9), np.float32), y=np.arange(20) % 10
    )
    against("labels in 0..9", x=x[:20], y=np.arange(20))
    against("NaN", x=np.where(x[:20] > 0.9, np.nan, x[:20]), y=y[:20])


def test_no_data_recorded_and_none_stated(tmp_path: Path) -> None:
    path = tmp_path / "bare.ckpt"
    armour.save(small_models.centroids(*small_models.digits()), path)
    refused(attack(path, "--epsilon", 0.1), "records no data set; state one with --data")


def test_a_failing_write_leaves_nothing(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills while the file is written: one line, exit code 2, no file and no temporary file."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    target = tmp_path / "advs.npz"
    refused(attack(model, "--epsilon", 0.1, "--attack", "fgsm", "-o", target), "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_model(tmp_path: Path) -> None:
    refused(attack(tmp_path / "none.ckpt", "--epsilon", 0.1), "none.ckpt")


def test_a_fresh_process(model: Path) -> None:
    """Nothing but the command has been imported: it must know every layer of the checkpoint by itself."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "armour", "attack", str(model), "--attack", "fgsm", "--epsilon", "0.1"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        command, cwd=model.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "<=" in done.stdout and done.stderr == ""


def test_the_list_names_every_attack_and_what_it_needs() -> None:
    result = CliRunner().invoke(main, ["attack", "--list"])
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    assert set(armour.attacks.names()) < set(rows)
    assert "scores" in rows["square"] and "gradients" in rows["pgd"] and "labels" in rows["hop-skip-jump"]
    assert "https://arxiv.org/abs/1706.06083" in rows["pgd"] and "linf l2" in rows["pgd"]
    shown = CliRunner().invoke(main, ["attack", "--help"]).stdout
    assert "--list" in shown and "--mask" in shown and "hop-skip-jump" in shown


def test_a_mask_keeps_the_rest_as_it_is(model: Path, tmp_path: Path) -> None:
    from PIL import Image

    allowed = np.zeros((8, 8), bool)
    allowed[:, :4] = True
    np.save(tmp_path / "m.npy", allowed)
    np.savez(tmp_path / "m.npz", mask=allowed)
    Image.fromarray(allowed.astype(np.uint8) * 255).save(tmp_path / "m.png")
    found = []
    for name in ("m.npy", "m.npz", "m.png"):
        target = tmp_path / "a.npz"
        options = ("--epsilon", 0.3, "-n", 30, "--steps", 5, "--mask", tmp_path / name, "-o", target)
        result = attack(model, *options)
        assert result.exit_code == 0, result.stderr
        with np.load(target, allow_pickle=False) as saved:
            moved = (saved["adv"][0] != saved["x"]).any(axis=(0, 1))
            assert not moved[~allowed].any() and moved[allowed].any()
            found.append(saved["adv"])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    np.save(tmp_path / "wide.npy", np.ones((3, 3), bool))
    refused(attack(model, "--epsilon", 0.3, "--mask", tmp_path / "wide.npy"), "expected a mask that fits")
    refused(attack(model, "--epsilon", 0.3, "--mask", tmp_path / "none.npy"), "there is no mask")
    (tmp_path / "bad.png").write_bytes(b"PNG")
    refused(attack(model, "--epsilon", 0.3, "--mask", tmp_path / "bad.png"), "cannot be read as a picture")


def test_what_a_row_leaves_out_is_said(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.eye(8, dtype=bool)[None])
    options = ("--attack", "auto-attack", "--steps", "2", "--queries", "5", "--mask", tmp_path / "mask.npy")
    result = attack(model, *options, "--epsilon", "0.1", "-n", "20")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1] == "FABT was left out: it knows no mask and no grid"
    shown = json.loads(attack(model, *options, "--epsilon", "0.1", "-n", "20", "--json").stdout)
    assert shown["left_out"] == ["FABT was left out: it knows no mask and no grid"]


def test_any_setting_can_be_stated(model: Path) -> None:
    result = attack(model, "--epsilon", 0.1, "-n", 20, "--set", "random-start=false", "--set", "steps=3")
    assert result.exit_code == 0, result.stderr
    assert "steps=3" in result.stdout and "random_start=False" in result.stdout
    refused(attack(model, "--epsilon", 0.1, "--set", "pace=1"), "pgd has no setting --pace; it has: --norm")
    refused(attack(model, "--epsilon", 0.1, "--set", "steps"), "expected NAME=VALUE")
    refused(attack(model, "--epsilon", 0.1, "--steps", 3, "--set", "steps=4"), "steps is stated twice")
    refused(attack(model, "--epsilon", 0.1, "--set", "steps=many"), "steps")


def test_a_surrogate_and_what_crafts_on_it_can_be_stated(model: Path) -> None:
    """On itself, by PGD, transfer finds what it finds in Python."""
    options = ("--attack", "transfer", "--epsilon", 0.1, "-n", 30, "--json")
    result = attack(model, *options, "--set", f"surrogate={model}", "--set", "using=pgd")
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    net = armour.load(model)
    x, y = data.load("digits", "test")
    at = stratified_order(y, np.random.default_rng(0))[:30]
    made = attacks.Transfer(surrogate=net, using=attacks.PGD()).attack(net, x[at], y[at], 0.1, rng=0)
    assert shown["results"][0]["robust_accuracy"] == made.robust_accuracy[0] < shown["clean_accuracy"]
    assert "using=PGD(" in shown["attack"]
    refused(attack(model, *options), "surrogate")
    refused(attack(model, *options, "--set", "surrogate=none.ckpt"), "none.ckpt")
    refused(attack(model, *options, "--set", f"surrogate={model}", "--set", "using=pdg"), "did you mean pgd")


def test_edits_of_bytes_can_be_stated(model: Path) -> None:
    options = ("--attack", "bytes", "-n", 10, "--queries", 20)
    refused(attack(model, *options, "--set", "edits=replace"), "expected edits such as replace:16,append:64")
    refused(attack(model, *options, "--set", "edits=append:4"), "expected padding=")
    # What is stated arrives: digits lie in 0..1, where the bytes 0..255 have no place.
    refused(
        attack(model, *options, "--set", "edits=replace:2"), "values and padding inside the model's bounds"
    )
    assert _edits("replace:16, append:64,padding:256") == attacks.Edits(replace=16, append=64, padding=256)
