"""Every kind of model keeps to the contract of tests/model_contract.py; PyTorch's are in tests/parity."""

from __future__ import annotations

import atexit
import functools
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import model_contract
import numpy as np
import pytest
from model_contract import Example

import armour
from armour.contract import Model
from armour.preprocessing import Preprocessing
from armour.serving import Server
from armour.tensor import nn

SHAPE, K = (3, 6, 6), 4
STEPS = Preprocessing(scale=255, mean=(104.0, 117.0, 123.0), std=60.0, channels="bgr", resize=(8, 5))


class Scores:
    """Linear scores of a fixed seed; a class, so that it can be pickled. kind: what is made of them."""

    def __init__(self, seed: int, kind: str, size: int = int(np.prod(SHAPE))) -> None:
        self.weights = np.random.default_rng(seed).normal(size=(size, K))
        self.kind = kind

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x -= x.mean(axis=tuple(range(1, x.ndim)), keepdims=True)  # what it is given is its own
        z = np.stack([row.reshape(-1).astype(np.float64) @ self.weights for row in x])
        if self.kind == "labels":
            return np.asarray(z.argmax(axis=1))
        if self.kind == "single":
            return np.asarray(z[:, 0])
        if self.kind == "single probability":
            return np.asarray(1 / (1 + np.exp(-z[:, :1])))
        if self.kind == "probabilities":
            e = np.exp(z - z.max(axis=1, keepdims=True))
            return np.asarray(e / e.sum(axis=1, keepdims=True))
        return np.asarray(z)


class LastChannel(nn.Module):
    """A network that takes (n, h, w, c)."""

    def __init__(self, seed: int) -> None:
        self.flatten, self.linear = nn.Flatten(), nn.Linear(8 * 5 * 3, K, rng=seed)

    def forward(self, x: Any) -> Any:
        assert x.shape[1:] == (8, 5, 3)
        return self.linear(self.flatten(x))


def network(seed: int) -> Model:
    module = nn.Sequential(nn.Conv2d(3, 5, 3, rng=seed), nn.ReLU(), nn.Flatten(), nn.Linear(80, K, rng=seed))
    return armour.wrap(module, input_shape=SHAPE, mean=(0.4, 0.5, 0.6), std=0.2)


def preprocessed(seed: int) -> Model:
    steps = Preprocessing.from_dict(STEPS.to_dict() | {"layout": "NHWC"})
    return armour.wrap(LastChannel(seed), input_shape=SHAPE, bounds=(0, 2), preprocessing=steps)


def softmax(seed: int) -> Model:
    module = nn.Sequential(nn.Flatten(), nn.Linear(108, K, rng=seed), nn.Softmax())
    return armour.wrap(module, input_shape=SHAPE)


def sigmoid(seed: int) -> Model:
    module = nn.Sequential(nn.Flatten(), nn.Linear(108, 1, rng=seed), nn.Sigmoid())
    return armour.wrap(module, input_shape=SHAPE)


def function(kind: str, seed: int, **options: Any) -> Model:
    options = {"input_shape": SHAPE, "num_classes": 2 if kind.startswith("single") else K} | options
    return armour.wrap(Scores(seed, kind), **options)


def rounded(seed: int) -> Model:
    steps = Preprocessing(scale=255, dtype="uint8", layout="NHWC")
    return armour.wrap(Halved(seed), input_shape=SHAPE, num_classes=K, preprocessing=steps)


