"""`armour corpus verify`, `review`, `export` and `lock` from the command line."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_models
from command_line import run

import armour
from armour.cli.terminal_picture import drawn
from armour.fuzz import Corpus
from armour.fuzz.review import questions

TODAY = datetime.date.today()
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small.ckpt, two other models, and the corpus small-fuzz."""
    folder = tmp_path_factory.mktemp("corpus")
    x, y = small_models.digits(1797)
    for name, sharpness in (("small", 1.0), ("other", 5.0), ("third", 9.0)):
        model = small_models.centroids(x, y, sharpness=sharpness)
        model.provenance["data"] = {"name": "digits"}
        armour.save(model, folder / f"{name}.ckpt")
    result = run(folder, "fuzz", "small.ckpt", "--executions", 900, "-n", 150, "-q", "--no-baseline")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def test_verify_says_that_all_holds(made: Path) -> None:
    result = run(made, "corpus", "verify", "small-fuzz", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["verified"] == found["failures"] > found["stored"] > 3 and found["v3"] is None
    assert "failures verified" in run(made, "corpus", "verify", "small-fuzz").stdout


def test_verify_ends_with_3_where_something_does_not_hold(copy: Path) -> None:
    path = copy / "small-fuzz" / "failures" / "index.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    changed = next(record for record in records if not record["first"])
    changed["predicted"] = (changed["predicted"] + 1) % 10
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    result = run(copy, "corpus", "verify", "small-fuzz")
    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1 and changed["id"] in result.stderr


def test_a_panel_is_kept_and_counts_its_own(copy: Path) -> None:
    asked = ("corpus", "verify", "small-fuzz", "--panel", "other.ckpt", "--panel", "third.ckpt")
    result = run(copy, *asked, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    x, y = small_models.digits(1797)
    corpus = Corpus.read(copy / "small-fuzz")
    judges = [small_models.centroids(x, y, sharpness=sharpness) for sharpness in (5.0, 9.0)]
    # Sharper centroids read every input as small does: no failure is small's own.
    same = {
        one.id
        for one in corpus.failures()
        if all(model.predict(one.mutant[None])[0] != one.true for model in judges)
    }
    assert not same & set(found["v3"]) and len(found["panel"]) == 2
    assert json.loads(run(copy, "corpus", "verify", "small-fuzz", "--json").stdout)["v3"] == found["v3"]
    assert "at V3" in run(copy, *asked).stdout
    assert run(copy, *asked[:5]).exit_code == 2


def test_a_review_by_keys_goes_on_where_it_stopped(copy: Path) -> None:
    corpus = Corpus.read(copy / "small-fuzz")
    asked = questions(corpus, "ann")
    right = {"failure": "y", "clean": "y", "wrong": "n"}
    keys = "".join(right[one.kind] for one in asked)
    by_ann = ("corpus", "review", "small-fuzz", "--reviewer", "ann")
    first = run(copy, *by_ann, keys=keys[:3] + "b" + keys[2] + "q")
    assert first.exit_code == 0, first.output
    assert f"4 of {len(asked)}" in first.stdout and "is this a" in first.stdout
    rest = run(copy, *by_ann, keys=keys[3:])
    assert rest.exit_code == 0, rest.output
    found = json.loads(run(copy, "corpus", "review", "small-fuzz", "--json").stdout)
    failures = sum(one.kind == "failure" for one in asked)
    assert found["confirmed"][:2] == [failures, failures] and found["reviewers"] == ["ann"]
    assert found["controls"][:2] == [len(asked) - failures] * 2
    assert f"{failures} of {failures}" in run(copy, "corpus", "review", "small-fuzz", "--summary").stdout
    second = run(copy, "corpus", "review", "small-fuzz", "--reviewer", "bob", keys="n" * len(asked))
    assert second.exit_code == 0 and "kappa" in second.stdout
    metas = [json.loads(path.read_text()) for path in (copy / "small-fuzz").glob("failures/*/*/meta.json")]
    assert {meta["validity"] for meta in metas} == {"V2"}  # one yes and one no: a draw


def test_reviews_of_nobody(copy: Path) -> None:
    assert "nothing was answered" in run(copy, "corpus", "review", "small-fuzz", "--summary").stdout
    bad = run(copy, "corpus", "review", "small-fuzz", "--reviewer", "ann", "--names", "a,b")
    assert bad.exit_code == 2 and "expected 10 names" in bad.stderr
    assert run(copy, "corpus", "review", "small-fuzz", "--reviewer", " ").exit_code == 2


def test_an_exported_suite_fails_until_it_is_mended_or_locked(copy: Path) -> None:
    result = run(copy, "corpus", "export", "small-fuzz", "-o", "suite")
    assert result.exit_code == 0, result.output
    cases = json.loads((copy / "suite" / "cases.json").read_text())["cases"]
    # Another folder, as if both had been copied into a project.
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider"]
    command += [str(copy / "suite")]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    failing = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert failing.returncode == 1 and f"{len(cases)} failed" in failing.stdout, failing.stdout[-2000:]
    locked = run(
        copy, "corpus", "lock", "small-fuzz", "--all", "--reason", "known", "--owner", "us",
        "--expires", "30d", "--lock", "suite/failures.lock",
    )  # fmt: skip
    assert locked.exit_code == 0, locked.output
    passing = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert passing.returncode == 0 and f"{len(cases)} xfailed" in passing.stdout, passing.stdout[-2000:]


def test_locked_classes_do_not_fail_until_they_expire(copy: Path) -> None:
    replay = ("corpus", "replay", "small-fuzz", "--fail-on-finding", "-q")
    again = (
        "fuzz",
        "small.ckpt",
        "--corpus",
        "small-fuzz",
        "--resume",
        "--executions",
        900,
        "-q",
        "--fail-on-finding",
    )
    assert run(copy, *replay).exit_code == run(copy, *again).exit_code == 1
    entry = ("--reason", "known", "--owner", "us", "--expires", TODAY + datetime.timedelta(days=9))
    key = Corpus.read(copy / "small-fuzz").records()[0]["class"]
    one = run(copy, "corpus", "lock", "small-fuzz", "--class", key, *entry)
    assert one.exit_code == 0 and "1 failure classes entered" in one.stdout
    some = run(copy, *replay, "--lock", "failures.lock")
    assert some.exit_code == 1 and "still fail" in some.stderr
    assert run(copy, "corpus", "lock", "small-fuzz", "--all", *entry).exit_code == 0
    for command in (replay, again):
        assert run(copy, *command, "--lock", "failures.lock").exit_code == 0
    text = (copy / "failures.lock").read_text()
    (copy / "failures.lock").write_text(text.replace(str(entry[-1]), str(TODAY)))
    for command in (replay, again):
        expired = run(copy, *command, "--lock", "failures.lock")
        assert expired.exit_code == 1 and "expired on" in expired.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--class", "none-such"), "no failure class"),
        ((), "--class KEY or --all"),
        (("--all", "--expires", "soon"), "as a day such as"),
        (("--all", "--owner", ""), "printable"),
    ],
)
def test_bad_entries_are_refused_in_one_line(made: Path, arguments: tuple[str, ...], message: str) -> None:
    given = {"--reason": "r", "--owner": "o", "--expires": "30d"}
    given |= {k: v for k, v in zip(arguments[-2::2], arguments[-1::2], strict=False) if k in given}
    rest = [a for a in arguments if a not in given and a not in given.values()]
    result = run(
        made, "corpus", "lock", "small-fuzz", *rest, *(part for pair in given.items() for part in pair)
    )
    assert result.exit_code == 2 and message in result.stderr and result.stderr.count("\n") == 1
    assert not (made / "failures.lock").exists()


# -- pictures ------------------------------------------------------------------------------------------------


def test_pictures_show_what_is_there() -> None:
    x = np.zeros((1, 8, 8), np.float32)
    x[0, :4] = 1
    lines = drawn(x, (0, 1), colour=False).split("\n")
    assert lines == ["@" * 16] * 4 + [""] * 4
    colours = drawn(x, (0, 1), colour=True).split("\n")
    assert len(colours) == 8 and "38;2;255;255;255" in colours[0] and "38;2;0;0;0" in colours[-1]
    red = drawn(
        np.stack([np.ones((200, 300)), *np.zeros((2, 200, 300))]).astype(np.float32), (0, 1), colour=True
    )
    assert "38;2;255;0;0" in red and red.count("▀") == 20 * 60
    steps = drawn(np.linspace(-1, 1, 64, dtype=np.float32), (-1, 1), colour=False).split("\n")
    assert len(steps) == 8 and steps[0].strip()[-1] == "█" and len(steps[-1]) == 64
