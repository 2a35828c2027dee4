"""--oracle, --against and --relations from the command line: settings, corpora, replays and errors."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import small_models
from command_line import run

import armour
from armour.report import Report

RELATIONS = """
[[relation]]
name = "mirror"
change = "flip(axis=-1)"
expect = "same-label"
every = 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints, a network of three inputs, and a file of relations."""
    place = tmp_path_factory.mktemp("oracles")
    x, y = small_models.digits(1797)
    for name, n in (("one", 1797), ("two", 900)):
        model = small_models.centroids(x[:n], y[:n])
        model.provenance["data"] = {"name": "digits"}
        armour.save(model, place / f"{name}.ckpt")
    (place / "relations.toml").write_text(RELATIONS)
    return place


@pytest.fixture(scope="module")
def done(folder: Path) -> dict[str, object]:
    """`armour fuzz` with everything stated, as JSON."""
    result = run(
        folder, "fuzz", "one.ckpt", "--corpus", "c", "--executions", 300, "-n", 100, "--no-baseline",
        "--json",
        "--oracle", "confidence-collapse:drop=0.3", "--against", "two.ckpt", "--against", "int8",
        "--relations", "relations.toml",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_what_judged_is_said_and_recorded(folder: Path, done: dict[str, object]) -> None:
    oracles, by = done["oracles"], done["by_oracle"]
    assert isinstance(oracles, list) and isinstance(by, dict)
    expected = {"differential-two", "differential-int8", "metamorphic-mirror", "confidence-collapse"}
    assert expected <= set(oracles) and {"differential-two", "metamorphic-mirror"} <= set(by)
    manifest = json.loads((folder / "c" / "manifest.json").read_text())
    assert manifest["config"]["oracles"] == ["confidence-collapse:drop=0.3"]
    assert manifest["config"]["against"] == ["two", "int8"]
    assert manifest["config"]["relations"] == ["mirror: flip(axis=-1) -> same-label / 2"]
    assert manifest["source"]["against"] == {"two": "two.ckpt"} and list(manifest["others"]) == ["two"]
    report = Report.load(folder / "c" / "report.json")
    assert report.fuzz is not None and set(report.fuzz.oracles) == set(oracles)
    page = (folder / "c" / "report.html").read_text(encoding="utf-8")
    assert "metamorphic-mirror" in page and "differential-two" in page
    lines = (folder / "c" / "failures" / "index.jsonl").read_text().splitlines()
    severities = {record["oracle"]: record["severity"] for record in map(json.loads, lines)}
    assert severities["differential-two"] in ("medium", "high") and severities["metamorphic-mirror"]


def test_the_command_gives_the_same_again(folder: Path, done: dict[str, object]) -> None:
    words = shlex.split(str(done["command"]))
    again = run(folder, *words[1:], "--corpus", "again", "--json")
    assert again.exit_code == 0, again.output
    found = json.loads(again.stdout)
    for name in ("class_counts", "by_oracle", "oracles", "guided", "command"):
        assert found[name] == done[name], name


def test_going_on_takes_over_what_judges(folder: Path, done: dict[str, object]) -> None:
    more = run(folder, "fuzz", "one.ckpt", "--corpus", "c", "--resume", "--executions", 400, "--json")
    assert more.exit_code == 0, more.output
    found = json.loads(more.stdout)
    assert found["oracles"] == done["oracles"] and found["executions"] == 400
    assert "--against two.ckpt --against int8 --relations relations.toml" in found["command"]
    other = run(folder, "fuzz", "one.ckpt", "--corpus", "c", "--resume", "--against", "float16")
    assert (
        other.exit_code == 2 and "other settings (against ['two', 'int8'], now ['float16'])" in other.output
    )


def test_a_corpus_is_replayed_with_its_oracles(folder: Path, done: dict[str, object]) -> None:
    result = run(folder, "corpus", "replay", "c", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["failures"] == found["still_fail"] == found["same_label"] == found["rebuilt"] > 0
    assert found["minimised"] == found["minimised_still_fail"] > 0
    # Elsewhere the other model must be stated.
    moved = folder / "elsewhere"
    moved.mkdir()
    (folder / "c").rename(moved / "c")
    try:
        gone = run(folder, "corpus", "replay", "elsewhere/c", "--model", "one.ckpt")
        assert (
            gone.exit_code == 2
            and "two.ckpt of the corpus is not there; state one with --against" in gone.output
        )
        there = run(
            folder,
            "corpus",
            "replay",
            "elsewhere/c",
            "--model",
            "one.ckpt",
            "--against",
            "two.ckpt",
            "--json",
        )
        assert json.loads(there.stdout)["still_fail"] == found["failures"]
    finally:
        (moved / "c").rename(folder / "c")


def test_the_summary_counts_by_oracle(folder: Path) -> None:
    result = run(
        folder, "fuzz", "one.ckpt", "--corpus", "text", "--executions", 200, "-n", 100, "--no-baseline",
        "--relations", "relations.toml", "--against", "float16",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "by oracle" in result.stdout and "metamorphic-mirror" in result.stdout
    assert "differential-float16" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--oracle", "label-flop"), "unknown oracle 'label-flop'; did you mean label-flip?"),
        (("--oracle", "cost:factor=x"), "oracle cost: expected factor as float"),
        (("--oracle", "invariance:column=0"), "invariance: expected rows of features"),
        (("--against", "nothing.ckpt"), "nothing.ckpt"),
        (("--relations", "nothing.toml"), "nothing.toml: No such file or directory; check the path"),
        (("--against", "int8", "--against", "int8"), "'int8' twice"),
    ],
)
def test_errors_are_one_line_and_nothing_is_left(words: tuple[str, ...], message: str, folder: Path) -> None:
    result = run(folder, "fuzz", "one.ckpt", "--corpus", "bad", "--executions", 50, "-n", 50, *words)
    assert result.exit_code == 2 and message in result.output, result.output
    assert len([line for line in result.output.splitlines() if line.startswith("error")]) == 1
    assert not (folder / "bad" / "state.npz").exists()


def test_a_hostile_manifest_is_refused(folder: Path, done: dict[str, object]) -> None:
    path = folder / "c" / "manifest.json"
    kept = path.read_text()
    for name, value, message in (
        ("against", "int8", "expected against as texts"),
        ("oracles", ["os.system"], "unknown oracle 'os.system'"),
        ("relations", ["x: import os -> close"], "expected NAME"),
    ):
        manifest = json.loads(kept)
        manifest["config"][name] = value
        path.write_text(json.dumps(manifest))
        result = run(folder, "corpus", "replay", "c")
        assert result.exit_code == 2 and message in result.output, result.output
    path.write_text(kept)
    assert np.load(folder / "c" / "seeds" / "roots.npz", allow_pickle=False)["x"].ndim == 4


PREDICT = """
import os, signal
import numpy as np

