"""An evaluation that is broken off anywhere goes on to the report that it would have given."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import linear
import numpy as np
import pytest

import armour
from armour.attacks import PGD, Square
from armour.errors import ArmourError, FormatError, InvalidArgument, NothingEvaluated
from armour.evaluation import journal
from armour.events import Event
from armour.report import Report

ROW = [PGD(steps=3, step_size=0.2), PGD(steps=6, loss="margin"), Square(queries=30)]
THREAT = armour.Threat(epsilons=(0.05, 0.02, 0.1))


@pytest.fixture(autouse=True)
def always_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is written after every unit and batch, as it is in a run of minutes."""
    monkeypatch.setattr(journal, "INTERVAL", 0.0)


def problem(n: int = 24) -> tuple[linear.LinearModel, np.ndarray, np.ndarray]:
    model = linear.two_classes(seed=2)
    model.batch_size = 8
    x = linear.inputs(model, n, 2)
    y = model.predict(x)
    y[::9] = 1 - y[::9]
    return model, x, y


def run(state: Path | None = None, **options: Any) -> Report:
    model, x, y = problem()
    options.setdefault("attacks", ROW)
    return armour.evaluate(model, x, y, threat=THREAT, state=state, **options)


class Stopper:
    """Presses Ctrl-C at the given event."""

    def __init__(self, at: int) -> None:
        self.left, self.seen = at, 0

    def __call__(self, event: Event) -> None:
        self.seen += 1
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_interrupted_anywhere_it_gives_the_same_report(tmp_path: Path) -> None:
    whole = run()
    listener = Stopper(10**9)
    run(on_event=listener)
    assert listener.seen > 20
    for at in range(2, listener.seen, max(1, listener.seen // 5)):
        state = tmp_path / f"{at}.npz"
        with pytest.raises(KeyboardInterrupt):
            run(state, on_event=Stopper(at))
        again = run(state)
        assert again.sha256 == whole.sha256, at
        assert again.attacks[0].queries == whole.attacks[0].queries


def test_interrupted_time_and_again_it_comes_to_the_same_end(tmp_path: Path) -> None:
    state, presses = tmp_path / "s.npz", 0
    while True:
        try:
            report = run(state, on_event=Stopper(12))
            break
        except KeyboardInterrupt:
            presses += 1
            assert presses < 90
    assert presses > 1 and report.sha256 == run().sha256


def test_a_finished_state_gives_the_report_without_an_attack(tmp_path: Path) -> None:
    state = tmp_path / "s.npz"
    first = run(state)
    model, x, y = problem()
    second = armour.evaluate(model, x, y, threat=THREAT, attacks=ROW, state=state)
    assert second.sha256 == first.sha256
    assert model.counter.gradients == 0


def test_the_state_of_another_evaluation_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "s.npz"
    run(state)
    for options in ({"rng": 1}, {"attacks": ROW[:2]}, {"groups": ["a"] * 24}, {"adaptive": True}):
        with pytest.raises(InvalidArgument, match="state of another evaluation"):
            run(state, **options)
    state.write_bytes(b"PK")
    with pytest.raises(FormatError, match=r"s\.npz"):
        run(state)


def test_a_forged_state_is_one_line(tmp_path: Path) -> None:
    from armour import npz
    from armour.files import atomic_write

    state = tmp_path / "s.npz"
    run(state)
    arrays = npz.read_arrays(state, FormatError)
    rng = np.random.default_rng(0)
    names = [name for name in arrays if name not in ("key", "version")]
    values = [np.zeros(3), np.array("[1]"), rng.integers(0, 9, (2, 2))]
    for i, name in enumerate(names[::3]):
        with atomic_write(state) as stream:
            npz.write_arrays(stream, {**arrays, name: values[i % 3]})
        try:
            run(state)
        except ArmourError as error:
            assert "\n" not in str(error)


def test_time_that_is_over_leaves_a_report_that_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:

    clock = iter(np.arange(0.0, 1e6, 1.0).tolist())
    with monkeypatch.context() as patched:
        # A second passes between two looks.
        patched.setattr(time, "monotonic", lambda: next(clock))
        for seconds in range(20, 400, 5):
            state = tmp_path / f"{seconds}.npz"
            try:
                report = run(state, seconds=float(seconds))
                break
            except NothingEvaluated:
                continue
    section = report.evaluation
    assert section is not None and not section.complete and section.planned == 24
    assert any("Time was over" in note for note in section.notes)
    assert "stopped early" in report.to_markdown()
    assert report.attacks[0].clean.n <= 24
    assert run(state).sha256 == run().sha256, "and goes on to the whole"


def test_no_time_at_all_is_nothing_evaluated() -> None:
    with pytest.raises(NothingEvaluated, match="before the first attack"):
        run(seconds=1e-9)


def test_progress_rises_to_the_whole() -> None:
    events: list[Event] = []
    run(on_event=events.append)
    shares = [event.done for event in events if event.stage == "evaluate"]
    assert shares == sorted(shares) and shares[-1] == 1_000 and len(set(shares)) > 10
    assert {event.total for event in events} == {1_000}
    assert any("2 of 3: PGD" in event.text for event in events)
