"""`armour report`: a form by its suffix, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import report_samples as samples
from click.testing import CliRunner, Result

from armour.cli.main import main


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "r.json"
    samples.report().save(path)
    return path


def armour(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in ("report", *arguments)])


@pytest.mark.parametrize(
    "name, start", [("r.html", "<!DOCTYPE html>"), ("r.HTM", "<!DOCTYPE"), ("r.md", "# ")]
)
def test_the_suffix_says_the_form(saved: Path, name: str, start: str) -> None:
    target = saved.parent / name
    result = armour(saved, "-o", target)
    assert result.exit_code == 0, result.stderr
    assert target.read_text(encoding="utf-8").lstrip().startswith(start)
    assert result.stdout == f"wrote {target}\n"


def test_without_an_output_the_page_lies_beside_the_result(saved: Path) -> None:
    assert armour(saved, "--quiet").stdout == ""
    assert saved.with_suffix(".html").is_file()


def test_json_names_what_was_written(saved: Path) -> None:
    result = armour(saved, "--json", "-o", saved.with_suffix(".md"))
    shown = json.loads(result.stdout)
    assert shown["output"].endswith("r.md") and shown["sha256"] == samples.report().sha256


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"schema": "armour-report/1"}', b"PK\x03\x04", b"\x80\x04."]
)
def test_a_file_that_is_no_report_is_one_line_and_exit_code_2(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "r.json"
    source.write_bytes(content)
    result = armour(source, "-o", tmp_path / "r.html")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert not (tmp_path / "r.html").exists()


def test_bad_arguments_are_exit_code_2(saved: Path) -> None:
    for arguments in (
        (saved, "-o", saved.with_suffix(".pdf")),
        (saved, "-o", saved.parent / "absent" / "r.html"),
        (saved.parent / "absent.json",),
        (saved, "-o", saved.parent),
    ):
        result = armour(*arguments)
        assert result.exit_code == 2, arguments
        assert result.stderr.count("\n") == 1 and result.stderr.startswith("error: ")
