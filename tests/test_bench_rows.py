"""Rows of the benchmark, their targets, and the history that `make bench` writes: figures in, figures out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks import flops, harness, kernels, networks, record, suite, targets
from benchmarks.harness import Candidate, Timing
from benchmarks.rows import Case, Options, Row, judged, timed

OPTIONS = Options(seconds=0.0, rounds=3, peak=1e9)
LABELS = ("training", "step", "lenet5", 64, "ours", "numpy", "torch eager", "ms")
ROW = Row(*LABELS, ours=1.0, peer=2.0, ratio=0.5, quartiles=(0.4, 0.6))
MACHINE = {
    "python": "3", "processor": "Some CPU (R) @ 2 GHz", "cores": 2, "load": [[0.1, 0, 0], [0.2, 0, 0]],
    "versions": {"numpy": "2"}, "threadpools": [{"architecture": "Haswell"}, {"architecture": None}],
}  # fmt: skip


SECONDS = {"torch eager": 0.004, "torch folded": 0.012, "ours": 0.008, "part of ours": 0.002}


@pytest.fixture(autouse=True)
def _times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each candidate takes what SECONDS says, a percent more in each round, and double that in wall time."""

    def compare(candidates: list[Candidate], *, seconds: float, min_rounds: int) -> list[Timing]:
        rounds = [1 + k / 100 for k in range(min_rounds)]
        found = []
        for one in candidates:
            each = [SECONDS[one.name] * (k if one.kernels else 1.0) for k in rounds]
            found.append(Timing(one.name, 1, each, [2 * s for s in each]))
        return found

    monkeypatch.setattr(harness, "compare", compare)


def case(**changes: object) -> Case:
    def make() -> list[Candidate]:
        return [
            Candidate("torch eager", int),
            Candidate("torch folded", int),
            Candidate("ours", int, "numpy", True, kernels.within("numpy")),
            Candidate("part of ours", int, "numpy"),
        ]

    return dataclasses.replace(
        Case("training", "step", "lenet5", 64, make, operations=4e6),
        **changes,  # type: ignore[arg-type]
    )


def test_each_of_ours_is_compared_with_each_peer() -> None:
    rows = list(timed(case(), OPTIONS))
    pairs = [(row.name, row.against) for row in rows]
    assert pairs == [(a, b) for a in ("ours", "part of ours") for b in ("torch eager", "torch folded")]
    eager, folded = rows[:2]
    assert eager.ratio == pytest.approx(2.02) and eager.quartiles == pytest.approx((2.01, 2.03))
    assert folded.ratio == pytest.approx(2.02 / 3) and eager.wall == pytest.approx(2.02)
    assert (eager.ours, eager.peer) == pytest.approx((8.08, 4.0))
    assert (eager.peak, eager.peer_peak) == pytest.approx((4e6 / 1e9 / 0.00808, 1.0))
    assert eager.target == 0.9 and eager.met is False
    assert folded.target is None and rows[2].target is None, "targets are for headlines against eager PyTorch"


def test_throughput_is_the_ratio_turned_and_other_rows_are_left_out() -> None:
    row = next(timed(case(inverse=True), OPTIONS))
    assert row.ratio == pytest.approx(1 / 2.02)
    assert list(timed(case(), dataclasses.replace(OPTIONS, only=["lenet5", "n=32"]))) == []


def test_targets() -> None:
    assert targets.find("forward_grad", "resnet20", 256, "torch eager", "fast") == (0.62, False)
    assert targets.find("forward_grad", "resnet20", 256, "torch folded, channels_last", "fast") == (
        0.87,
        False,
    )
    assert targets.find("forward_grad", "resnet20", 256, "torch folded, channels_last", "numpy") is None
    assert targets.find("forward_grad", "mlp", 1, "torch eager", "numpy") is None
    assert judged("workers", "lenet5", 256, "one worker", "fast", 1.8) == {"target": 1.7, "met": True}
    assert judged("workers", "lenet5", 256, "one worker", "fast", 1.6)["met"] is False
    assert judged("memory", "resnet20", 256, "torch eager", "numpy", 1.01)["met"] is False


def test_operations_of_a_known_network() -> None:
    x = np.zeros((3, 1, 28, 28), np.float32)
    layers = [28 * 28 * 6 * 25, 10 * 10 * 16 * 6 * 25, 400 * 120, 120 * 84, 84 * 10]
    net = networks.module("lenet5")
    assert flops.products(net, x[:1]) == [2 * n for n in layers]
    assert flops.forward(net, x) == 3 * 2 * sum(layers)
    assert flops.input_gradient(net, x) == 2 * flops.forward(net, x)
    assert flops.parameter_gradient(net, x) == 3 * flops.forward(net, x) - 3 * 2 * layers[0]


def test_results_must_agree_but_for_a_tie() -> None:
    a = np.random.default_rng(0).standard_normal((40, 6))
    networks.same("equal", a * (1 + 1e-6), a)
    with pytest.raises(SystemExit, match=r"differ by 1\.00e-02"):
        networks.same("all of them", a * 1.01, a, samples=True)
    b = a.copy()
    b[3] *= 1.2
    networks.same("one sample", b, a, samples=True)
    with pytest.raises(SystemExit, match="differ"):
        networks.same("one sample where none may", b, a)
    with pytest.raises(SystemExit, match="gives"):
        networks.same("shape", a[:3], a)


def test_history_keeps_runs_and_the_newest_full_one_is_documented(tmp_path: Path) -> None:
    history = tmp_path / "build" / "history.jsonl"

    def run(ratio: float, full: bool, device: str = "cpu") -> None:
        row = dataclasses.replace(ROW, ratio=ratio, target=0.9, met=True, device=device)
        record.append(record.Run(MACHINE, [row], full=full, seconds=3.0, peak=1e11), history)

    assert record.newest(history) == []
    run(0.123456, True)
    run(0.5, True)
    run(0.7, False)
    run(0.25, True, "Some GPU")
    assert len(history.read_text().splitlines()) == 4
    assert json.loads(history.read_text().splitlines()[0])["rows"][0]["ratio"] == 0.1235
    runs = record.newest(history)
    assert [r["rows"][0]["ratio"] for r in runs] == [0.5, 0.25]
    paths = record.keep(runs, tmp_path / "docs")
    assert [p.name for p in paths] == ["some-cpu-r-2-ghz-haswell.json", "some-gpu.json", "benchmarks.md"]
    assert json.loads(paths[0].read_text()) == runs[0]
    page = paths[-1].read_text()
    assert "## Some CPU (R) @ 2 GHz Haswell" in page and "## Some GPU" in page
    assert "| lenet5: step | 64 | ours | numpy | torch eager | 1 ms | 2 ms | 0.50 | 0.40-0.60 |" in page
    assert "0.9 met" in page


def test_the_record_of_this_machine_names_no_path_and_no_host() -> None:
    import platform

    text = json.dumps(record.Run(harness.machine(), [ROW], full=False, seconds=0.0, peak=0.0).compact())
    assert str(harness.ROOT) not in text and "/home" not in text and "site-packages" not in text
    assert platform.node() not in text or len(platform.node()) < 4


def test_unknown_subjects_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    with pytest.raises(SystemExit):
        suite.main(["forwards"])
    assert "unknown subject 'forwards'" in capsys.readouterr().err
