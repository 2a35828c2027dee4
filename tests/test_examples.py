"""The examples run and show what they say: measures fall under attack, and nothing passes for accuracy."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from examples import detector, segmentation

from armour.errors import UnsupportedError


@pytest.mark.parametrize(
    ("example", "measure", "least"), [(segmentation, "mean IoU", 0.7), (detector, "mAP", 0.7)]
)
def test_an_example(example: ModuleType, measure: str, least: float) -> None:
    model = example.trained()
    found: dict[str, Any] = example.run(model)
    table = found[measure]
    for name, (value, low, high) in table.items():
        print(f"\n{model.name}, {name}: {measure} {value:.3f} (95 % {low:.3f}-{high:.3f}, n={found['n']})")
        assert 0 <= low <= value <= high <= 1
    before, pgd, square = table["before"], table["PGD-20"], table["Square"]
    assert before.value > least, "the network is not worth attacking"
    # The intervals do not meet; a black box does less than gradients, but something.
    assert pgd.high < before.low and square.high < before.low and pgd.value < square.value + 0.05
    for result in found["results"].values():
        assert np.isnan(result.robust_accuracy).all() and np.isnan(result.clean_accuracy)
        assert result.criterion.startswith("Custom(") and 0 <= result.withstood[0] < 1
        assert (result.distance[0] <= example.EPSILON).all()
    assert found["results"]["Square"].gradients == 0 < found["results"]["Square"].spent.max() <= 100
    with pytest.raises(UnsupportedError, match="no labels and no accuracy"):
        model.predict(np.zeros((1, 1, 32, 32), np.float32))
