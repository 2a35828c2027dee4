"""Evaluations of tests are short: few steps to the smallest distances, few samples in the self-test."""

from __future__ import annotations

import pytest

from armour.evaluation import checks_data, presets


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {norm: (presets.Wanted(row[0].names, {"steps": 5}),) for norm, row in presets.NEAREST.items()}
    monkeypatch.setattr(presets, "NEAREST", wanted)
    monkeypatch.setattr(checks_data, "TESTED", 24)
