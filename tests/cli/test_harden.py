"""`armour harden` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import small_models
from command_line import run

import armour
from armour.data import load_split
from armour.model import ModuleModel
from armour.report import Report

SMALL = ("--executions", 384, "-n", 80, "--epochs", 3, "--lr", 0.002)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small network that records digits as its data."""
    train, _ = load_split("digits")
    model = small_models.centroids(train.x, train.y)
    model.provenance["data"] = {"name": "digits"}
    path = tmp_path_factory.mktemp("model") / "small.ckpt"
    armour.save(model, path)
    return path


@pytest.fixture(scope="module")
def done(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A folder in which the command was run with one control, and what it printed as JSON."""
    folder = tmp_path_factory.mktemp("done")
    result = run(
        folder, "harden", checkpoint, *SMALL, "--control", "clean", "-o", "new.ckpt", "--json", "--seed", 3
    )
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout)


def test_the_json_object(done: tuple[Path, dict[str, object]], checkpoint: Path) -> None:
    folder, found = done
    models, tests = found["models"], found["tests"]
    assert isinstance(models, list) and [one["name"] for one in models] == ["old", "clean", "hardened"]
    assert isinstance(tests, list) and len(tests) == 4 and all(0 <= one["p"] <= 1 for one in tests)
    assert found["parent"] == armour.load(checkpoint).fingerprint == models[0]["fingerprint"]
    assert found["seeds_a"] + found["seeds_b"] == 80  # type: ignore[operator]
    assert models[2]["again_a"]["k"] < models[0]["again_a"]["k"]
    assert "on seeds it had not seen" in str(found["verdict"]) and isinstance(found["gained"], bool)
    assert (folder / str(found["report"])).is_file()


def test_the_checkpoint_says_where_it_comes_from(done: tuple[Path, dict[str, object]]) -> None:
    folder, found = done
    model = armour.load(folder / "new.ckpt")
    assert isinstance(model, ModuleModel)
    noted = model.provenance["hardening"]
    assert noted["parent"] == found["parent"] and noted["split"] == found["split"]
    assert noted["command"] == found["command"] and noted["role"] == "hardened"
    assert model.provenance["data"] == {"name": "digits"}  # `armour fuzz new.ckpt` needs no --data
    assert model.fingerprint == found["models"][-1]["fingerprint"]  # type: ignore[index]


def test_the_report_is_of_the_hardened_model(done: tuple[Path, dict[str, object]]) -> None:
    folder, _ = done
    report = Report.load(folder / "new" / "report.json")
    assert report.hardening is not None and report.fuzz is not None
    last = report.hardening.models[-1]
    assert report.model.fingerprint == last.fingerprint and report.clean == last.clean
    assert report.fuzz.guided.failures == last.failures
    assert Report.from_json(report.to_json()) == report
    page = (folder / "new" / "report.html").read_text(encoding="utf-8")
    assert 'id="hardening"' in page and "control: the same seeds, unchanged" in page
    assert "## Hardening" in report.to_markdown()


def test_the_printed_command_makes_the_same_and_a_gate_can_fail(
    done: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    _, found = done
    words = str(found["command"]).split()
    gate = ["--fail-without-gain"] if not found["gained"] else []
    result = run(tmp_path, *words[1:], "-o", "again.ckpt", *gate)
    assert result.exit_code == len(gate), result.output
    assert armour.load(tmp_path / "again.ckpt").fingerprint == found["models"][-1]["fingerprint"]  # type: ignore[index]
    assert "roots of B broken" in result.output and "on seeds it had not seen" in result.output
    # Everything is there: going on gives the same at once, and starting over is refused.
    assert run(tmp_path, *words[1:], "-o", "again.ckpt", "--resume", "-q").exit_code == 0
    refused = run(tmp_path, *words[1:], "-o", "again.ckpt")
    assert refused.exit_code == 2 and "--resume" in refused.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--part", 1), "part between 0 and 1"),
        (("--mix", 0), "mix between 0 and 1"),
        (("--data", "no-such-data"), "no such file"),
        (("--data", "mnist-full", "-o", "x.onnx"), "use the suffix .ckpt"),
        (("--control", "none", "--control", "clean"), "name no other"),
        (("--corpus", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_line(
    checkpoint: Path, tmp_path: Path, words: tuple[object, ...], said: str
) -> None:
    result = run(tmp_path, "harden", checkpoint, *SMALL, *words)
    assert result.exit_code == 2 and said in result.output
    assert result.output.startswith("error: ") and result.output.count("\n") == 1
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_black_box_is_told_what_to_do(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text("no model")
    assert run(tmp_path, "harden", "model.txt").exit_code == 2
    model = armour.load(checkpoint)
    assert isinstance(model, ModuleModel)
    del model.provenance["data"]
    armour.save(model, tmp_path / "bare.ckpt")
    result = run(tmp_path, "harden", "bare.ckpt")
    assert result.exit_code == 2 and "state the one to train on with --data" in result.output
