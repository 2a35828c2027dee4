"""ONNX files through onnxruntime: names, dtypes, fixed inputs and batches, hashes, refusals in one line."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import armour
from armour.errors import CheckpointError, InvalidArgument
from armour.preprocessing import Preprocessing

pytest.importorskip("onnxruntime", reason="needs the extra onnxruntime")

W = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
X = np.random.default_rng(1).random((5, 3, 2, 2), dtype=np.float32)


def write(
    path: Path, *, shape: Any = ("n", 3, 2, 2), dtype: int = TensorProto.FLOAT, rate: Any = None, **save: Any
) -> Path:
    """scores = flatten(x) @ W * rate, and the labels of its rows; rate: the shape of a second input."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("MatMul", ["g", "w"], ["z"]),
        helper.make_node("Mul", ["z", "rate"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["labels"], axis=1, keepdims=0),
        helper.make_node("ReduceSum", ["scores"], ["total"], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("x", dtype, shape)]
    weights = [numpy_helper.from_array(W, "w")]
    if rate is None:
        weights.append(numpy_helper.from_array(np.float32(2), "rate"))
    else:
        inputs.append(helper.make_tensor_value_info("rate", TensorProto.FLOAT, rate))
    n = shape[0]
    outputs = [
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [n, 3]),
        helper.make_tensor_value_info("labels", TensorProto.INT64, [n]),
        helper.make_tensor_value_info("total", TensorProto.FLOAT, []),
    ]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path), **save)
    return path


def scores(x: np.ndarray = X, rate: Any = 2.0) -> np.ndarray:
    return np.asarray(x.reshape(len(x), -1) @ W * rate)


def black_box(path: Path, **options: Any) -> Any:
    return armour.wrap(path, runtime="onnxruntime", bounds=(0, 1), **options)


def test_what_the_file_says(tmp_path: Path) -> None:
    model = black_box(write(tmp_path / "m.onnx"), class_names="abc")
    assert (model.input_shape, model.num_classes, model.name) == ((3, 2, 2), 3, "m")
    np.testing.assert_allclose(model.logits(X), scores(), rtol=1e-5)
    assert model.provenance["network"] == {
        "input": "x",
        "shape": [None, 3, 2, 2],
        "dtype": "float32",
        "output": "scores",
    }
    assert len(model.provenance["file"]["sha256"]) == 64 and not model.can_grad
    again = armour.load(tmp_path / "m.onnx", runtime="onnxruntime", bounds=(0, 1), class_names=list("abc"))
    assert again.fingerprint == model.fingerprint and again.class_names == ("a", "b", "c")
    assert black_box(write(tmp_path / "m.onnx"), threads=2).fingerprint == model.fingerprint
    assert black_box(tmp_path / "m.onnx", output="labels", num_classes=3).fingerprint != model.fingerprint
    assert black_box(tmp_path / "m.onnx", std=2.0).fingerprint != model.fingerprint


def test_labels(tmp_path: Path) -> None:
    model = black_box(write(tmp_path / "m.onnx"), output="labels", num_classes=3)
    np.testing.assert_array_equal(model.predict(X), scores().argmax(axis=1))
    assert model.provenance["outputs"].startswith("labels only")


@pytest.mark.parametrize(
    ("declared", "given", "factor"),
    [
        ([], 3.0, 3.0),
        ([1, 1], 3.0, 3.0),
        (["n", 1], [[3.0]], 3.0),
        (["n", 1], 3, 3.0),
        ([1, 3], [1, 2, 3], np.array([1, 2, 3])),
        ([1, 3], np.array([[1, 2, 3]]), np.array([1, 2, 3])),
    ],
)
def test_fixed_inputs(tmp_path: Path, declared: Any, given: Any, factor: Any) -> None:
    model = black_box(write(tmp_path / "m.onnx", rate=declared), fixed={"rate": given})
    np.testing.assert_allclose(model.logits(X), scores(rate=factor), rtol=1e-5)
    other = black_box(tmp_path / "m.onnx", fixed={"rate": np.asarray(given) + 1})
    assert other.fingerprint != model.fingerprint


def test_a_file_of_a_fixed_batch(tmp_path: Path) -> None:
    for size in (1, 3, 8):
        model = black_box(write(tmp_path / f"{size}.onnx", shape=[size, 3, 2, 2]))
        for n in (1, 5):
            np.testing.assert_allclose(model.logits(X[:n]), scores(X[:n]), rtol=1e-5)


