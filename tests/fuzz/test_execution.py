"""Running inputs: padding, integer gaps, oracles."""

from __future__ import annotations

import numpy as np
import pytest
import small_models

from armour.fuzz.execution import Executor, Outcome
from armour.fuzz.oracles import ORACLES, in_order


def outcome(logits: list[list[float]], finite: list[bool] | None = None) -> Outcome:
    values = np.array(logits, np.float32)
    sound = np.isfinite(values).all(axis=1)
    predicted = np.where(sound, np.nan_to_num(values).argmax(axis=1), -1)
    inner = sound if finite is None else np.array(finite)
    return Outcome(values, np.zeros((len(values), 0), np.float32), inner, predicted)


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 40, 100])
def test_padding_does_not_show(n: int) -> None:
    x, y = small_models.digits(100)
    model = small_models.centroids(x, y)
    executor = Executor(model, 40)
    result = executor.run(x[:n])
    assert executor.executions == n and len(result.logits) == n == len(result.predicted)
    np.testing.assert_allclose(result.logits, model.logits(x[:n]), atol=1e-5)
    assert result.predicted.tolist() == model.predict(x[:n]).tolist()
    # The hidden layer of this network repeats its input, so only the logits are neurons.
    assert result.neurons.shape == (n, 10)


def test_batches_have_few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = small_models.digits(100)
    model = small_models.centroids(x, y)
    shapes: list[int] = []
    tapped = model.tapped
    monkeypatch.setattr(model, "tapped", lambda batch: shapes.append(len(batch)) or tapped(batch))
    Executor(model, 32).run(x[:75])
    assert shapes == [32, 32, 16]


def test_gaps_are_integers() -> None:
    gaps = outcome([[1.0, 0.5, 1.00004], [0.0, 2.0, -1.0]]).gaps(np.array([0, 1]))
    assert gaps.dtype == np.int64
    assert gaps.tolist() == [[0, 5000, 0], [20000, 0, 30000]]
    assert (outcome([[np.nan, 0.0], [np.inf, 0.0]]).gaps(np.array([0, 0]))[0] == 0).all()


def test_confidence_is_the_softmax() -> None:
    confidence = outcome([[0.0, np.log(3.0)], [np.nan, 0.0], [1000.0, 0.0]]).confidence()
    np.testing.assert_allclose(confidence[[0, 2]], [0.75, 1.0], atol=1e-7)
    assert np.isnan(confidence[1])


def test_label_flip_needs_more_than_rounding() -> None:
    flip = ORACLES.get("label-flip").judge
    labels = np.array([0, 0, 0, 0])
    seen = outcome([[1.0, 0.0], [0.0, 1.0], [1.0, 1.00002], [np.nan, 1.0]])
    assert flip(seen, labels).tolist() == [False, True, False, False]
    assert ORACLES.get("label-flip").needs_validity


def test_nonfinite_looks_at_every_layer() -> None:
    judge = ORACLES.get("nonfinite").judge
    seen = outcome([[1.0, 0.0], [np.inf, 1.0], [0.0, 1.0]], finite=[True, False, False])
    assert judge(seen, np.zeros(3, np.int64)).tolist() == [False, True, True]
    # It names a failure that is a wrong label as well.
    assert in_order()[0].name == "nonfinite"
    assert not ORACLES.get("nonfinite").needs_validity
