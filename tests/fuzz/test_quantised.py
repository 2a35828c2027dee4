"""The same network in fewer bits, against what the formats say by hand."""

from __future__ import annotations

import numpy as np
import oracle_cases as cases
import pytest

from armour.errors import UnsupportedError
from armour.fuzz.execution import Executor
from armour.fuzz.oracles import Place
from armour.fuzz.oracles.differential import Differential, exported
from armour.fuzz.oracles.quantised import quantised
from armour.fuzz.roots import select
from armour.model import ModuleModel
from armour.tensor import nn


def linear(weight: list[list[float]], bias: list[float], *more: nn.Module) -> ModuleModel:
    size, classes = len(weight[0]), len(weight)
    layer = nn.Linear(size, classes)
    layer.load_state_dict({"weight": np.array(weight, np.float32), "bias": np.array(bias, np.float32)})
    return ModuleModel(nn.Sequential(layer, *more), input_shape=(size,), num_classes=classes, name="net")


def test_float16_rounds_weights_inputs_and_layers() -> None:
    model = linear([[0.1, 1 / 3], [1.0, -1.0]], [0.0, 0.7])
    x = np.array([[0.3, 0.6]], np.float32)
    half = np.float16
    weight = np.array([[0.1, 1 / 3], [1, -1]], np.float32).astype(half).astype(np.float32)
    bias = np.array([0, 0.7], np.float32).astype(half).astype(np.float32)
    expected = (x.astype(half).astype(np.float32) @ weight.T + bias).astype(half).astype(np.float32)
    found = quantised(model, "float16", x).logits(x)
    assert np.array_equal(found, expected) and not np.array_equal(found, model.logits(x))


def test_float16_overflows() -> None:
    model, x = linear([[70000.0], [1.0]], [0.0, 0.0]), np.ones((1, 1), np.float32)
    assert np.isinf(quantised(model, "float16", x).logits(x)).tolist() == [[True, False]]


def test_int8_by_hand() -> None:
    # Weights: 127 steps of the largest magnitude of each row, here 1/127 and 2/127.
    model = linear([[1.0, 0.2504], [-2.0, 0.5]], [0.25, 0.0])
    clean = np.array([[0.0, 1.0], [0.5, 0.25]], np.float32)
    weight = np.array([[127, 32], [-127, 32]]) * np.array([[1 / 127], [2 / 127]])
    # Inputs: 255 steps of [0, 1]; the only layer is the last one, whose output stays as it is.
    x = np.array([[0.501, 0.111], [1.0, 0.0]], np.float32)
    rounded = np.round(x * 255) / 255
    found = quantised(model, "int8", clean).logits(x)
    np.testing.assert_allclose(found, rounded @ weight.T + [0.25, 0.0], atol=1e-6)
    assert np.abs(found - model.logits(x)).max() > 1e-4


def test_int8_covers_the_range_of_each_layer() -> None:
    model = linear([[2.0], [-1.0]], [0.0, 0.5], nn.ReLU(), nn.Linear(2, 2))
    clean = np.linspace(0, 1, 5, dtype=np.float32)[:, None]
    copy = quantised(model, "int8", clean)
    # The first layer gives -0.5..2 on the calibration inputs: 255 steps of 2.5/255, and zero is one of them.
    out = copy._values("0", np.array([[0.0, 1.0, -0.5, 2.0, 9.0]], np.float32))
    step = 2.5 / 255
    np.testing.assert_allclose(out[0, :4], [0.0, round(1 / step) * step, -0.5, 2.0], atol=step / 2 + 1e-6)
    assert out[0, 0] == 0 and out[0, 4] < 2 + step  # what was not seen is cut off
    assert copy.name == "net in int8" and model.state_dict()["0.weight"][0, 0] == 2.0


def test_the_copy_leaves_the_network_alone_and_does_not_depend_on_the_batch() -> None:
    model, x = cases.network(1.1), cases.images()[0]
    before, logits = model.state_dict(), model.logits(x)
    copy = quantised(model, "int8", x)
    whole = copy.logits(x)
    np.testing.assert_allclose(np.concatenate([copy.logits(x[:3]), copy.logits(x[3:])]), whole, atol=1e-5)
    after = model.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert np.array_equal(model.logits(x), logits)


def test_a_black_box_has_no_bits_to_take() -> None:
    with pytest.raises(UnsupportedError, match="black box"):
        quantised(cases.black_box(cases.right), "int8", cases.images()[0])


def test_another_engine_gives_the_same_logits() -> None:
    pytest.importorskip("onnxruntime")
    model = cases.network(1.1)
    x, y = cases.images()
    other = exported(model)
    np.testing.assert_allclose(other.logits(x), model.logits(x), atol=1e-4)
    executor = Executor(model, 16)
    roots, _ = select(executor, x, y)
    place = Place(model=model, executor=executor, roots=roots, bounds=model.bounds)
    seen = cases.seen(place)
    verdict = Differential(against="onnxruntime").bind(place)(seen)
    assert not getattr(verdict, "hit", verdict).any() and seen.meter.count == len(seen)


def test_engines_must_agree_in_every_logit() -> None:
    def slightly(x: np.ndarray) -> np.ndarray:
        return np.asarray(cases.right(x) + 0.01 * cases.triggered(x)[:, None], np.float32)

    at = cases.place(cases.CASES["label-flip"], faulty=False)
    others = {"onnxruntime": cases.black_box(slightly)}
    place = Place(model=at.model, executor=at.executor, roots=at.roots, bounds=at.bounds, others=others)
    seen = cases.seen(place)
    verdict = Differential(against="onnxruntime").bind(place)(seen)
    # 0.01 is beyond 0.001 + 0.001 |z| where |z| is below 9, and changes no label.
    assert np.array_equal(getattr(verdict, "hit", verdict), cases.triggered(seen.x))
    others = {"v2": others["onnxruntime"]}
    again = Place(model=at.model, executor=at.executor, roots=at.roots, bounds=at.bounds, others=others)
    verdict = Differential(against="v2").bind(again)(cases.seen(again))
    assert not getattr(verdict, "hit", verdict).any()


def test_labels_must_differ_by_the_margin_on_both_sides() -> None:
    def by(shift: float) -> cases.Answer:
        return lambda x: np.tile(np.array([[0.0, shift]], np.float32), (len(x), 1))

    at = cases.place(cases.CASES["label-flip"], faulty=False)
    for here, there, hit in ((0.2, -0.2, True), (0.2, -0.05, False), (0.05, -0.2, False), (0.2, 0.3, False)):
        model = cases.black_box(by(here))
        executor = Executor(model, 16)
        others = {"int8": cases.black_box(by(there))}
        place = Place(model=model, executor=executor, roots=at.roots, bounds=at.bounds, others=others)
        verdict = Differential(against="int8").bind(place)(cases.seen(place))
        assert getattr(verdict, "hit", verdict).all() == hit, (here, there)
