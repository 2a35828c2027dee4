"""Running inputs: padding, integer gaps, oracles."""

from __future__ import annotations

import numpy as np
import pytest
import small_models

from armour.errors import RemoteError
from armour.fuzz.execution import Executor, Outcome
from armour.fuzz.oracles import ORACLES, Panel, Place, Seen, parse
from armour.fuzz.roots import Roots
from armour.model import CallableModel


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
    tapped, summaries = model.tapped, model.summaries
    monkeypatch.setattr(model, "tapped", lambda batch: shapes.append(len(batch)) or tapped(batch))
    monkeypatch.setattr(
        model, "summaries", lambda batch, names: shapes.append(len(batch)) or summaries(batch, names)
    )
    Executor(model, 32).run(x[:75])
    assert shapes == [32, 32, 32, 16]  # the first one's layers are looked at as well


def test_gaps_are_integers() -> None:
    gaps = outcome([[1.0, 0.5, 1.00004], [0.0, 2.0, -1.0]]).gaps(np.array([0, 1]))
    assert gaps.dtype == np.int64
    assert gaps.tolist() == [[0, 5000, 0], [20000, 0, 30000]]
    assert (outcome([[np.nan, 0.0], [np.inf, 0.0]]).gaps(np.array([0, 0]))[0] == 0).all()


def test_confidence_is_the_softmax() -> None:
    confidence = outcome([[0.0, np.log(3.0)], [np.nan, 0.0], [1000.0, 0.0]]).confidence()
    np.testing.assert_allclose(confidence[[0, 2]], [0.75, 1.0], atol=1e-7)
    assert np.isnan(confidence[1])


def judged(name: str, found: Outcome) -> list[bool]:
    """What an oracle says of outcomes of inputs whose label is 0."""
    n = len(found.logits)
    model = CallableModel(lambda x: x, input_shape=(2,), num_classes=2, outputs="logits")
    x = np.zeros((n, 2), np.float32)
    zeros = np.zeros(n, np.int64)
    roots = Roots(x, zeros, zeros, np.zeros((n, 2), np.int64))
    place = Place(model=model, executor=Executor(model, 16), roots=roots, bounds=model.bounds)
    hit, _ = Panel([parse(name)], place).filed([name] * n, Seen(x, zeros, zeros, found, place))
    return [bool(one) for one in hit]


def test_label_flip_needs_more_than_rounding() -> None:
    seen = outcome([[1.0, 0.0], [0.0, 1.0], [1.0, 1.00002], [np.nan, 1.0]])
    assert judged("label-flip", seen) == [False, True, False, False]
    assert ORACLES.get("label-flip").needs_validity


def test_nonfinite_looks_at_every_layer() -> None:
    seen = outcome([[1.0, 0.0], [np.inf, 1.0], [0.0, 1.0]], finite=[True, False, False])
    assert judged("nonfinite", seen) == [False, True, True]
    assert not ORACLES.get("nonfinite").needs_validity


def test_what_a_model_raises_is_the_trouble_of_the_inputs_that_make_it() -> None:
    x = np.arange(40, dtype=np.float32).reshape(40, 1) / 40
    asked: list[int] = []

    def answer(rows: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        if np.isin(rows[:, 0], x[[3, 30], 0]).any():
            raise ValueError("no such\nvalue")
        return np.stack([rows[:, 0], 1 - rows[:, 0]], axis=1)

    model = CallableModel(answer, input_shape=(1,), num_classes=2, outputs="logits")
    executor = Executor(model, 16)
    with pytest.raises(ValueError, match="no such"):
        executor.run(x)
    executor.guarded = True
    asked.clear()
    found = executor.run(x)
    bad = np.isin(np.arange(40), [3, 30])
    assert (found.trouble[bad] == "raised ValueError: no such value").all() and (
        found.trouble[~bad] == ""
    ).all()
    assert (found.predicted[bad] == -1).all() and not found.finite[bad].any() and found.finite[~bad].all()
    np.testing.assert_allclose(found.logits[~bad, 0], x[~bad, 0])
    # Three batches, and two of them halved down to single inputs.
    assert len(asked) <= 3 + 2 * 2 * 4 and executor.executions == 40
    # A server that does not answer is no fault of the inputs.
    model.function = lambda rows: (_ for _ in ()).throw(RemoteError("gone"))
    with pytest.raises(RemoteError, match="gone"):
        executor.run(x)
