"""`armour demo`, small: all four results and nothing else, the same for the same seed, nothing after
Ctrl-C."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import armour
from armour import data
from armour.cli import demo, demo_text
from armour.cli.main import main
from armour.errors import Interrupted, InvalidArgument
from armour.events import Event
from armour.fuzz import Corpus
from armour.report import Report

TINY = demo.DemoSettings(
    arch="mlp", epochs=1, samples=(400, 60), steps=2, epsilons=(0.1, 0.3), headline=0.1, executions=1_024
)
RESULTS = ["demo-fuzz", "model.ckpt", "report.html", "report.json"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of one tiny demo."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        demo.run(Path("."), "digits", 3, TINY, None)
    return folder


def test_it_leaves_four_results_that_can_be_read(done: Path) -> None:
    assert sorted(path.name for path in done.iterdir()) == RESULTS
    report = Report.load(done / "report.json")
    assert report.attacks[0].epsilons == (0.1, 0.3) and report.attacks[0].clean.n == 60
    assert report.fuzz is not None and report.fuzz.guided.executions == 1_024
    assert report.fuzz.baseline is not None and report.fuzz.baseline.executions == 1_024
    assert report.provenance.seed == 3
    assert (done / "report.html").read_text(encoding="utf-8") == report.to_html()
    model = armour.load(done / "model.ckpt")
    assert model.fingerprint == report.model.fingerprint
    _, test = data.load_split("digits")
    assert model.accuracy(test.x, test.y) > 0.3
    corpus = Corpus.read(done / "demo-fuzz")
    assert len(corpus.failures()) == report.fuzz.guided.classes


def test_replay_commands_name_the_corpus_where_it_is(done: Path) -> None:
    fuzz = Report.load(done / "report.json").fuzz
    assert fuzz is not None and fuzz.failures
    for failure in fuzz.failures:
        assert failure.replay == f"armour corpus replay demo-fuzz --case {failure.id}"
    text = (done / "report.json").read_text(encoding="utf-8")
    assert str(done) not in text and ".armour-demo-" not in text
    assert ".armour-demo-" not in (done / "demo-fuzz" / "manifest.json").read_text(encoding="utf-8")


def test_the_same_seed_gives_the_same_report(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(done / "demo-fuzz", tmp_path / "demo-fuzz")  # of an earlier demo: it makes room
    again, _ = demo.run(Path("."), "digits", 3, TINY, None)
    assert again.sha256 == Report.load(done / "report.json").sha256
    assert (tmp_path / "model.ckpt").read_bytes() == (done / "model.ckpt").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == RESULTS


@pytest.mark.parametrize("stage", ["train", "attack", "fuzz"])
def test_ctrl_c_leaves_nothing(tmp_path: Path, stage: str) -> None:
    def interrupt(event: Event) -> None:
        if event.stage == stage and event.done:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="nothing was written"):
        demo.run(tmp_path, "digits", 0, TINY, interrupt)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_corpus_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "demo-fuzz").mkdir()
    (tmp_path / "demo-fuzz" / "thesis.tex").write_text("mine")
    with pytest.raises(InvalidArgument, match="is no fuzz corpus"):
        demo.run(tmp_path, "digits", 0, TINY, None)
    assert (tmp_path / "demo-fuzz" / "thesis.tex").read_text() == "mine"


def test_the_command_tells_figures_files_and_what_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "DemoSettings", lambda: TINY)
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    result = CliRunner().invoke(main, ["demo", "-o", str(tmp_path / "new")])
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("\n") == 1 and "armour-toolkit[data]" in result.stderr
    assert "robust accuracy <= " in result.stdout and "at V2" in result.stdout
    assert f"armour fuzz {tmp_path / 'new' / 'model.ckpt'}" in result.stdout
    assert result.stdout.endswith("-o report.md\n")

    result = CliRunner().invoke(main, ["demo", "-o", str(tmp_path / "new"), "--data", "digits", "--json"])
    shown = json.loads(result.stdout)
    assert shown["fuzz"]["baseline"]["executions"] == shown["fuzz"]["executions"] == 1_024
    assert shown["sha256"] == Report.load(shown["report"]).sha256


@pytest.mark.parametrize(
    "arguments", [["--data", "no-such-set"], ["--data", "absent.npz"], ["-o", "file"], ["--seed", "-1"]]
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    result = CliRunner().invoke(main, ["demo", "--data", "digits", *arguments])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_table_for_terminals_takes_names_as_text(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo_text._table([("network", "[red]x[/red]")], [("a b/report.html", "page")], ["armour fuzz 'a b/m'"])
    shown = capsys.readouterr().out
    assert "[red]x[/red]" in shown and "armour fuzz 'a b/m'" in shown
