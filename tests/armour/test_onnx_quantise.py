"""Quantised ONNX models: values, and gradients that pass straight through the rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour.formats.onnx_import import run_model
from armour.tensor import Tensor, grad, round
from tests.onnx_graphs import differentiable, model, node

X = np.random.default_rng(0).uniform(-1.5, 1.5, (3, 4)).astype(np.float32)
PAIR = [node("QuantizeLinear", "x s z", "q", axis=1), node("DequantizeLinear", "q s z", "y", axis=1)]


def fake(x: np.ndarray, scale: Any, zero: Any, low: int, high: int) -> np.ndarray:
    whole = np.clip(np.rint(x / np.float32(scale)) + zero, low, high)
    out: np.ndarray = ((whole - zero) * np.float32(scale)).astype(np.float32)
    return out


@pytest.mark.parametrize("zero", [np.int8(3), np.uint8(7), np.int16(-5), np.uint16(900)])
def test_a_pair_rounds_and_its_gradient_is_that_of_the_values_before(zero: Any) -> None:
    info, scale = np.iinfo(zero.dtype), np.float32(3.0 / 100)
    weights = {"s": scale, "z": zero}
    run = differentiable(model(PAIR, "x", "y", weights=weights))
    expected = fake(X, scale, int(zero), info.min, info.max)
    np.testing.assert_array_equal(run(Tensor(X)).numpy(), expected)
    weigh = np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    got = grad(lambda x: (run(x) * Tensor(weigh)).sum())(Tensor(X)).numpy()
    # The values without rounding, differentiated numerically in float64: clipped ones do not move.
    low, high = (float(scale) * (limit - int(zero)) for limit in (info.min, info.max))
    step = 1e-6
    ahead, behind = (np.clip(X.astype(np.float64) + s, low, high) for s in (step, -step))
    np.testing.assert_allclose(got, weigh * (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-6)
    if zero.dtype == np.uint8:
        assert (got == 0).any() and (got != 0).any()


def test_one_scale_for_each_channel_and_blocks_of_an_axis() -> None:
    scales, zeros = np.array([0.1, 0.2, 0.05, 0.3], np.float32), np.array([1, -2, 3, 0], np.int8)
    raw = model(PAIR, "x", "y", weights={"s": scales, "z": zeros})
    np.testing.assert_array_equal(run_model(raw, [X])[0], fake(X, scales, zeros.astype(float), -128, 127))
    blocks = np.array([[0.1, 0.2], [0.05, 0.3], [0.5, 0.01]], np.float32)
    nodes = [
        node("QuantizeLinear", "x s", "q", axis=1, block_size=2, output_dtype=3),
        node("DequantizeLinear", "q s", "y", axis=1, block_size=2),
    ]
    got = run_model(model(nodes, "x", "y", 21, weights={"s": blocks}), [X])[0]
    np.testing.assert_array_equal(got, fake(X, np.repeat(blocks, 2, 1), 0, -128, 127))


def test_a_gradient_passes_quantised_layers_that_never_leave_whole_numbers() -> None:
    rng = np.random.default_rng(2)
    w = rng.integers(-90, 90, (4, 5)).astype(np.int8)
    weights = {
        "s": np.float32(0.02), "z": np.uint8(120), "w": w, "ws": np.float32(0.01), "wz": np.int8(0),
        "ys": np.float32(0.05), "yz": np.uint8(128), "t": np.array([5, 3]),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("QLinearMatMul", "q s z w ws wz ys yz", "p"),
        node("Transpose", "p", "turned"),
        node("Reshape", "turned t", "shaped"),
        node("DequantizeLinear", "shaped ys yz", "y"),
    ]
    run = differentiable(model(nodes, "x", "y", weights=weights))
    real = w.astype(np.float32) * np.float32(0.01)
    np.testing.assert_allclose(run(Tensor(X)).numpy(), (X @ real).T, atol=0.1)
    weigh = rng.normal(size=(5, 3)).astype(np.float32)
    got = grad(lambda x: (run(x) * Tensor(weigh)).sum())(Tensor(X)).numpy()
    np.testing.assert_allclose(got, weigh.T @ real.T, rtol=1e-4, atol=1e-5)


def test_a_dynamic_scale_is_a_constant_for_the_gradient() -> None:
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s z"),
        node("MatMulInteger", "q w z _", "p"),
        node("Cast", "p", "f", to=1),
        node("Mul", "f s", "y"),
    ]
    w = np.random.default_rng(3).integers(-50, 50, (4, 2)).astype(np.int8)
    run = differentiable(model(nodes, "x", "y", weights={"w": w}))
    np.testing.assert_allclose(run(Tensor(X)).numpy(), X @ w, atol=4 * 50 * 3 / 255)
    got = grad(lambda x: run(x).sum())(Tensor(X)).numpy()
    np.testing.assert_allclose(got, np.broadcast_to(w.sum(axis=1), X.shape), rtol=1e-4)


def test_products_saturate_instead_of_wrapping_around() -> None:
    # 127 * 127 * 2 in units of one: beyond 8 bits by far, in either direction.
    raw = model(
        [node("QLinearMatMul", "a s z b s z s z", "y")], "a b", "y",
        weights={"s": np.float32(1), "z": np.int8(0)},
    )  # fmt: skip
    a = np.array([[127, 127], [-127, -127]], np.int8)
    got = run_model(raw, [a, a.T.copy()])[0]
    assert got.dtype == np.int8 and got.tolist() == [[127, -128], [-128, 127]]


def test_rounding_straight_through_is_exact() -> None:
    from armour.formats.onnx.rules_quantise import through

    x = np.concatenate([np.linspace(-300, 300, 4001), [0.5, 1.5, -0.5, 2.5, 65534.5]]).astype(np.float32)
    np.testing.assert_array_equal(through(Tensor(x), round(Tensor(x))).numpy(), np.rint(x))