@pytest.mark.parametrize("kind", ["UINT8", "INT32", "INT64", "DOUBLE", "FLOAT16"])
def test_the_dtype_of_the_file(tmp_path: Path, kind: str) -> None:
    model = black_box(
        write(tmp_path / "m.onnx", dtype=getattr(TensorProto, kind)), preprocessing=Preprocessing(scale=255)
    )
    seen = X * 255 if kind in ("DOUBLE", "FLOAT16") else np.rint(X * 255)
    tolerance = 1e-2 if kind == "FLOAT16" else 1e-4
    np.testing.assert_allclose(model.logits(X), scores(seen), rtol=tolerance, atol=tolerance * 255)
    with pytest.raises(InvalidArgument, match="got a preprocessing to int8"):
        black_box(tmp_path / "m.onnx", preprocessing=Preprocessing(dtype="int8"))


def test_channels_last_is_given_channels_first(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", shape=["n", 2, 2, 3])
    model = black_box(path, preprocessing=Preprocessing(layout="NHWC"))
    assert model.input_shape == (3, 2, 2)
    np.testing.assert_allclose(model.logits(X), scores(np.moveaxis(X, 1, 3)), rtol=1e-5)
    resized = black_box(path, preprocessing=Preprocessing(layout="NHWC", resize=(2, 2)))
    assert resized.input_shape is None
    assert resized.logits(np.zeros((2, 3, 9, 5), np.float32)).shape == (2, 3)


def test_weights_in_a_file_beside_it(tmp_path: Path) -> None:
    external = {"save_as_external_data": True, "location": "w.bin", "size_threshold": 0}
    path = write(tmp_path / "m.onnx", **external)
    model = black_box(path)
    np.testing.assert_allclose(model.logits(X), scores(), rtol=1e-5)
    first = model.fingerprint
    raw = bytearray((tmp_path / "w.bin").read_bytes())
    raw[1] ^= 1
    (tmp_path / "w.bin").write_bytes(raw)
    assert black_box(path).fingerprint != first


def test_a_copy_in_another_process_reads_the_file_again(tmp_path: Path) -> None:
    model = black_box(write(tmp_path / "m.onnx"))
    packed = pickle.dumps(model)
    assert len(packed) < 20_000
    np.testing.assert_array_equal(pickle.loads(packed).logits(X), model.logits(X))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input": "y"}, "no input 'y'; it has x"),
        ({"output": "y"}, "no output 'y'; it has scores, labels, total"),
        ({"fixed": {"y": 1}}, "no input 'y'"),
        ({"fixed": {"x": 1}}, "expected one input to be left, got none"),
        ({"fixed": {"x": 1}, "input": "x"}, "both attacked and fixed"),
        ({"threads": 0}, "whole number at or above 1"),
        ({"mean": (1.0, 2.0)}, "expected 3 values for mean"),
        ({"num_classes": 4}, "expected 4 logits"),
        ({"output": "total"}, "from output 'total'"),
        ({"no_such": 1}, "no such setting"),
        ({"input_shape": (3, 2, 3)}, "onnxruntime cannot run m.onnx"),
    ],
    ids=str,
)
def test_refused(tmp_path: Path, options: Any, message: str) -> None:
    path = write(tmp_path / "m.onnx")
    with pytest.raises(InvalidArgument, match=message) as error:
        model = black_box(path, **options)
        model.logits(np.zeros((2, *model.input_shape), np.float32))
    assert "\n" not in str(error.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx")
    with pytest.raises(InvalidArgument, match="state bounds="):
        armour.wrap(path, runtime="onnxruntime")
    with pytest.raises(CheckpointError, match="state the bounds"):
        armour.load(path, runtime="onnxruntime")
    with pytest.raises(InvalidArgument, match="one input to be left, got x, rate"):
        black_box(write(tmp_path / "two.onnx", rate=[1]))
    with pytest.raises(CheckpointError, match="no such file"):
        black_box(tmp_path / "none.onnx")
    raw = path.read_bytes()
    for broken in (raw[:-20], raw[:40], b"text", b""):
        path.write_bytes(broken)
        with pytest.raises(CheckpointError, match="onnxruntime does not take it") as error:
            black_box(path)
        assert "\n" not in str(error.value) and len(str(error.value)) < 500
