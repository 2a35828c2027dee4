"""Operators beyond plain classifiers as networks of the engine: the same numbers as run, and gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper
from onnx_models import arrays, make, node, write

import armour
from armour.formats.onnx_import import run_model

Built = tuple[list[Any], dict[str, np.ndarray], tuple[int, ...], int]


def ends(nodes: list[Any], value: str, size: int, w: dict[str, np.ndarray]) -> list[Any]:
    """The nodes, then a linear map of everything to three scores."""
    w["last"] = np.random.default_rng(3).normal(size=(size, 3)).astype(np.float32) / np.float32(size**0.5)
    return [*nodes, node("Flatten", [value], ["flat"]), node("MatMul", ["flat", "last"], ["out"])]


def lstm(direction: str, **attrs: Any) -> Callable[[], Built]:
    def build() -> Built:
        d = 2 if direction == "bidirectional" else 1
        w = arrays(w=(d, 12, 4), r=(d, 12, 3), b=(d, 24))
        turn = node("Transpose", ["x"], ["t"], perm=[1, 0, 2])
        call = node(
            "LSTM", ["t", "w", "r", "b"], ["y", "h", "c"], hidden_size=3, direction=direction, **attrs
        )
        last = "c" if "input_forget" in attrs else "h"
        back = node("Transpose", [last], ["z"], perm=[1, 0, 2])
        return ends([turn, call, back], "z", 3 * d, w), w, (5, 4), 0

    return build


def gru(after: int) -> Callable[[], Built]:
    def build() -> Built:
        w = arrays(w=(1, 9, 4), r=(1, 9, 3), b=(1, 18))
        call = node("GRU", ["x", "w", "r", "b"], ["y"], hidden_size=3, layout=1, linear_before_reset=after)
        return ends([call], "y", 15, w), w, (5, 4), 0

    return build


def quantised() -> Built:
    rng = np.random.default_rng(1)
    w: dict[str, np.ndarray] = {
        "s": np.float32(1 / 255), "z": np.uint8(0), "ws": np.full(4, 0.02, np.float32),
        "wz": np.zeros(4, np.int8), "w": rng.integers(-99, 99, (4, 2, 3, 3)).astype(np.int8),
        "ys": np.float32(0.05), "yz": np.uint8(100),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("DequantizeLinear", ["w", "ws", "wz"], ["real"], axis=0),
        node("Conv", ["d", "real"], ["c"]),
        node("QuantizeLinear", ["c", "ys", "yz"], ["cq"]),
        node("DequantizeLinear", ["cq", "ys", "yz"], ["y"]),
    ]
    return ends(nodes, "y", 4 * 6 * 6, w), w, (2, 8, 8), 0


def sampled(mode: str) -> Callable[[], Built]:
    def build() -> Built:
        w = arrays(theta=(1, 2, 3)) | {"size": np.array([1, 2, 5, 5])}
        w["theta"] *= 0.5
        nodes = [
            node("AffineGrid", ["theta", "size"], ["one"]),
            node("Shape", ["x"], ["n"], end=1),
            node("Concat", ["n", "lengths"], ["to"], axis=0),
            node("Expand", ["one", "to"], ["grid"]),
            node("GridSample", ["x", "grid"], ["y"], mode=mode, padding_mode="reflection"),
        ]
        w["lengths"] = np.array([5, 5, 2])
        return ends(nodes, "y", 50, w), w, (2, 8, 8), 20

    return build


def deformed() -> Built:
    w = arrays(w=(4, 2, 3, 3), kernel=(18, 2, 1, 1))
    nodes = [
        node("Conv", ["x", "kernel"], ["offset"], pads=[-1, -1, -1, -1]),
        node("DeformConv", ["x", "w", "offset"], ["y"], pads=[0, 0, 0, 0]),
    ]
    return ends(nodes, "y", 4 * 36, w), w, (2, 8, 8), 20


def attention() -> Built:
    w = arrays(q=(6, 6), k=(6, 6), v=(6, 6))
    nodes = [node("MatMul", ["x", n], [n.upper()]) for n in "qkv"]
    call = node("Attention", ["Q", "K", "V"], ["y"], q_num_heads=2, kv_num_heads=2, is_causal=1)
    return ends([*nodes, call], "y", 30, w), w, (5, 6), 23


def spectrum() -> Built:
    w: dict[str, np.ndarray] = {"step": np.array(4), "hann": np.hanning(8).astype(np.float32)}
    nodes = [
        node("STFT", ["x", "step", "hann"], ["f"]),
        node("ReduceL2", ["f", "last_axis"], ["size"], keepdims=0),
    ]
    w["last_axis"] = np.array([-1])
    return ends(nodes, "size", 7 * 5, w), w, (32,), 18


def products() -> Built:
    w = arrays(w=(1, 3, 4), r=(1, 3, 3)) | {"axis": np.array(1)}
    three = numpy_helper.from_array(np.array([3]))
    nodes = [
        node("Shape", ["x"], ["n"], end=1),
        node("ConstantOfShape", ["n"], ["lengths"], value=three),
        node("ReverseSequence", ["x", "lengths"], ["b"], time_axis=1, batch_axis=0),
        node("CumProd", ["b", "axis"], ["p"]),
        node("RNN", ["p", "w", "r"], ["y"], hidden_size=3, layout=1, direction="reverse"),
    ]
    return ends(nodes, "y", 15, w), w, (5, 4), 26


BUILDS = {
    "lstm": lstm("forward"),
    "lstm-both": lstm("bidirectional"),
    "lstm-coupled": lstm("reverse", input_forget=1),
    "gru": gru(1),
    "gru-before": gru(0),
    "quantised": quantised,
    "bilinear": sampled("linear"),
    "bicubic": sampled("cubic"),
    "deformed": deformed,
    "attention": attention,
    "spectrum": spectrum,
    "products": products,
}


@pytest.mark.parametrize("name", list(BUILDS))
def test_the_network_computes_what_the_model_does_and_has_its_slope(name: str, tmp_path: Path) -> None:
    nodes, weights, shape, opset = BUILDS[name]()
    proto = make(nodes, {"x": ("n", *shape)}, {"out": ("n", 3)}, weights, opset=opset or 17)
    model = armour.load(write(proto, tmp_path / "m.onnx"), bounds=(0, 1))
    x = np.random.default_rng(0).uniform(0.2, 0.8, (4, *shape)).astype(np.float32)
    (want,) = run_model(proto.SerializeToString(), [x])
    np.testing.assert_allclose(model.logits(x), want, rtol=1e-4, atol=1e-5)
    labels = np.array([0, 1, 2, 1])
    _, gradient = model.loss_gradient(x, labels)
    way = np.sign(np.random.default_rng(1).normal(size=x.shape)).astype(np.float32)
    slope = (gradient.astype(np.float64) * way).sum()

    def loss(at: np.ndarray) -> float:
        z = model.logits(at).astype(np.float64)
        return float(np.log(np.exp(z - z[np.arange(4), labels][:, None]).sum(axis=1)).sum())

    # Of a quantised network over a step that is wide beside the rounding.
    steps, allowed = ((0.15,), 0.15) if name == "quantised" else ((3e-3, 1e-3, 3e-4), 0.02)
    found = [(loss(x + s * way) - loss(x - s * way)) / (2 * s) for s in steps]
    assert min(abs(f - slope) for f in found) < allowed * abs(slope), (found, slope)
