"""Special inputs: answers, refusals and crashes are told apart, and none of them ends the run."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
import small_models

from armour.errors import InvalidArgument
from armour.fuzz import FuzzConfig, Fuzzer, special
from armour.fuzz.special import cases, probe, summary
from armour.model import CallableModel, ModuleModel
from armour.report import Report


def network() -> ModuleModel:
    """Reads digits."""
    return small_models.centroids(*small_models.digits(100))


def test_the_inputs_are_what_their_names_say() -> None:
    seed = np.full((1, 8, 8), 0.5, np.float32)
    made = cases(seed, -1, 3)
    assert made["empty batch"].shape == (0, 1, 8, 8) and made["batch of 1"].shape == (1, 1, 8, 8)
    assert np.isnan(made["one NaN"]).sum() == 1 and np.isnan(made["all NaN"]).all()
    assert made["one +inf"].max() == np.inf and made["one -inf"].min() == -np.inf
    assert made["all low"].max() == -1 and made["all high"].min() == 3 and not made["all zero"].any()
    tiny = np.finfo(np.float32).tiny
    assert made["denormal"].min() > 0 and made["denormal"].max() < tiny
    kinds = {
        made[name].dtype.kind + str(made[name].dtype.itemsize) for name in ("float64", "float16", "integers")
    }
    assert kinds == {"f8", "f2", "i8"}
    assert made["no batch axis"].shape == (1, 8, 8) and made["an axis too many"].ndim == 5
    assert (seed == 0.5).all()


def test_a_sound_network_answers_and_nothing_is_counted() -> None:
    model = network()
    found = {one.name: one for one in probe(model, np.full((1, 8, 8), 0.5, np.float32))}
    assert set(found) == set(cases(np.zeros((1, 8, 8)), 0, 1)) and model.counter.queries == 0
    for name in ("batch of 1", "all zero", "all low", "all high", "denormal", "float64"):
        assert found[name].verdict == "answers" and found[name].finite
    assert found["empty batch"].says == "nothing"
    assert found["one NaN"].verdict == "answers" and found["one NaN"].finite is False
    assert "not finite: one NaN" in summary(list(found.values()))


class Odd(ModuleModel):
    """Refuses, crashes, dies or hangs, by what it is given."""

    def _forward(self, x: np.ndarray) -> np.ndarray:
        if len(x) == 0:
            raise ZeroDivisionError("no\nrows")
        if np.isnan(x).all():
            os.kill(os.getpid(), signal.SIGKILL)
        if np.isinf(x).any() and x.max() > 1:
            time.sleep(60)
        if x.dtype != np.float32:
            raise InvalidArgument("expected float32")
        return super()._forward(x)


def test_what_takes_the_process_down_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(special, "_SECONDS", 1.0)
    plain = network()
    model = Odd(plain.module, input_shape=(1, 8, 8), num_classes=10)
    found = {one.name: one for one in probe(model, np.full((1, 8, 8), 0.5, np.float32))}
    assert (
        found["empty batch"].verdict == "crashes"
        and found["empty batch"].says == "ZeroDivisionError: no rows"
    )
    assert found["all NaN"].verdict == "crashes" and "SIGKILL" in found["all NaN"].says
    assert found["one +inf"].verdict == "crashes" and "no answer in 1 s" in found["one +inf"].says
    assert found["float64"].verdict == "refuses" and found["float64"].says == "expected float32"
    assert found["batch of 1"].verdict == "answers"
    line = summary(list(found.values()))
    assert "3 crashed" in line and "crashed: empty batch, one +inf, all NaN" in line


def test_black_boxes_are_asked_as_users_ask_them() -> None:
    seen: list[bool] = []

    def box(x: np.ndarray) -> np.ndarray:
        """Never sees what armour refuses."""
        seen.append(bool(np.isfinite(x).all()))
        return np.zeros((len(x), 3), np.float32)

    model = CallableModel(box, outputs="logits", input_shape=(4,), num_classes=3)
    found = {one.name: one for one in probe(model, np.full(4, 0.5, np.float32))}
    assert all(seen) and found["one NaN"].verdict == found["integers"].verdict == "refuses"
    assert found["batch of 1"].verdict == "answers" and summary(()) == ""


def test_a_run_reports_them_and_its_result_does_not_depend_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = small_models.digits(100)
    run = Fuzzer(network(), x, y, config=FuzzConfig(round=256)).run(executions=256)
    assert len(run.special) == 16
    monkeypatch.setattr("armour.fuzz.lockstep.probe", lambda model, seed, apart: ())
    bare = Fuzzer(network(), x, y, config=FuzzConfig(round=256)).run(executions=256)
    assert bare.special == () and [f.recipe for f in bare.failures] == [f.recipe for f in run.failures]


def test_a_report_says_it_too() -> None:
    x, y = small_models.digits(60)
    model = network()
    run = Fuzzer(model, x, y, config=FuzzConfig(round=256, baseline=False)).run(executions=128)
    section = Report.from_fuzz(run, model).fuzz
    assert section is not None and any("16 answered; not finite: one NaN" in note for note in section.notes)
