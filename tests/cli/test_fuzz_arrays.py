"""`armour fuzz` on models of vectors and of whole numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import small_models
from click.testing import CliRunner

import armour
from armour.cli.main import main
from armour.report import Report


def invoke(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> dict[str, object]:
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("bounds", [("--bounds", "-1,1"), ("--bounds=-1,1",), ("--bounds", " -1,1")])
def test_vectors_in_bounds_that_begin_with_a_minus(
    bounds: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = small_models.digits(120)
    x = x.reshape(len(x), 64) * 2 - 1
    armour.export_onnx(small_models.centroids(x, y, bounds=(-1, 1)), tmp_path / "signal.onnx")
    np.savez(tmp_path / "signal.npz", x=x, y=y)
    model = armour.load(tmp_path / "signal.onnx")
    assert tuple(model.bounds) == (-1, 1)
    arguments = ("fuzz", "signal.onnx", *bounds, "--data", "signal.npz", "--executions", "200")
    found = invoke(monkeypatch, tmp_path, *arguments)
    assert found["executions"] == 200 and int(str(found["failures"])) > 0
    assert found["inputs"] == "array"
    report = Report.load(tmp_path / "signal-fuzz" / "report.json")
    assert report.fuzz is not None and "no SSIM" in report.fuzz.validator
    assert "value-gaussian" in report.fuzz.mutators


def test_whole_numbers_are_stated_kept_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = small_models.digits(120)
    x = np.rint(x.reshape(len(x), 64) * 16).astype(np.float32)
    armour.save(small_models.centroids(x, y, bounds=(0, 16)), tmp_path / "bytes.ckpt")
    np.savez(tmp_path / "bytes.npz", x=x, y=y)
    arguments = ("fuzz", "bytes.ckpt", "--data", "bytes.npz", "--inputs", "whole")
    found = invoke(monkeypatch, tmp_path, *arguments, "--executions", "200")
    assert found["inputs"] == "whole" and "--inputs whole" in str(found["command"])
    # What is gone on with need not be said again.
    more = invoke(monkeypatch, tmp_path, "fuzz", "bytes.ckpt", "--resume", "--executions", "300")
    assert more["executions"] == 300 and more["inputs"] == "whole"
    again = invoke(monkeypatch, tmp_path, "corpus", "replay", "bytes-fuzz")
    assert again["failures"] == again["rebuilt"] == again["still_fail"]
    assert int(str(again["failures"])) > 0


def test_arrays_of_two_axes_are_no_grey_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = small_models.digits(120)
    armour.save(small_models.centroids(x[:, 0], y), tmp_path / "frames.ckpt")
    np.savez(tmp_path / "frames.npz", x=x[:, 0], y=y)
    arguments = ("fuzz", "frames.ckpt", "--data", "frames.npz", "--executions", "150")
    found = invoke(monkeypatch, tmp_path, *arguments)
    assert found["inputs"] == "array" and int(str(found["failures"])) > 0
