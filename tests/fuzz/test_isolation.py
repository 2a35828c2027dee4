"""Models that raise, die and hang: the campaign goes on, and the inputs are its failures."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import oracle_cases as cases
import pytest

from armour.errors import ArmourError, UnsupportedError
from armour.fuzz import Corpus, FuzzConfig, Fuzzer
from armour.fuzz.execution import Executor
from armour.fuzz.isolation import IsolatedExecutor
from armour.fuzz.replay import replay
from armour.model import Model


def dying(x: np.ndarray) -> np.ndarray:
    """Kills its process where the trigger is."""
    if cases.triggered(x).any():
        os.kill(os.getpid(), signal.SIGSEGV)
    return cases.right(x)


def leaving(x: np.ndarray) -> np.ndarray:
    """Ends its process where the trigger is."""
    if cases.triggered(x).any():
        os._exit(3)
    return cases.right(x)


def hanging(x: np.ndarray) -> np.ndarray:
    """Does not answer where the trigger is."""
    if cases.triggered(x).any():
        time.sleep(60)
    return cases.right(x)


def few(n: int = 40, bad: int = 1) -> np.ndarray:
    """n inputs, of which the last `bad` carry the trigger."""
    x = cases.images(n)[0]
    x[n - bad :, 0, 0, 0] = 1.0
    return x


def test_the_same_bits_as_in_process() -> None:
    model, x = cases.network(1.1), cases.images()[0]
    executor, isolated = Executor(model, 16), IsolatedExecutor(model, 16)
    for taps in (True, False):
        here, there = executor.run(x, taps=taps), isolated.run(x, taps=taps)
        for name in ("logits", "neurons", "finite", "predicted", "trouble"):
            assert np.array_equal(getattr(here, name), getattr(there, name)), name
    assert isolated.layers == executor.layers and isolated.penultimate(2) == executor.penultimate(2)
    assert isolated.fingerprint() == model.fingerprint
    isolated.close()


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (dying, "killed by signal 11 (SIGSEGV)"),
        (leaving, "ended its process with exit code 3"),
        (cases.raising(RuntimeError("no such\nkernel")), "raised RuntimeError: no such kernel"),
    ],
)
def test_what_kills_the_process_is_told_from_what_does_not(answer: cases.Answer, trouble: str) -> None:
    executor = IsolatedExecutor(cases.black_box(answer), 16)
    with pytest.raises(ArmourError, match=r"signal|exit code|raised"):
        executor.run(few(), taps=False)
    executor.guarded = True
    found = executor.run(few(bad=2))
    assert found.trouble[-2:].tolist() == [trouble] * 2 and (found.trouble[:-2] == "").all()
    assert (found.predicted[-2:] == -1).all()
    assert np.array_equal(found.logits[:-2], cases.right(few(bad=2)[:-2]))
    executor.close()


def test_a_hang_is_a_hang_and_its_neighbours_are_not() -> None:
    executor = IsolatedExecutor(cases.black_box(hanging), 16, factor=10, least=0.3)
    executor.guarded = True
    for _ in range(3):
        executor.run(few(bad=0))
    start = time.monotonic()
    found = executor.run(few(n=8))
    assert found.trouble.tolist() == [""] * 7 + ["no answer within 10 times the median of a batch"]
    assert time.monotonic() - start < 50  # nobody waited for the model
    executor.close()


def test_nothing_is_left_running() -> None:
    executor = IsolatedExecutor(cases.network(1.1), 16)
    executor.run(cases.images()[0])
    pid = executor._pid
    assert Path(f"/proc/{pid}").exists()
    executor.close()
    assert not Path(f"/proc/{pid}").exists()


def test_a_campaign_survives_and_its_corpus_replays(tmp_path: Path) -> None:
    x, y = cases.images()
    model = cases.black_box(dying)
    config = FuzzConfig(oracles=("crash",), validity="V0", round=128)
    result = Fuzzer(model, x, y, corpus=tmp_path / "c", config=config).run(executions=384, rng=0)
    assert result.executions == 384 and result.baseline is not None and result.baseline.executions == 384
    crashes = [one for one in result.failures if one.oracle == "crash"]
    assert crashes and {one.severity for one in crashes} == {"high"}
    for one in crashes:
        assert one.predicted == -1 and one.pair == f"crash-{one.true}-none"
        assert one.trouble == "killed by signal 11 (SIGSEGV)"
        assert cases.triggered(one.mutant[None])[0] and cases.triggered(one.minimised[None])[0]
    again = replay(Corpus.read(tmp_path / "c"), model)
    mine = [one for one in again if one.oracle == "crash"]
    assert mine and all(one.fails and one.same and one.rebuilt for one in again)
    assert all(one.minimised is not False and "signal 11" in one.trouble for one in mine)
    # The same campaign at once, and in two pieces.
    for folder, budgets in (("whole", (384,)), ("pieces", (128, 384))):
        for budget in budgets:
            fuzzer = Fuzzer(model, x, y, corpus=tmp_path / folder, config=config)
            other = fuzzer.run(executions=budget, rng=0, resume=True, jobs=2)
        assert [f.recipe for f in other.failures] == [f.recipe for f in result.failures]


def test_what_a_model_raises_in_process_is_a_failure_too() -> None:
    x, y = cases.images()
    model = cases.black_box(cases.raising(ZeroDivisionError("a / 0")))
    result = Fuzzer(model, x, y, config=FuzzConfig(validity="V0", round=128)).run(executions=384)
    found = {one.trouble for one in result.failures if one.oracle == "crash"}
    assert found == {"raised ZeroDivisionError: a / 0"} and result.executions == 384


def test_on_the_seeds_it_is_an_error() -> None:
    x, y = cases.images()
    x[7, 0, 0, 0] = 1.0
    with pytest.raises(ArmourError, match=r"killed by signal 11"):
        Fuzzer(cases.black_box(dying), x, y, config=FuzzConfig(oracles=("crash",))).run(executions=10)


@pytest.mark.parametrize("attribute", ["remote", "device"])
def test_where_no_process_can_be_had_it_says_so(attribute: str) -> None:
    model: Model = cases.network(1.1)
    setattr(model, attribute, {"remote": True, "device": "cuda"}[attribute])
    with pytest.raises(UnsupportedError, match="a process of its own for network") as caught:
        IsolatedExecutor(model, 16)
    assert "\n" not in str(caught.value)
