"""Bars only on a terminal, and nothing at all elsewhere."""

from __future__ import annotations

import io

import pytest

from armour.cli.progress import note, progress
from armour.events import Event


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as on_event:
        assert on_event is None
    assert capsys.readouterr() == ("", "")


def test_nothing_when_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    with progress(quiet=True) as on_event:
        assert on_event is None


def test_json_and_bars_do_not_share_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setattr("sys.stdout", Terminal())
    with progress(json=True) as on_event:
        assert on_event is None


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with progress() as on_event:
        assert on_event is not None
        on_event(Event("train", 1, 2, "epoch 1", {"loss": 0.25}))
        on_event(Event("train", 2, 2, "epoch 2 [bold]", {"loss": 0.125}))
        on_event(Event("fuzz", 5))
    shown = terminal.getvalue()
    assert "train" in shown and "2/2" in shown and "loss 0.125" in shown
    assert "[bold]" in shown, "text from elsewhere is not markup"
    assert "5/?" in shown


def test_the_note_is_one_line() -> None:
    assert note(Event("x", 0, None, "two\nlines", {"a": 1.0, "b": 0.33333})) == "two lines  a 1  b 0.3333"
