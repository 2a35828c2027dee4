"""`armour corpus merge` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import small_models
from command_line import run

import armour


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models and a corpus of each, and a second one of the first with another seed."""
    folder = tmp_path_factory.mktemp("place")
    x, y = small_models.digits(1797)
    for name, sharpness in (("one", 4.0), ("two", 5.0)):
        model = small_models.centroids(x if name == "one" else x**2, y, sharpness=sharpness)
        model.provenance["data"] = {"name": "digits"}
        armour.save(model, folder / f"{name}.ckpt")
    for name, model, seed in (("a", "one", 0), ("b", "one", 1), ("c", "two", 0)):
        command = ("fuzz", f"{model}.ckpt", "--executions", 600, "-n", 80, "--no-baseline", "-q")
        done = run(folder, *command, "--corpus", name, "--seed", seed)
        assert done.exit_code == 0, done.output
    return folder


def stats(folder: Path, name: str) -> dict[str, int]:
    """What `armour corpus stats` counts."""
    counts: dict[str, int] = json.loads(run(folder, "corpus", "stats", name, "--json").stdout)
    return counts


def test_a_table_for_people_and_json(place: Path) -> None:
    done = run(place, "corpus", "merge", "ab", "a", "b")
    assert done.exit_code == 0, done.output
    assert (
        "2 sets of seeds stand side by side" in done.stdout
        and "replay  armour corpus replay ab" in done.stdout
    )
    a, b, both = (stats(place, name) for name in ("a", "b", "ab"))
    assert max(a["failures"], b["failures"]) < both["failures"] <= a["failures"] + b["failures"]
    assert max(a["distinct"], b["distinct"]) <= both["distinct"] <= a["distinct"] + b["distinct"]
    assert both["roots"] < a["roots"] + b["roots"]  # most digits are in both
    replayed = json.loads(run(place, "corpus", "replay", "ab", "--json").stdout)
    assert replayed["failures"] == replayed["rebuilt"] == replayed["same_label"] == both["failures"]
    found = json.loads(run(place, "corpus", "merge", "again", "a", "b", "--json").stdout)
    assert found["failures"] == both["failures"] and [part["folder"] for part in found["parts"]] == ["a", "b"]
    # Into one that was merged: nothing new, and the folder is whole.
    more = json.loads(run(place, "corpus", "merge", "again", "b", "--json").stdout)
    assert more["failures"] == both["failures"] and more["parts"][1]["new"] == 0


def test_another_model_is_said_and_judged(place: Path) -> None:
    done = run(place, "corpus", "merge", "ac", "a", "c")
    assert done.exit_code == 0, done.output
    assert "c was made with another model; its failures were judged by " in done.stdout
    assert "do not fail on it" in done.stdout
    replayed = json.loads(run(place, "corpus", "replay", "ac", "--json").stdout)
    assert replayed["failures"] == replayed["same_label"] and replayed["model_changed"] is False
    done = run(place, "corpus", "merge", "a-two", "a", "--model", "two.ckpt", "-q")
    assert done.exit_code == 0 and done.stdout == ""
    replayed = json.loads(run(place, "corpus", "replay", "a-two", "--json").stdout)
    assert replayed["model_changed"] is False and replayed["failures"] == replayed["still_fail"] > 0


def test_errors_are_one_line_and_leave_nothing(place: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (place / "a").rglob("*")}
    for arguments, words in (
        (("new", "nowhere"), "expected a corpus folder"),
        (("a", "b"), "armour corpus merge a-merged a ..."),
        (("new", "a", "new"), "got new itself"),
        ((".", "a"), "expected a corpus folder"),
    ):
        done = run(place, "corpus", "merge", *arguments)
        assert done.exit_code == 2 and words in done.stderr and done.stderr.count("\n") == 1, done.output
    run(place, "corpus", "merge", "self", "a", "-q")
    done = run(place, "corpus", "merge", "self", "b", "self")
    assert done.exit_code == 2 and "got self itself" in done.stderr
    assert not (place / "new").exists() and not list(place.glob(".*"))
    assert {path: path.stat().st_mtime_ns for path in (place / "a").rglob("*")} == before
    resumed = run(place, "fuzz", "one.ckpt", "--corpus", "self", "--resume")
    assert resumed.exit_code == 2 and "made by armour corpus merge" in resumed.stderr
