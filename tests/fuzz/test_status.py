"""What a campaign says of itself: figures for scripts, warnings, stability."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models

from armour.events import Event
from armour.fuzz import FuzzConfig, Fuzzer, FuzzResult
from armour.fuzz.execution import Executor
from armour.fuzz.status import Monitor, Stability, Status, printable, read, warnings
from armour.fuzz.stop import Standing, StopRules
from armour.model import CallableModel


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FuzzResult, list[dict[str, Any]]]:
    """A corpus of 700 executions, what the run gave, and what it told on its way."""
    x, y = small_models.digits(100)
    folder, told = tmp_path_factory.mktemp("status") / "corpus", []

    def listen(event: Event) -> None:
        if event.detail:
            told.append(event.detail)

    fuzzer = Fuzzer(small_models.centroids(x, y), x, y, corpus=folder, config=FuzzConfig(round=128))
    return folder, fuzzer.run(executions=700, on_event=listen), told


def test_stats_say_what_the_result_says(done: tuple[Path, FuzzResult, list[dict[str, Any]]]) -> None:
    folder, result, told = done
    stats = json.loads((folder / "stats.json").read_text())
    guided = result.guided
    assert stats["executions"] == 700 == stats["budget"] and stats["remaining"] == 0
    assert (stats["failures"], stats["classes"], stats["distinct"]) == (
        guided.failures, guided.classes, guided.distinct
    )  # fmt: skip
    assert (stats["roots_broken"], stats["roots"], stats["valid"]) == (
        guided.roots,
        result.roots,
        guided.valid,
    )
    once = sum(count == 1 for count in guided.class_counts.values())
    assert stats["once"] == once and stats["residual"] == pytest.approx(once / 700)
    assert stats["residual_low"] < stats["residual"] < stats["residual_bound"] < stats["residual_high"]
    assert stats["failure_bound"] is None and stats["stability"] == 1.0
    assert stats["state"] == "ended" and stats["stopped"] == result.stopped and stats["islands"] == 1
    assert result.baseline is not None and stats["baseline"]["classes"] == result.baseline.classes
    # Those on the way agree with the growth curve.
    curve = {point.executions: point for point in guided.curve}
    assert len(told) == len(curve)
    for status in told:
        point = curve[status["executions"]]
        assert (status["classes"], status["valid"]) == (point.classes, point.valid)
        assert status["growth"][-1][:2] == [point.executions, point.classes]
    rows = (folder / "plot.csv").read_text().splitlines()
    last = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
    assert float(last["valid_share"]) == pytest.approx(guided.valid / 700, abs=1e-6)
    assert float(last["residual"]) == pytest.approx(once / 700, rel=1e-5)


def test_stats_are_read_back(done: tuple[Path, FuzzResult, list[dict[str, Any]]]) -> None:
    folder, _, told = done
    values = json.loads((folder / "stats.json").read_text())
    found = read(values)
    assert found is not None and {**values, **found}.keys() == values.keys()
    assert {name: values[name] for name in found if name != "baseline"} == {
        name: value for name, value in found.items() if name != "baseline"
    }
    assert read(told[0]) == told[0]


HOSTILE = [
    {"executions": "many"},
    {"executions": True},
    {"residual": float("nan")},
    {"since_seconds": None},
    {"classes": [1]},
]


@pytest.mark.parametrize("change", HOSTILE, ids=str)
def test_hostile_stats_are_no_status(
    change: dict[str, Any], done: tuple[Path, FuzzResult, list[dict[str, Any]]]
) -> None:
    assert read({**done[2][0], **change}) is None and read({}) is None


def test_hostile_lists_and_texts(done: tuple[Path, FuzzResult, list[dict[str, Any]]]) -> None:
    change = {"growth": [[1, 2, 3], [1, "x", 3], 7] * 10_000, "warnings": ["\x1b[2Jx\ny" + "z" * 999, 5]}
    found = read({**done[2][0], **change, "baseline": {"classes": "x", "failures": 3}})
    assert found is not None and found["baseline"] == {"failures": 3}
    assert set(map(tuple, found["growth"])) == {(1, 2, 3)} and len(found["growth"]) < 1000
    assert found["warnings"] == ["[2Jxy" + "z" * 193] and printable("a\tb") == "ab"


def status(done: tuple[Path, FuzzResult, list[dict[str, Any]]], **changes: Any) -> Status:
    sound = Status(**done[2][-1])
    usual = {"executions": 50_000, "roots": 100, "baseline": None, "since_executions": 10, "coverage": 0.5}
    return replace(sound, **{**usual, **changes})


SAID = [
    ({}, ""),
    ({"stability": 0.75}, "unstable model: 25 %"),
    ({"valid_share": 0.31}, "only 31 % of the mutants are valid"),
    ({"valid_share": 0.31, "executions": 900}, ""),
    ({"roots": 7}, "only 7 seeds"),
    ({"since_executions": 20_000}, "no new class in 20,000 executions"),
    ({"since_executions": 20_000, "executions": 90_000}, ""),
    ({"coverage": 0.999}, "saturated"),
    ({"classes": 5, "baseline": {"classes": 6}}, "stacked random is ahead: 6 classes against 5"),
]


@pytest.mark.parametrize(("changes", "words"), SAID, ids=range(len(SAID)))
def test_warnings(
    changes: dict[str, Any], words: str, done: tuple[Path, FuzzResult, list[dict[str, Any]]]
) -> None:
    said = warnings(status(done, **changes))
    assert words in said[0] if words else said == []


def test_speed_and_times(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    monitor, rules = Monitor(60.0), StopRules(executions=2000)

    def standing(executions: int, classes: int) -> Standing:
        return Standing(executions, executions, classes, classes, classes, executions if classes < 3 else 200)

    def look(executions: int, classes: int) -> Status:
        return monitor.status(
            standing(executions, classes), rules, [], roots=50, stability=None, baseline=None
        )

    monitor.begin(standing(100, 1))
    for executions, classes in ((200, 3), (600, 3), (1000, 3)):
        clock += 4.0
        monitor.step(standing(executions, classes), 0)
    now = look(1000, 3)
    assert now.seconds == 72.0 and now.executions_per_second == 75.0  # 900 in 12 s
    assert now.executions_per_second_now == 100.0  # 800 in the last 8 s: the window begins before 5 s ago
    assert now.remaining == pytest.approx(1000 / 75, abs=0.1)
    assert (now.since_seconds, now.since_executions) == (8.0, 800)
    assert now.failure_bound is None and look(1000, 0).failure_bound == pytest.approx(0.002991, abs=1e-6)
    for executions in range(1001, 1500):
        monitor.step(standing(executions, 3), 0)
    growth = look(1500, 3).growth
    assert len(growth) <= 120 and growth[0][0] == 200 and growth == sorted(growth)


def test_an_unstable_model_is_found_out_and_noted() -> None:
    x, y = small_models.digits(100)
    model, calls = small_models.centroids(x, y), 0

    def moody(inputs: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        logits = model.logits(inputs)
        logits[: len(logits) // 4, 0] += np.float32(1e-3 * calls)
        return logits

    box = CallableModel(moody, outputs="logits", input_shape=(1, 8, 8), num_classes=10)
    steady = Stability(Executor(model, 64), x[:64])
    steady.check()
    assert steady.share is None
    steady.check()
    assert steady.share == 1.0
    shaky = Stability(Executor(box, 64), x[:64])
    shaky.check()
    shaky.check()
    assert shaky.share == 0.75
    result = Fuzzer(box, x, y, config=FuzzConfig(round=128, baseline=False)).run(executions=256)
    assert ["other results for the same inputs" in note for note in result.notes] == [True]
