"""Fuzzing of large images: small batches and rounds, and no work that the budget cuts off."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import small_models

from armour.fuzz import FuzzConfig, Fuzzer, store
from armour.fuzz.execution import fitting
from armour.fuzz.setup import _round
from armour.model import ModuleModel
from armour.tensor import nn


def large(side: int = 160) -> tuple[np.ndarray, np.ndarray, ModuleModel]:
    """Digits of 160 x 160, and a network of one pooling layer before a small one."""
    x, y = small_models.digits(60)
    plain = small_models.centroids(x, y)
    times = side // 8
    net = nn.Sequential(nn.AvgPool2d(times), plain.module)
    big = x.repeat(times, axis=2).repeat(times, axis=3)
    return big, y, ModuleModel(net, input_shape=(1, side, side), num_classes=10)


def test_batches_and_rounds_of_large_inputs_are_small() -> None:
    assert fitting(128, 3 * 32 * 32) == 128 and fitting(128, 3 * 224 * 224) == 16 and fitting(4, 1 << 20) == 4
    x, y, model = large()
    sizes = {1: 1024, 1024: 1024, 3072: 512, 25600: 512, 3 * 224 * 224: 64, 1 << 23: 16}
    fuzzer = Fuzzer(model, x, y)
    for size, expected in sizes.items():
        fuzzer.x = np.zeros((1, size), np.float32)
        assert _round(fuzzer) == expected


def test_only_what_the_budget_allows_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, model = large()
    config = FuzzConfig(baseline=False)
    result = Fuzzer(model, x, y, config=config).run(executions=130)
    before = model.counter.queries
    again = Fuzzer(model, x, y, config=config).run(executions=130)
    assert [f.recipe for f in again.failures] == [f.recipe for f in result.failures]
    triage = again.guided.triage_executions
    # The seeds, a look at the layers, the mutants in batches of 16, and the minimising with its padding.
    assert model.counter.queries - before <= 64 + 16 + 144 + triage + 16 * (triage + 1)
    mutants: list[int] = []
    tapped, summaries = model.tapped, model.summaries
    monkeypatch.setattr(model, "tapped", lambda part: mutants.append(len(part)) or tapped(part))
    monkeypatch.setattr(
        model, "summaries", lambda part, names: mutants.append(len(part)) or summaries(part, names)
    )
    Fuzzer(model, x, y, config=config).run(executions=130)
    # Two rows and the first batch say which layers are distinct; then seeds, mutants and a last batch.
    assert set(mutants) == {2, 16} and sum(mutants) == 2 + 16 + 64 + 128 + 16


def test_shards_are_small_and_a_large_corpus_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y, model = large()
    monkeypatch.setattr(store, "_SHARD_VALUES", 20 * 160 * 160)
    config = FuzzConfig(round=64)
    for folder, budgets in (("once", [192]), ("twice", [64, 192])):
        for budget in budgets:
            Fuzzer(model, x, y, corpus=tmp_path / folder, config=config).run(
                executions=budget, resume=True, jobs=2
            )
    assert small_models.contents(tmp_path / "once") == small_models.contents(tmp_path / "twice")
    lines = (tmp_path / "once" / "corpus" / "index.jsonl").read_text().splitlines()
    shards = sorted((tmp_path / "once" / "corpus").glob("*.npz"))
    assert len(shards) == -(-len(lines) // 20) > 1
    with np.load(shards[0]) as arrays:
        assert arrays["x"].shape == (20, 1, 160, 160)
    assert json.loads(lines[20])["shard"] == "00001"
