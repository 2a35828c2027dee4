"""The benchmark harness measures what it says, whatever the figures are."""

from __future__ import annotations

import gc

import pytest
from benchmarks import harness
from threadpoolctl import threadpool_info


def test_candidates_take_turns_and_every_round_has_a_ratio() -> None:
    order: list[str] = []

    def call(name: str) -> None:
        order.append(name)
        sum(range(200_000))

    timings = harness.compare(
        [harness.Candidate(name, lambda name=name: call(name)) for name in ("a", "b", "c")],
        seconds=0,
        min_rounds=3,
    )
    assert [len(t.cpu) for t in timings] == [3, 3, 3]
    assert timings[0].ratio == [1.0, 1.0, 1.0]
    assert all(r > 0 for t in timings for r in t.ratio)
    # After the calibration each round starts with another candidate.
    measured = order[6:]
    blocks = [name for i, name in enumerate(measured) if i == 0 or measured[i - 1] != name]
    assert "".join(blocks) == "abcbcacab"
    summary = timings[1].summary()
    low, high = summary["ratio_quartiles"]
    assert low <= summary["ratio"] <= high


def test_quartiles() -> None:
    assert harness.quartiles([1, 2, 3, 4, 5]) == (2, 3, 4)
    assert harness.quartiles([7.0]) == (7, 7, 7)


def test_one_thread_is_one_thread_and_is_undone() -> None:
    before = [pool["num_threads"] for pool in threadpool_info()]
    with harness.one_thread():
        assert all(pool["num_threads"] == 1 for pool in threadpool_info())
        assert not gc.isenabled()
    assert [pool["num_threads"] for pool in threadpool_info()] == before
    assert gc.isenabled()


@pytest.mark.parametrize("name", harness.SLOWING)
def test_settings_that_falsify_a_comparison_are_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in harness.SLOWING:
        monkeypatch.delenv(other, raising=False)
    assert not any(line.startswith("WARNING") for line in harness.describe(harness.machine()))
    monkeypatch.setenv(name, "512")
    assert any(line.startswith(f"WARNING: {name}=512") for line in harness.describe(harness.machine()))
