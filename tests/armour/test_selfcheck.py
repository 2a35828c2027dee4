"""Each check finds what it is there to find."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from armour import selfcheck
from armour.selfcheck import Finding
from armour.tensor import families, use_kernels
from armour.tensor.kernels import numba_compile, onednn_library
from tests.tensor.pretend import cupy as cupy


def by_name(findings: object) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}  # type: ignore[attr-defined]


def test_installation_says_where_armour_is() -> None:
    found = by_name(selfcheck.installation())
    assert str(Path(selfcheck.__file__).resolve().parent) in found["armour"].value
    assert found["packages"].status == "ok"


def test_the_other_armour_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version
    monkeypatch.setattr(selfcheck, "version", lambda name: "9.9" if name == "armour" else real(name))
    assert by_name(selfcheck.installation())["other armour"].status == "warn"


@pytest.mark.parametrize("name", selfcheck.SLOWING)
def test_settings_that_slow_numpy_are_warned_about(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in selfcheck.SLOWING:
        monkeypatch.delenv(other, raising=False)
    assert name not in by_name(selfcheck.arithmetic())
    monkeypatch.setenv(name, "Haswell")
    finding = by_name(selfcheck.arithmetic())[name]
    assert finding.status == "warn"
    assert finding.advice.startswith(f"unset {name}")


def test_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "4096")
    assert by_name(selfcheck.arithmetic())["threads"].status == "warn"
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    assert "threads" not in by_name(selfcheck.arithmetic())


def test_missing_extras_name_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "find_spec", lambda _name: None)
    found = by_name(selfcheck.extras())
    assert found["extra data"].advice == 'pip install "armour-toolkit[data]"'
    assert {f.status for f in found.values()} == {"info"}
    assert by_name(selfcheck.devices())["backend cupy"].status == "info"


@pytest.fixture
def choice(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Kernels are chosen anew, and as before afterwards."""
    monkeypatch.delenv("ARMOUR_KERNELS", raising=False)
    monkeypatch.setattr(families._Choice, "names", None)
    return monkeypatch


def test_kernels_say_what_is_in_use_or_why_not(choice: pytest.MonkeyPatch) -> None:
    found = by_name(selfcheck.kernels())
    assert set(found) == {f"kernels {name}" for name in ("numpy", "cupy", "onednn", "numba")}
    for finding in found.values():
        assert finding.value.startswith("in use" if finding.status == "ok" else "not in use: ")


def test_missing_kernels_name_the_pip_line(choice: pytest.MonkeyPatch) -> None:
    for module in (numba_compile, onednn_library):
        choice.setattr(module, "why_not", lambda: 'no such file; run: pip install "armour-toolkit[fast]"')
    found = by_name(selfcheck.kernels())
    for name in ("kernels onednn", "kernels numba"):
        assert found[name].status == "info"
        assert found[name].value == "not in use: no such file"
        assert found[name].advice == 'pip install "armour-toolkit[fast]"'


def test_kernels_that_are_not_there_fail_and_the_rest_is_looked_at(choice: pytest.MonkeyPatch) -> None:
    choice.setattr(numba_compile, "why_not", lambda: "no such file")
    choice.setenv("ARMOUR_KERNELS", "numba")
    found = by_name(selfcheck.run(0.01))
    assert found["kernels"].status == "fail" and "no such file" in found["kernels"].value
    assert found["kernels"].advice.startswith("unset ARMOUR_KERNELS")
    assert found["repeatable"].status in ("ok", "warn")


def test_kernels_that_are_left_out_by_choice(choice: pytest.MonkeyPatch) -> None:
    for module in (numba_compile, onednn_library):
        choice.setattr(module, "why_not", lambda: None)
    choice.setenv("ARMOUR_KERNELS", "numpy")
    found = by_name(selfcheck.kernels())
    assert found["kernels onednn"].value == "not in use: ARMOUR_KERNELS leaves it out"
    assert found["kernels numpy"].status == "ok"


def test_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARMOUR_DATA", str(tmp_path))
    assert next(selfcheck.data_folder()).status == "ok"
    monkeypatch.setenv("ARMOUR_DATA", str(tmp_path / "no"))
    assert next(selfcheck.data_folder()).status == "fail"
    monkeypatch.delenv("ARMOUR_DATA")
    assert next(selfcheck.data_folder()).status == "info"


def test_write_access(tmp_path: Path) -> None:
    assert by_name(selfcheck.write_access(tmp_path))["output folder"].status == "ok"
    assert by_name(selfcheck.write_access(tmp_path / "no"))["output folder"].status == "fail"
    assert list(tmp_path.iterdir()) == []


def test_speed_gives_positive_figures() -> None:
    findings = list(selfcheck.speed(0.01))
    assert len(findings) == 3
    assert all(f.figures is not None and min(f.figures.values()) > 0 for f in findings)


def test_determinism_measures_a_real_difference() -> None:
    found = by_name(selfcheck.determinism())
    figures = found["batch size"].figures
    assert figures is not None and 0 <= figures["largest_difference"] < 1e-4
    assert found["repeatable"].status in ("ok", "warn")


@pytest.mark.parametrize("devices", [0, 1])
def test_kernels_on_a_device_are_told_with_the_reason_if_they_are_not_in_use(cupy: Any, devices: int) -> None:
    cupy.cuda.runtime.getDeviceCount = lambda: devices
    cupy.cuda.runtime.getDeviceProperties = lambda i: {"name": b"Pretended"}
    with use_kernels("cupy"):
        found = by_name(selfcheck.kernels())["kernels cupy"]
    backend = by_name(selfcheck.devices())["backend cupy"]
    if devices:
        assert found.status == "ok" and "CUDA graphs" in found.value
        assert backend.value == "device cuda: Pretended"
    else:
        assert found.value == "not in use: cupy sees no device" and "CUDA_VISIBLE_DEVICES" in found.advice
        assert backend.value == "installed, but cupy sees no device" and backend.status == "warn"