class Halved(Scores):
    """Takes bytes (n, h, w, c)."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, "logits")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        assert x.dtype == np.uint8 and x.shape[1:] == (6, 6, 3)
        return super().__call__(x.astype(np.float64) / 255)


@functools.cache
def fitted(kind: str, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.neighbors import NearestCentroid
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(seed)
    y = np.arange(120) % (2 if kind == "binary" else K)
    x = rng.uniform(size=(120, 108)) * 0.5 + 0.5 * rng.uniform(size=(K, 108))[y]
    makers: dict[str, Callable[[], Any]] = {
        "probabilities": lambda: LogisticRegression(max_iter=50),
        "scores": lambda: make_pipeline(StandardScaler(), RidgeClassifier()),
        "binary": RidgeClassifier,
        "labels": NearestCentroid,
        "forest": lambda: RandomForestClassifier(5, random_state=seed, n_jobs=1),
    }
    estimator = makers[kind]()
    if kind == "labels":
        # NearestCentroid has scores in newer versions of scikit-learn; asked for labels either way.
        return estimator.fit(x, y)
    return estimator.fit(x, y)


def estimator(kind: str, seed: int) -> Model:
    outputs: Any = "labels" if kind == "labels" else "auto"
    return armour.wrap(fitted(kind, seed), input_shape=SHAPE, outputs=outputs)


@functools.cache
def folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@functools.cache
def onnx_file(seed: int, dtype: str) -> Path:
    """A file of cast, flatten, linear and softmax for inputs (n, 3, 6, 6) of a dtype."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(seed).normal(size=(108, K)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("MatMul", ["g", "w"], ["z"]),
        helper.make_node("Mul", ["z", "rate"], ["r"]),
        helper.make_node("Softmax", ["r"], ["p"], axis=1),
    ]
    kind = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}[dtype]
    graph = helper.make_graph(
        nodes,
        "linear",
        [
            helper.make_tensor_value_info("x", kind, ["n", *SHAPE]),
            helper.make_tensor_value_info("rate", TensorProto.FLOAT, [1, 1]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", K]) for name in ("p", "r")],
        [numpy_helper.from_array(weights - weights.mean(axis=0), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = Path(folder().name) / f"{dtype}-{seed}.onnx"
    onnx.save(model, str(path))
    return path


def onnx_model(dtype: str, seed: int) -> Model:
    steps = Preprocessing(scale=255) if dtype == "uint8" else None
    rate = 0.01 if dtype == "uint8" else 1.0
    return armour.wrap(
        onnx_file(seed, dtype),
        runtime="onnxruntime",
        bounds=(0, 1),
        fixed={"rate": rate},
        preprocessing=steps,
    )


@functools.cache
def address(seed: int) -> str:
    """Where a network of that seed is served, until the tests end."""
    server = Server(network(seed), port=0).__enter__()
    atexit.register(server.close)
    return server.url


def served(seed: int) -> Model:
    return armour.wrap(address(seed))


bind = functools.partial
EXAMPLES = [
    Example("network", network, True),
    Example("network with preprocessing", preprocessed, True),
    Example("network with softmax", softmax, True, "probabilities"),
    Example("network with sigmoid", sigmoid, True, "one probability"),
    Example("function of logits", bind(function, "logits"), False),
    Example("function of probabilities", bind(function, "probabilities"), False, "probabilities"),
    Example("function of labels", bind(function, "labels"), False, "labels only"),
    Example("function of one score", bind(function, "single"), False, "one score"),
    Example("function of one probability", bind(function, "single probability"), False, "one probability"),
    Example("function with preprocessing", bind(function, "logits", mean=0.5, std=0.1), False),
    Example("function of bytes", rounded, False),
    Example("estimator of probabilities", bind(estimator, "probabilities"), False, "probabilities"),
    Example("estimator of scores", bind(estimator, "scores"), False),
    Example("estimator of two classes", bind(estimator, "binary"), False),
    Example("estimator of labels", bind(estimator, "labels"), False, "labels only"),
    Example("served network", served, False, pickles=False),
    Example("forest", bind(estimator, "forest"), False, "probabilities"),
]
if find_spec("onnxruntime"):
    EXAMPLES += [
        Example("onnxruntime", bind(onnx_model, "float32"), False, "probabilities"),
        Example("onnxruntime on bytes", bind(onnx_model, "uint8"), False, "probabilities"),
    ]


@pytest.mark.parametrize("check", model_contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_contract(example: Example, check: Callable[[Example], None]) -> None:
    check(example)


def test_onnxruntime_is_in_the_contract() -> None:
    if not find_spec("onnxruntime"):
        pytest.skip("needs the extra onnxruntime")
    assert sum("onnxruntime" in example.name for example in EXAMPLES) == 2
