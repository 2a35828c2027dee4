"""`armour corpus minimize` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import small_models
from command_line import run

import armour


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint and its corpus `small-fuzz`."""
    folder = tmp_path_factory.mktemp("place")
    x, y = small_models.digits(1797)
    model = small_models.centroids(x, y)
    model.provenance["data"] = {"name": "digits"}
    armour.save(model, folder / "small.ckpt")
    done = run(folder, "fuzz", "small.ckpt", "--executions", 900, "-n", 80, "--no-baseline", "-q")
    assert done.exit_code == 0, done.output
    return folder


def test_a_table_for_people(place: Path) -> None:
    done = run(place, "corpus", "minimize", "small-fuzz")
    assert done.exit_code == 0, done.output
    assert "failure classes (D2)" in done.stdout and "corpus  small-fuzz-min\n" in done.stdout
    assert "the model was run on the result again" in done.stdout
    again = run(place, "corpus", "minimize", "small-fuzz", "-q")
    assert again.exit_code == 0 and again.stdout == "" and (place / "small-fuzz-min-2").is_dir()
    before, after = (
        json.loads(run(place, "corpus", "stats", name, "--json").stdout)
        for name in ("small-fuzz", "small-fuzz-min")
    )
    assert after["classes"] == before["classes"] and after["failures"] < before["failures"]
    assert after["distinct"] == before["distinct"] and after["stats"] == before["stats"]


def test_elsewhere_the_model_is_still_found(place: Path) -> None:
    (place / "far" / "away").mkdir(parents=True)
    done = run(
        place, "corpus", "minimize", "small-fuzz", "-o", "far/away/min", "--criterion", "kmnc", "--json"
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["criterion"] == "kmnc" and found["folder"] == "far/away/min"
    assert found["after"]["classes"] == found["before"]["classes"] > 0
    replayed = run(place, "corpus", "replay", "far/away/min", "--json")
    assert replayed.exit_code == 0, replayed.output
    figures = json.loads(replayed.stdout)
    assert figures["failures"] == figures["rebuilt"] == figures["same_label"] == found["after"]["failures"]


def test_it_is_not_resumed(place: Path) -> None:
    run(place, "corpus", "minimize", "small-fuzz", "-o", "plain", "-q")
    done = run(place, "fuzz", "small.ckpt", "--corpus", "plain", "--resume")
    assert done.exit_code == 2 and "cannot be resumed" in done.stderr
    assert len(list((place / "plain").glob("failures/*/*"))) > 0


def test_one_case(place: Path) -> None:
    run(place, "corpus", "minimize", "small-fuzz", "-o", "cases", "-q")
    ids = sorted(path.name for path in (place / "cases").glob("failures/*/*"))
    done = run(place, "corpus", "minimize", "cases", "--case", ids[0])
    assert done.exit_code == 0, done.output
    assert ids[0] in done.stdout and f"armour corpus replay cases --case {ids[0]}" in done.stdout
    found = json.loads(run(place, "corpus", "minimize", "cases", "--case", ids[1], "--json").stdout)
    assert found["id"] == ids[1] and found["after"] <= found["before"]
    both = run(place, "corpus", "minimize", "cases", "--case", ids[0], "-o", "other")
    assert both.exit_code == 2 and "got both" in both.stderr


def test_errors_are_one_line_and_leave_nothing(place: Path, tmp_path: Path) -> None:
    x, y = small_models.digits(1797)
    armour.save(small_models.centroids(x, y, sharpness=5.0), tmp_path / "other.ckpt")
    for arguments, words in (
        (("nowhere",), "expected a corpus folder"),
        (("small-fuzz", "-o", "small-fuzz"), "not empty"),
        (("small-fuzz", "-o", "new", "--model", tmp_path / "other.ckpt"), "which is another"),
        (("small-fuzz", "--case", "zz"), "which 0 have"),
    ):
        done = run(place, "corpus", "minimize", *arguments)
        assert done.exit_code == 2 and words in done.stderr and done.stderr.count("\n") == 1
    assert not (place / "new").exists() and not list(place.glob(".*"))


def test_coverage_of_a_corpus(place: Path) -> None:
    done = run(place, "corpus", "coverage", "small-fuzz")
    assert done.exit_code == 0, done.output
    assert "900 executions, " in done.stdout and "coverage: kmnc " in done.stdout
    assert "a measure, not a verdict" in done.stdout and "nothing can be said (fewer than 8" in done.stdout
    found = json.loads(
        run(place, "corpus", "coverage", "small-fuzz", "--coverage", "nn,nlc", "--json").stdout
    )
    assert found["values"].keys() == {"nn", "nlc"} and found["executed"] is False
    wrong = run(place, "corpus", "coverage", "small-fuzz", "--coverage", "nln")
    assert wrong.exit_code == 2 and "did you mean nn" in wrong.stderr and wrong.stderr.count("\n") == 1
