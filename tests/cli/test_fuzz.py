"""`armour fuzz` and `armour corpus` from the command line."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import small_models
from click.testing import CliRunner
from command_line import run

import armour
from armour.cli.main import main
from armour.fuzz import store
from armour.report import Report


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small network that records digits as its data."""
    x, y = small_models.digits(1797)
    model = small_models.centroids(x, y)
    model.provenance["data"] = {"name": "digits"}
    path = tmp_path_factory.mktemp("model") / "small.ckpt"
    armour.save(model, path)
    return path


@pytest.fixture(scope="module")
def done(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A folder in which `armour fuzz MODEL --executions 1200 --json` was run, and what it printed."""
    folder = tmp_path_factory.mktemp("done")
    result = run(folder, "fuzz", checkpoint, "--executions", 1200, "--json", "-n", 150)
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout)


def test_the_json_object(done: tuple[Path, dict[str, object]]) -> None:
    folder, found = done
    assert found["executions"] == 1200 and found["corpus"] == "small-fuzz"
    assert isinstance(found["seconds"], float) and found["seconds"] > 0
    assert isinstance(found["failures"], int) and isinstance(found["classes"], int)
    assert found["failures"] >= found["classes"] > 0
    baseline = found["baseline"]
    assert isinstance(baseline, dict) and baseline["executions"] == 1200
    assert baseline["schedule"] == "random" and baseline["failures"] >= baseline["classes"]
    assert (
        len(list((folder / "small-fuzz").glob("failures/*/*/meta.json")))
        == found["stored"]
        == found["classes"]
    )


def test_the_report_is_written(done: tuple[Path, dict[str, object]]) -> None:
    folder, found = done
    report = Report.load(folder / "small-fuzz" / "report.json")
    assert report.fuzz is not None and report.fuzz.guided.executions == 1200
    assert report.fuzz.baseline is not None and report.provenance.seed == 0
    page = (folder / "small-fuzz" / "report.html").read_text(encoding="utf-8")
    assert "label-flip" in page and str(found["failures"]) in page.replace(",", "")


def test_the_model_alone_is_enough(checkpoint: Path, tmp_path: Path) -> None:
    one = run(tmp_path, "fuzz", checkpoint, "--executions", 300)
    assert one.exit_code == 0, one.output
    assert "test images of digits, which" in one.stderr
    assert "failure classes (D2)" in one.stdout and "random" in one.stdout
    assert "armour corpus replay small-fuzz" in one.stdout
    # The next one takes the next free folder.
    two = run(tmp_path, "fuzz", checkpoint, "--executions", 300, "-q")
    assert two.exit_code == 0 and two.stdout == ""
    assert (tmp_path / "small-fuzz-2" / "manifest.json").is_file()


def test_resume_takes_over_the_settings(checkpoint: Path, tmp_path: Path) -> None:
    first = (
        "fuzz",
        checkpoint,
        "--corpus",
        "c",
        "--seed",
        5,
        "-n",
        80,
        "--validity",
        "V1",
        "--data",
        "digits",
    )
    assert run(tmp_path, *first, "--executions", 300, "-q").exit_code == 0
    more = run(tmp_path, "fuzz", checkpoint, "--corpus", "c", "--resume", "--executions", 600, "--json")
    assert more.exit_code == 0, more.output
    found = json.loads(more.stdout)
    assert found["executions"] == 600 and found["seed"] == 5 and found["validity"] == "V1"
    assert found["seeds"] == 80 and found["notes"] == []
    assert "--seed 5" in found["command"] and "--validity V1" in found["command"]
    other = run(tmp_path, "fuzz", checkpoint, "--corpus", "c", "--resume", "--validity", "V2")
    assert other.exit_code == 2 and other.stderr.count("\n") == 1
    assert "other settings (validity V1, now V2)" in other.stderr


def test_resume_of_nothing_starts(checkpoint: Path, tmp_path: Path) -> None:
    result = run(tmp_path, "fuzz", checkpoint, "--resume", "--executions", 200, "-n", 60, "-q")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "small-fuzz" / "state.npz").is_file()


def test_a_folder_with_something_in_it_needs_a_word(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine.txt").write_text("x")
    result = run(tmp_path, "fuzz", checkpoint, "--corpus", "c")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert f"armour fuzz {checkpoint} --corpus c --resume" in result.stderr
    assert f"armour fuzz {checkpoint} --corpus c-2" in result.stderr
    resumed = run(tmp_path, "fuzz", checkpoint, "--corpus", "c", "--resume")
    assert resumed.exit_code == 2 and "manifest.json" in resumed.stderr
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["mine.txt"]


def test_finding_one_may_fail_the_command(checkpoint: Path, tmp_path: Path) -> None:
    options = ("--executions", 400, "-n", 100, "--fail-on-finding")
    result = run(tmp_path, "fuzz", checkpoint, *options, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failures"] > 0
    assert "armour corpus replay small-fuzz" in result.stderr


def test_islands_and_processes(checkpoint: Path, tmp_path: Path) -> None:
    """Their number is recorded, taken over and repeated; that of the processes changes nothing."""
    options = ("--executions", 600, "-n", 60, "--islands", 2)
    one = run(tmp_path, "fuzz", checkpoint, *options, "--corpus", "a", "-j", 1, "--json")
    assert one.exit_code == 0, one.output
    found = json.loads(one.stdout)
    assert found["islands"] == 2 and found["command"].endswith("--islands 2")
    assert run(tmp_path, "fuzz", checkpoint, *options, "--corpus", "b", "-j", 3, "-q").exit_code == 0
    one_, two = (small_models.contents(tmp_path / name) for name in ("a", "b"))
    assert {k: v for k, v in one_.items() if "report" not in k} == {
        k: v for k, v in two.items() if "report" not in k
    }
    more = run(
        tmp_path, "fuzz", checkpoint, "--corpus", "a", "--resume", "--executions", 700, "-j", 2, "--json"
    )
    assert json.loads(more.stdout)["islands"] == 2 and json.loads(more.stdout)["executions"] == 700


def test_stop_rules(checkpoint: Path, tmp_path: Path) -> None:
    options = ("--corpus", "c", "-n", 60, "--no-baseline")
    first = run(tmp_path, "fuzz", checkpoint, *options, "--until-class", 5)
    assert first.exit_code == 0 and "failure classes were found (until 5)" in first.stdout
    assert "--executions" in first.stdout.splitlines()[-1], "the command to repeat it states where it ended"
    plateau = run(tmp_path, "fuzz", checkpoint, *options, "--resume", "--plateau", 1, "--json")
    assert plateau.exit_code == 0
    stopped = json.loads(plateau.stdout)["stopped"]
    assert re.fullmatch(r"no new failure class in the last [\d,]+ executions", stopped)
    assert json.loads((tmp_path / "c" / "stats.json").read_text())["stopped"] == stopped
    risk = run(tmp_path, "fuzz", checkpoint, *options, "--resume", "--residual-risk", 0.9, "--json")
    assert "biases it" in json.loads(risk.stdout)["stopped"]


def test_no_baseline(checkpoint: Path, tmp_path: Path) -> None:
    result = run(tmp_path, "fuzz", checkpoint, "--executions", 256, "-n", 60, "--no-baseline", "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)["baseline"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fuzz", "none.ckpt"), "none.ckpt"),
        (("fuzz", "MODEL", "--executions", "0"), "--executions"),
        (("fuzz", "MODEL", "--seconds", "soon"), "length of time"),
        (("fuzz", "MODEL", "--islands", "0"), "--islands"),
        (("fuzz", "MODEL", "--until-class", "0"), "--until-class"),
        (("fuzz", "MODEL", "--residual-risk", "2"), "--residual-risk"),
        (("fuzz", "MODEL", "--data", "digitz"), "digits"),
        (("fuzz", "MODEL", "--validity", "V9"), "V9"),
        (("fuzz", "MODEL", "--corpus", "file.txt"), "file.txt"),
        (("fuzz", "MODEL", "--corpus", "/proc/none/here"), "/proc/none/here"),
        (("corpus", "replay", "nowhere"), "nowhere"),
        (("corpus", "stats", "."), "manifest.json"),
    ],
)
def test_bad_input_is_one_line(
    checkpoint: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    (tmp_path / "file.txt").write_text("x")
    result = run(tmp_path, *(str(checkpoint) if a == "MODEL" else a for a in arguments))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1 and words in result.stderr


def test_data_that_does_not_fit(checkpoint: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "wide.npz", x=np.zeros((20, 1, 9, 9), np.float32), y=np.zeros(20, np.int64))
    result = run(tmp_path, "fuzz", checkpoint, "--data", "wide.npz")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and "(n, 1, 8, 8)" in result.stderr
    assert not (tmp_path / "small-fuzz").exists()


def test_corpus_stats(done: tuple[Path, dict[str, object]]) -> None:
    folder, found = done
    text = run(folder, "corpus", "stats", "small-fuzz")
    assert text.exit_code == 0 and "largest classes" in text.stdout and "1,200" in text.stdout
    stats = json.loads(run(folder, "corpus", "stats", "small-fuzz", "--json").stdout)
    for name in ("failures", "classes", "pairs", "distinct", "class_counts"):
        assert stats[name] == found[name]
    assert stats["stats"]["guided"]["roots"] == stats["roots_broken"] == found["roots"]


def test_corpus_replay(done: tuple[Path, dict[str, object]], checkpoint: Path) -> None:
    folder, found = done
    everything = run(folder, "corpus", "replay", "small-fuzz", "--json")
    assert everything.exit_code == 0, everything.output
    counts = json.loads(everything.stdout)
    assert (
        counts["failures"]
        == counts["still_fail"]
        == counts["same_label"]
        == counts["rebuilt"]
        == found["failures"]
    )
    assert counts["minimised_still_fail"] == counts["minimised"] == found["classes"]
    assert counts["model_changed"] is False
    case = counts["cases"][0]["id"]
    # The command in meta.json works from within the corpus.
    inside = run(folder / "small-fuzz", "corpus", "replay", ".", "--case", case)
    assert inside.exit_code == 0 and case in inside.stdout and "fails" in inside.stdout
    gate = run(folder, "corpus", "replay", "small-fuzz", "--fail-on-finding", "-q")
    assert gate.exit_code == 1
    unknown = run(folder, "corpus", "replay", "small-fuzz", "--case", "zz")
    assert unknown.exit_code == 2 and unknown.stderr.count("\n") == 1


def test_replay_with_another_model(done: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    x, y = small_models.digits(300)
    armour.save(small_models.centroids(x, y, sharpness=2.0), tmp_path / "other.ckpt")
    result = run(done[0], "corpus", "replay", "small-fuzz", "--model", tmp_path / "other.ckpt")
    assert result.exit_code == 0 and "not the one the corpus was made with" in result.stdout


def test_replay_without_the_model(checkpoint: Path, tmp_path: Path) -> None:
    moved = tmp_path / "away"
    moved.mkdir()
    copy = moved / "copy.ckpt"
    copy.write_bytes(checkpoint.read_bytes())
    assert run(moved, "fuzz", copy, "--executions", 200, "-n", 60, "-q").exit_code == 0
    copy.unlink()
    result = run(moved, "corpus", "replay", "copy-fuzz")
    assert result.exit_code == 2 and "--model" in result.stderr


def test_a_full_disk_is_one_line_and_can_be_resumed(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--corpus", "c", "-n", 60, "-q", "-j", 1)
    written = store.save_arrays

    def full(path: Path, **arrays: np.ndarray) -> None:
        if path.name == "state.npz":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        written(path, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(store, "save_arrays", full)
        result = run(tmp_path, "fuzz", checkpoint, *options, "--executions", 300)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "error: c/state.npz: No space left on device"
    assert not (tmp_path / "c" / "report.html").exists()
    assert run(tmp_path, "fuzz", checkpoint, *options, "--executions", 300, "--resume").exit_code == 0
    assert (
        run(tmp_path, "fuzz", checkpoint, *("--corpus", "d", *options[2:]), "--executions", 300).exit_code
        == 0
    )
    one, two = (small_models.contents(tmp_path / name) for name in ("c", "d"))
    assert {k: v for k, v in one.items() if "report" not in k} == {
        k: v for k, v in two.items() if "report" not in k
    }


def test_ctrl_c_saves_and_exits_with_130(checkpoint: Path, tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    command = [
        sys.executable,
        "-m",
        "armour",
        "fuzz",
        str(checkpoint),
        "--seconds",
        "60",
        "-n",
        "60",
        "--json",
    ]
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}, stdout=-1, stderr=-1, text=True
    )
    end = time.monotonic() + 60
    while not (tmp_path / "small-fuzz" / "plot.csv").is_file() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    found = json.loads(output)
    assert found["interrupted"] is True and found["executions"] > 0
    assert f"go on with: armour fuzz {checkpoint} --corpus small-fuzz --resume" in errors
    assert "Traceback" not in errors
    more = run(tmp_path, "fuzz", checkpoint, "--resume", "--executions", found["executions"] + 100, "--json")
    assert json.loads(more.stdout)["executions"] == found["executions"] + 100


def test_coverage_as_it_is_asked_for(checkpoint: Path, tmp_path: Path) -> None:
    first = run(
        tmp_path, "fuzz", checkpoint, "--executions", 400, "-n", 60, "--coverage", "kmnc,nn,tknp", "--json"
    )
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert list(found["coverage"]) == ["kmnc", "nn", "tknp"] == list(found["baseline"]["coverage"])
    assert found["guided"]["correlation"] == {"kmnc": None, "nn": None, "tknp": None}  # too few rounds
    assert "--coverage kmnc,nn,tknp" in found["command"]
    report = Report.load(tmp_path / "small-fuzz" / "report.json")
    assert report.fuzz is not None and report.fuzz.guided.measures is not None
    assert set(report.fuzz.guided.coverage) == {"kmnc"} and set(report.fuzz.guided.measures) == {"nn", "tknp"}
    more = run(tmp_path, "fuzz", checkpoint, "--resume", "--executions", 8000, "--no-baseline")
    assert more.exit_code == 2 and "other settings (baseline True, now False)" in more.stderr
    more = run(tmp_path, "fuzz", checkpoint, "--resume", "--executions", 8000)
    assert more.exit_code == 0, more.output
    assert "coverage: kmnc " in more.stdout and "(a measure, not a verdict)" in more.stdout
    assert "executions so far held constant" in more.stdout and "  tknp  " in more.stdout
    page = (tmp_path / "small-fuzz" / "report.html").read_text(encoding="utf-8")
    assert "Growth, KMNC" in page and "Coverage, NN" in page
    stats = run(tmp_path, "corpus", "stats", "small-fuzz")
    assert "tknp " in stats.stdout and "a measure, not a verdict" in stats.stdout
    wrong = run(tmp_path, "fuzz", checkpoint, "--corpus", "other", "--coverage", "kmnc,snak")
    assert wrong.exit_code == 2 and "criterion 'snak'; did you mean snac" in wrong.stderr
    assert not (tmp_path / "other").exists() and wrong.stderr.count("\n") == 1


def test_every_command_has_help() -> None:
    for command in (
        ("fuzz",),
        ("corpus",),
        *(("corpus", name) for name in ("replay", "stats", "minimize", "merge")),
    ):
        result = CliRunner().invoke(main, [*command, "--help"])
        assert result.exit_code == 0 and result.stdout.startswith("Usage: ")
