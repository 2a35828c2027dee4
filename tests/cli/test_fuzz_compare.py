"""`armour fuzz MODEL --compare` from the command line."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import small_models
from click.testing import Result
from command_line import run

import armour


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of a small network that records digits as its data."""
    model = small_models.centroids(*small_models.digits(1797))
    model.provenance["data"] = {"name": "digits"}
    folder = tmp_path_factory.mktemp("compare")
    armour.save(model, folder / "small.ckpt")
    return folder


SMALL = ("fuzz", "small.ckpt", "--executions", 300, "-n", 60)


@pytest.fixture(scope="module")
def done(place: Path) -> Result:
    """One repeat of niche."""
    result = run(place, *SMALL, "--compare", "niche", "--repeats", 1)
    assert result.exit_code == 0, result.output
    return result


def test_a_comparison_is_printed_and_written(done: Result, place: Path) -> None:
    assert "failure classes (D2)            random" in done.stdout and "A12" in done.stdout
    assert "niche cannot be told from stacked random by 1 repeats" in done.stdout
    page = (place / "small-compare" / "report.html").read_text()
    assert "Schedules compared" in page and "--repeats 1" in page
    assert json.loads((place / "small-compare" / "report.json").read_text())["repeats"] == {
        "random": 1,
        "niche": 1,
    }


def test_more_repeats_and_the_command_that_makes_them(done: Result, place: Path) -> None:
    more = (*SMALL, "--compare", "niche", "--repeats", 2, "--json", "--corpus")
    grown = json.loads(run(place, *more, "small-compare", "--resume").stdout)
    assert grown["repeats"] == {"random": 2, "niche": 2} and not grown["interrupted"]
    again = run(place, *shlex.split(grown["command"])[1:], "--json", "--corpus", "anew")
    anew = json.loads(again.stdout)
    assert anew["lines"] == grown["lines"] and anew["growth"] == grown["growth"]


def test_what_does_not_go_together_is_one_line(done: Result, place: Path) -> None:
    for words, message in (
        (("--repeats", 3), "add --compare"),
        (("--compare", "--seconds", 3), "without --seconds"),
        (("--compare", "--no-baseline"), "without --no-baseline"),
        (("--compare", "nich"), "did you mean niche"),
        (("--compare", "./small.ckpt"), "put MODEL before it"),
        (("--compare", "random"), "such as niche"),
        (("--compare", "niche", "--corpus", "small-compare"), "--compare --corpus small-compare --resume"),
        (("--compare", "niche", "--corpus", "small-compare", "--resume", "--seed", 4), "the same"),
    ):
        result = run(place, *SMALL, *words)
        assert result.exit_code == 2 and message in result.stderr, words
        assert result.stderr.strip().count("\n") <= 1, result.stderr
    # The first comparison is as it was.
    assert (place / "small-compare" / "runs" / "niche-0000.json").is_file()
