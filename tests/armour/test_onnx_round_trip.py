"""What the exporter writes, armour's own reader runs to the same numbers: layers, rows, whole networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import armour
from armour.formats.onnx_export import graph_to_onnx
from armour.formats.onnx_import import run_model
from armour.model import ModuleModel
from armour.preprocessing import Preprocessing
from armour.tensor import Tensor, no_grad, zoo
from armour.tensor.op import Case, Op
from tests.armour.onnx_files import Elsewhere, close
from tests.armour.test_onnx_export_layers import ALL, draw, ready, traced
from tests.armour.test_onnx_export_rows import CASES, TOLERANCE, graph_of, single
from tests.tensor.layer_examples import Example


@pytest.mark.parametrize("opset", [17, 21])
@pytest.mark.parametrize("e", [pytest.param(e, id=name) for name, e in ALL])
def test_layers(e: Example, opset: int) -> None:
    net = ready(e)
    proto = graph_to_onnx(traced(net, e), net.state_dict(), opset=opset).SerializeToString()
    for n in (1, 4):
        inputs = draw(e, n)
        with no_grad():
            expected = net(*map(Tensor, inputs)).numpy()
        close(run_model(proto, inputs)[0], expected)


@pytest.mark.parametrize("opset", [17, 21])
@pytest.mark.parametrize(("row", "case"), CASES)
def test_rows(row: Op, case: Case, opset: int) -> None:
    arrays = single(row, case)
    proto = graph_to_onnx(graph_of(row, arrays, case.attrs), {}, opset=opset).SerializeToString()
    with np.errstate(all="ignore"):
        expected = row(*arrays, **case.attrs).numpy()
    close(run_model(proto, arrays)[0], expected, TOLERANCE.get(row.name, 1e-5), least=1.0)


# -- whole networks, by files ----------------

# Layers without an operator of their own: what they are read as, or nothing.
READ_AS = {"AdaptiveAvgPool2d": "AvgPool2d", "Dropout": None, "Flatten": None, "reshape": None}


def kinds(model: ModuleModel) -> list[str]:
    """The layers and operations of a network in order, but for those that only move numbers."""
    read = [READ_AS.get(node.type, node.type) for node in model.graph.nodes]
    return [kind for kind in read if kind is not None]


@pytest.mark.parametrize(
    ("arch", "shape", "classes"),
    [
        ("lenet5", (1, 28, 28), 10),
        ("vgg-small", (3, 8, 8), 4),
        ("resnet8", (3, 8, 8), 4),
        ("alexnet", (3, 224, 224), 10),
        ("resnet50", (3, 64, 64), 20),
    ],
)
def test_networks_come_back(tmp_path: Path, arch: str, shape: tuple[int, ...], classes: int) -> None:
    net = zoo.build(arch, shape, classes, 1)
    rng = np.random.default_rng(2)
    for key, buffer in net.named_buffers():
        low, high = (0.5, 1.5) if key.endswith("var") else (-0.2, 0.2)
        buffer.data = rng.uniform(low, high, buffer.shape).astype(np.float32)
    names = [f"class {i}" for i in range(classes)]
    model = ModuleModel(net, input_shape=shape, num_classes=classes, class_names=names, bounds=(-1, 2))
    armour.export_onnx(model, tmp_path / "m.onnx")
    again = armour.load(tmp_path / "m.onnx")
    assert isinstance(again, ModuleModel)
    model.compiled = again.compiled = False  # plans would not pay here
    assert (again.input_shape, again.num_classes, again.class_names) == (shape, classes, tuple(names))
    assert tuple(again.bounds) == (-1, 2)
    assert kinds(again) == kinds(model)
    there = Elsewhere(onnx.load(tmp_path / "m.onnx"))
    for n in (3, 1):
        x = rng.uniform(-1, 2, (n, *shape)).astype(np.float32)
        expected = model.logits(x)
        close(again.logits(x), expected)
        close(there(x)[0], expected)
    y = rng.integers(0, classes, 1)
    ours, theirs = (m.loss_gradient(x, y)[1] for m in (again, model))
    close(ours, theirs, 1e-4)
    weights = again.state_dict()
    assert {key: weights[key].shape for key in net.state_dict()} == {
        key: value.shape for key, value in net.state_dict().items()
    }


@pytest.mark.parametrize(
    "steps", [Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2,)), Preprocessing(resize=(12, 9))]
)
def test_units_come_back(tmp_path: Path, steps: Preprocessing) -> None:
    shape, inner = (3, 10, 10), steps.network_shape((3, 10, 10))
    net = zoo.build("lenet5", inner, 4, 1)
    model = ModuleModel(net, input_shape=shape, num_classes=4, preprocessing=steps)
    armour.export_onnx(model, tmp_path / "m.onnx")
    again = armour.load(tmp_path / "m.onnx")
    assert again.input_shape == shape and again.preprocessing.identity
    x = np.random.default_rng(0).random((3, *shape), dtype=np.float32)
    close(again.logits(x), model.logits(x))
