"""The live screen of `armour fuzz` and `armour corpus stats --watch`."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import small_models
from click.testing import CliRunner
from rich.console import Console

from armour.cli import fuzz_screen
from armour.cli.corpus_watch import look
from armour.cli.fuzz_screen import clock, draw, screen, spark
from armour.cli.main import main
from armour.events import Event
from armour.fuzz import FuzzConfig, Fuzzer


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished campaign of 400 executions."""
    x, y = small_models.digits(100)
    folder = tmp_path_factory.mktemp("screen") / "corpus"
    Fuzzer(small_models.centroids(x, y), x, y, corpus=folder, config=FuzzConfig(round=128)).run(
        executions=400
    )
    return folder


def drawn(status: dict[str, Any], title: str = "a model") -> list[str]:
    console = Console(width=80, height=24, file=io.StringIO(), color_system=None, force_terminal=True)
    console.print(draw(title, status))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def extreme(status: dict[str, Any]) -> dict[str, Any]:
    """The status after ages: every figure is long."""
    large = 10**9
    found = {name: large if type(value) is int else value for name, value in status.items()}
    found |= {"executions_per_second": 1e6, "executions_per_second_now": 1e6, "since_seconds": 9e5}
    found |= {"budget": 10 * large, "remaining": 4e6, "seconds": 4e6, "warnings": ["word " * 60] * 9}
    found["baseline"] = dict.fromkeys(status["baseline"], large)
    return found | {"growth": [[i, i, i // 2] for i in range(200)], "stability": 0.12345}


def test_it_fits_80_by_24_and_says_all(corpus: Path) -> None:
    status, at_work = look(corpus)
    assert status is not None and not at_work
    for one in (status, extreme(status), {**status, "baseline": None, "failure_bound": 0.003}):
        lines = drawn(one, "x" * 200)
        assert len(lines) <= 24 and max(map(len, lines)) <= 80
    text = "\n".join(drawn(status))
    for words in (
        "a model", "400", f"{status['classes']:,}", "valid", "coverage", "stability", "residual risk",
        "seeds broken", "last new class", "random", "remaining", "speed",
    ):  # fmt: skip
        assert words in text, words
    assert re.search(rf"classes \(D2\) +{status['classes']} +{status['baseline']['classes']} ", text)


def test_without_failures_the_exact_bound_is_shown(corpus: Path) -> None:
    status, _ = look(corpus)
    assert status is not None
    text = "\n".join(drawn({**status, "classes": 0, "failures": 0, "failure_bound": 0.0029912}))
    assert "at most 0.3 %" in text and "none yet" in text


def test_small_parts() -> None:
    assert [clock(s) for s in (0, 59.9, 60, 3599, 3600, 86_399)] == [
        "0:00", "0:59", "1:00", "59:59", "1:00:00", "23:59:59"
    ]  # fmt: skip
    assert spark([0, 4, 8], 8) == "▁▅█" and spark([], 1) == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("lines", "term", "whole"), [("24", "xterm", True), ("23", "xterm", False), ("24", "dumb", False)]
)
def test_a_screen_where_there_is_room_and_a_line_elsewhere(
    lines: str, term: str, whole: bool, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _ = look(corpus)
    assert status is not None
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    for name, value in {"COLUMNS": "80", "LINES": lines, "TERM": term}.items():
        monkeypatch.setenv(name, value)
    with screen("a model") as on_event:
        assert on_event is not None
        on_event(Event("seeds", 3, 10, "reading"))
        on_event(Event("fuzz", 400, 500, "12/s", {"failures": 3}, status))
    shown = stream.getvalue()
    assert ("residual risk" in shown) == whole and ("failures 3" in shown) != whole


@pytest.mark.parametrize("quiet", [True, False])
def test_nothing_where_nobody_looks(quiet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal() if quiet else io.StringIO())
    monkeypatch.setattr(fuzz_screen, "_roomy", lambda: True)
    with screen("a model", quiet=quiet) as on_event:
        assert on_event is None


def test_stats_of_a_corpus_say_the_same(corpus: Path) -> None:
    status, _ = look(corpus)
    assert status is not None
    result = CliRunner().invoke(main, ["corpus", "stats", str(corpus)])
    assert result.exit_code == 0
    assert f"{status['residual']:.2g} for a new class (95 %" in result.stdout
    assert "ended: 400 executions were to be made" in result.stdout and "stability" in result.stdout


def test_watching_ends_with_the_campaign(corpus: Path) -> None:
    result = CliRunner().invoke(main, ["corpus", "stats", str(corpus), "--watch"])
    assert result.exit_code == 0
    assert result.stdout.startswith("400 executions, ") and "largest classes" in result.stdout


def test_who_is_at_work(corpus: Path, tmp_path: Path) -> None:
    values = json.loads((corpus / "stats.json").read_text())

    def write(**changes: object) -> tuple[dict[str, Any] | None, bool]:
        (tmp_path / "stats.json").write_text(json.dumps({**values, **changes}))
        return look(tmp_path)

    assert look(tmp_path) == (None, True)  # it has only begun
    assert write(state="running", pid=os.getpid())[1]
    gone = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", "0"])
    os.waitpid(gone, 0)
    for pid in (gone, -1, "1", None):
        assert not write(state="running", pid=pid)[1]
    assert not write(state="ended", pid=os.getpid())[1]
    assert write(executions="x") == (None, False)
