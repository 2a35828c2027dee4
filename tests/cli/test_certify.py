"""`armour certify`: shares that add up, evidence in sight, and no certified sample that an attack breaks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from armour.cli.certify import METHODS, SHARES, SMOOTHING
from armour.cli.main import main
from armour.defenses import DEFENSES, SmoothedCertificate
from armour.stats import wilson

SMOOTH = ("--method", "smoothing", "--sigma", "0.2", "--draws", "300", "-n", "12")


def certify(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["certify", *map(str, arguments)])


def adds_up(said: dict[str, object], epsilons: list[float]) -> list[dict[str, int]]:
    """Counts of each budget, after the checks that hold for every method."""
    rows = said["results"]
    assert isinstance(rows, list)
    assert [row["epsilon"] for row in rows] == epsilons
    for row in rows:
        for name in SHARES:
            assert row[name]["share"] == row[name]["count"] / row["n"]
            assert row[name]["interval"] == list(wilson(row[name]["count"], row["n"]))
        assert row["certified"]["count"] + row["unknown"]["count"] == row["attacked"]["count"]
        assert row["attacked"]["count"] <= row["clean"]["count"]
    counts = [{name: row[name]["count"] for name in SHARES} for row in rows]
    for name in ("certified", "attacked"):
        assert [c[name] for c in counts] == sorted((c[name] for c in counts), reverse=True)
    return counts


def test_smoothing(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    result = certify(model, *SMOOTH, "--epsilon", "0.3,0.1", "--epsilon", "1.5", "--json", "-o", path)
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert json.loads(path.read_text()) == said
    counts = adds_up(said, [0.1, 0.3, 1.5])
    assert counts[0]["certified"] > 0
    assert counts[2]["attacked"] < counts[0]["attacked"]
    assert said["norm"] == "l2"
    assert "pgd" in said["attack"].lower()
    assert said["evidence"].startswith("certified")


def test_the_table_is_the_json(model: Path) -> None:
    arguments = (model, *SMOOTH, "--epsilon", "0.1")
    said = json.loads(certify(*arguments, "--json").stdout)["results"][0]
    result = certify(*arguments)
    assert result.exit_code == 0, result.stderr
    line = next(line for line in result.stdout.splitlines() if line.startswith("0.1 "))
    for name in SHARES:
        low, high = said[name]["interval"]
        assert f"{said[name]['share']:.1%} ({low:.1%} to {high:.1%})" in line
    assert "https://arxiv.org/abs/1902.02918" in result.stdout
    assert certify(*arguments, "--quiet").stdout == ""


@pytest.mark.parametrize("method", [name for name in METHODS if name != SMOOTHING])
def test_bounds(model: Path, method: str) -> None:
    arguments = ("--epsilon", "0.02,0.3", "-n", 12, "--attack", "pgd", "--json")
    result = certify(model, "--method", method, *arguments)
    assert result.exit_code == 0, result.stderr
    counts = adds_up(json.loads(result.stdout), [0.02, 0.3])
    assert counts[0]["certified"] > 0
    assert counts[1]["attacked"] < counts[1]["clean"]


def test_a_certified_sample_that_breaks_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def all_of_them(self: SmoothedCertificate, y: np.ndarray, epsilon: float) -> np.ndarray:
        return np.ones(len(y), bool)

    monkeypatch.setattr(SmoothedCertificate, "certified", all_of_them)
    result = certify(model, *SMOOTH, "--epsilon", "3", "--seed", 1)
    assert result.exit_code == 3
    assert result.stderr.startswith("error: sample ")
    assert "of digits is certified at l2 epsilon 3, but" in result.stderr
    assert result.stderr.count("\n") == 1


def test_help_shows_how_well_each_holds() -> None:
    shown = " ".join(certify("--help").stdout.split())
    for name, defense in METHODS.items():
        assert f"{name}: " in shown
        assert str(DEFENSES.get(defense).evidence) in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "smoothing", "--sigma", "1"), "state one, such as --epsilon 8/255"),
        (("--method", "smoothing", "--epsilon", "0.1"), "expected --sigma"),
        (("--method", "smoothing", "--sigma", "0", "--epsilon", "0.1"), "number above 0"),
        (
            ("--method", "smoothing", "--sigma", "1", "--epsilon", "0.1", "--norm", "linf"),
            "expected --norm l2",
        ),
        (("--method", "smoothing", "--sigma", "1", "--epsilon", "x"), "epsilon"),
        (("--method", "smoothing", "--sigma", "1", "--epsilon", "0.1,"), "epsilon"),
        (("--method", "smoothing", "--sigma", "1", "--epsilon", "1", "--attack", "ddn"), "within a budget"),
        (("--method", "smoothing", "--sigma", "1", "--epsilon", "1", "--alpha", "2"), "alpha"),
        (("--method", "guess", "--epsilon", "0.1"), "guess"),
    ],
)
def test_mistakes(model: Path, arguments: tuple[str, ...], message: str) -> None:
    result = certify(model, *arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert message in result.stderr and result.stdout == ""