means = np.load({means!r})

def predict(x):
    if (x[:, 0, 0, 0] > 0.18).any():
        os.kill(os.getpid(), signal.SIGSEGV)
    flat = x.reshape(len(x), -1)
    return -((flat[:, None] - means) ** 2).sum(axis=2)
"""


def test_a_python_function_that_dies(tmp_path: Path) -> None:
    x, y = small_models.digits(200)
    np.save(tmp_path / "means.npy", np.stack([x[y == c].reshape(-1, 64).mean(axis=0) for c in range(10)]))
    np.savez(tmp_path / "data.npz", x=x, y=y)
    (tmp_path / "model.py").write_text(PREDICT.format(means=str(tmp_path / "means.npy")))
    stated = ("--bounds", "0,1", "--num-classes", 10, "--input-shape", "1,8,8")
    result = run(
        tmp_path, "fuzz", "model.py:predict", "--data", "data.npz", "--executions", 192, "--no-baseline",
        "--corpus", "c", "--oracle", "crash", "--validity", "V1", "--json", *stated,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["executions"] == 192 and found["by_oracle"]["crash"]["classes"] >= 1
    page = (tmp_path / "c" / "report.html").read_text(encoding="utf-8")
    assert "killed by signal 11 (SIGSEGV)" in page and "severe" in page
    # A corpus names code; it is run only if the user says so too.
    refused = run(tmp_path, "corpus", "replay", "c")
    assert refused.exit_code == 2 and "name it with --model model.py:predict" in refused.output
    again = run(tmp_path, "corpus", "replay", "c", "--model", "model.py:predict", "--json", *stated)
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["still_fail"] == json.loads(again.stdout)["failures"] > 0


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("x = 1", "predict", "expected a function predict in"),
        ("raise RuntimeError('no\\nway')", "predict", "cannot be run: RuntimeError: no way"),
        (None, "predict", "there is no such file"),
    ],
)
def test_a_file_without_the_function(text: str | None, name: str, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "model.py").write_text(text)
    result = run(tmp_path, "fuzz", f"model.py:{name}", "--data", "digits", "--bounds", "0,1")
    assert result.exit_code == 2 and message in result.output and result.output.count("\n") == 1
