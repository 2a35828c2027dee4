"""Planted faults are found within their bounds, and nothing is where none was planted.

`python -m benchmarks.planted_faults` does the same with 20 seeds.
"""

from __future__ import annotations

import numpy as np
import planted
import pytest

every = pytest.mark.parametrize("name", list(planted.FAULTS))


@every
def test_found_within_the_bound(name: str) -> None:
    fault = planted.FAULTS[name]
    for seed in range(2):
        found = planted.executions_to_find(fault, seed, limit=fault.bound)
        assert found is not None and 1 <= found <= fault.bound


@every
def test_the_network_without_it_is_silent(name: str) -> None:
    assert planted.executions_to_find(planted.FAULTS[name], 0, limit=1024, faulty=False) is None


@every
def test_the_fault_does_not_show_on_the_seeds(name: str) -> None:
    fault = planted.FAULTS[name]
    x, y = fault.seeds()
    shares = [(model().predict(x) == y).mean() for model in (fault.faulty, fault.sound)]
    assert min(shares) > 0.85 and np.isfinite(fault.faulty().logits(x)).all()
