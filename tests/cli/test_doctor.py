"""`armour doctor` on this machine, and on broken ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from armour.cli.main import main


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "ARMOUR_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_text() -> None:
    result = CliRunner().invoke(main, ["doctor", "--seconds", "0.01"])
    assert result.exit_code == 0, result.output
    for name in (
        "armour",
        "python",
        "blas",
        "backend numpy",
        "kernels numpy",
        "kernels onednn",
        "extra data",
        "speed, products",
        "repeatable",
    ):
        assert f"  {name}" in result.stdout
    assert result.stderr == ""


def test_json_and_a_broken_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARMOUR_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    result = CliRunner().invoke(main, ["doctor", "--seconds", "0.01", "--json"])
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    status = {check["name"]: check["status"] for check in found["checks"]}
    assert found["ok"] is False
    assert status["ARMOUR_DATA"] == "fail"
    assert status["OPENBLAS_CORETYPE"] == "warn"
    assert all(check["advice"] for check in found["checks"] if check["status"] in ("warn", "fail"))
    assert list(tmp_path.iterdir()) == []
