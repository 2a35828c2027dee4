"""LSTM, GRU and RNN of ONNX: the layers' way, the unrolled way and a plain loop in float64 agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import pytest

import armour
from armour.errors import CheckpointError, UnsupportedError
from armour.formats.onnx_import import run_model
from armour.tensor import Tensor, grad
from tests.onnx_graphs import differentiable, model, node

LENGTH, N, WIDTH, HIDDEN = 5, 3, 4, 2
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


def sigmoid(x: np.ndarray) -> np.ndarray:
    out: np.ndarray = 1 / (1 + np.exp(-x))
    return out


def weights_of(kind: str, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng, rows = np.random.default_rng(seed), GATES[kind] * HIDDEN
    return {
        "w": rng.normal(size=(count, rows, WIDTH)).astype(np.float32),
        "r": rng.normal(size=(count, rows, HIDDEN)).astype(np.float32),
        "b": rng.normal(size=(count, 2 * rows)).astype(np.float32),
    }


def step(
    kind: str, given: np.ndarray, h: np.ndarray, r: np.ndarray, rb: np.ndarray, cell: np.ndarray, after: bool
) -> tuple[np.ndarray, np.ndarray]:
    k = HIDDEN
    if kind == "RNN":
        return np.tanh(given + h @ r.T + rb), cell
    if kind == "LSTM":
        gates = given + h @ r.T + rb
        i, o, f, new = (gates[:, j * k : (j + 1) * k] for j in range(4))
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(new)
        return sigmoid(o) * np.tanh(cell), cell
    z = sigmoid(given[:, :k] + h @ r[:k].T + rb[:k])
    reset = sigmoid(given[:, k : 2 * k] + h @ r[k : 2 * k].T + rb[k : 2 * k])
    if after:
        recalled = reset * (h @ r[2 * k :].T + rb[2 * k :])
    else:
        recalled = (reset * h) @ r[2 * k :].T + rb[2 * k :]
    return (1 - z) * np.tanh(given[:, 2 * k :] + recalled) + z * h, cell


def loop(
    kind: str,
    x: np.ndarray,
    weights: dict[str, np.ndarray],
    backwards: tuple[bool, ...],
    start: np.ndarray | None = None,
    lengths: Any = None,
    after: bool = False,
) -> list[np.ndarray]:
    x = x.astype(np.float64)
    length, n = x.shape[:2]
    y = np.zeros((length, len(backwards), n, HIDDEN))
    ends, cells = np.zeros((2, len(backwards), n, HIDDEN))
    lengths = [length] * n if lengths is None else lengths
    for d, back in enumerate(backwards):
        w, r, b = (weights[key][d].astype(np.float64) for key in ("w", "r", "b"))
        half = len(b) // 2
        for i in range(n):
            h = np.zeros((1, HIDDEN)) if start is None else start[d, i : i + 1].astype(np.float64)
            cell = np.zeros((1, HIDDEN))
            steps = range(lengths[i])
            for t in reversed(steps) if back else steps:
                given = x[t, i : i + 1] @ w.T + b[:half]
                h, cell = step(kind, given, h, r, b[half:], cell, after)
                y[t, d, i] = h[0]
            ends[d, i], cells[d, i] = h[0], cell[0]
    return [y, ends, *([cells] if kind == "LSTM" else [])]


@pytest.mark.parametrize("direction", list(DIRECTIONS))
@pytest.mark.parametrize(("kind", "after"), [("LSTM", 0), ("GRU", 0), ("GRU", 1), ("RNN", 0)])
def test_known_weights_and_weights_as_inputs_agree_with_a_loop(kind: str, after: int, direction: str) -> None:
    backwards = DIRECTIONS[direction]
    weights = weights_of(kind, len(backwards))
    x = np.random.default_rng(9).normal(size=(LENGTH, N, WIDTH)).astype(np.float32)
    extra = {"linear_before_reset": after} if kind == "GRU" else {}
    call = node(kind, "x w r b", "y h", hidden_size=HIDDEN, direction=direction, **extra)
    expected = loop(kind, x, weights, backwards, after=bool(after))
    known = run_model(model([call], "x", "y h", weights=weights), [x])
    inputs = run_model(model([call], "x w r b", "y h"), [x, *weights.values()])
    for way in (known, inputs):
        assert [a.dtype for a in way] == [np.float32] * 2
        for got, want in zip(way, expected[:2], strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", list(GATES))
def test_initial_states_lengths_and_batch_first(kind: str) -> None:
    rng = np.random.default_rng(4)
    weights = weights_of(kind, 2)
    x = rng.normal(size=(LENGTH, N, WIDTH)).astype(np.float32)
    start = rng.normal(size=(2, N, HIDDEN)).astype(np.float32)
    lengths = np.array([5, 2, 3], np.int32)
    outputs = "y h c" if kind == "LSTM" else "y h"
    call = node(kind, "x w r b l s", outputs, hidden_size=HIDDEN, direction="bidirectional")
    got = run_model(model([call], "x l s", outputs, weights=weights), [x, lengths, start])
    expected = loop(kind, x, weights, (False, True), start, lengths)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    first = node(kind, "x w r b l s", outputs, hidden_size=HIDDEN, direction="bidirectional", layout=1)
    raw = model([first], "x l s", outputs, weights=weights)
    turned = run_model(raw, [x.transpose(1, 0, 2), lengths, start.transpose(1, 0, 2)])
    np.testing.assert_allclose(turned[0].transpose(1, 2, 0, 3), got[0], rtol=1e-5, atol=1e-7)
    for a, b in zip(turned[1:], got[1:], strict=True):
        np.testing.assert_allclose(a.transpose(1, 0, 2), b, rtol=1e-5, atol=1e-7)


def test_last_cells_are_those_of_the_unrolled_way_and_zeros_to_start_change_nothing() -> None:
    weights = weights_of("LSTM", 1) | {"z": np.zeros((1, N, HIDDEN), np.float32)}
    x = np.random.default_rng(5).normal(size=(LENGTH, N, WIDTH)).astype(np.float32)
    bare = run_model(
        model([node("LSTM", "x w r b", "y h c", hidden_size=2)], "x", "y h c", weights=weights), [x]
    )
    call = node("LSTM", "x w r b _ z z", "y h", hidden_size=2)
    zeros = run_model(model([call], "x", "y h", weights=weights), [x])
    for got, want in zip(bare, loop("LSTM", x, weights, (False,)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(zeros[0], bare[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(zeros[1], bare[1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", list(GATES))
def test_the_gradient_is_the_slope(kind: str) -> None:
    weights = weights_of(kind, 2)
    rng = np.random.default_rng(6)
    x, way = (rng.normal(size=(LENGTH, N, WIDTH)).astype(np.float32) for _ in range(2))
    call = node(kind, "x w r b", "y h", hidden_size=HIDDEN, direction="bidirectional")
    run = differentiable(model([call], "x", "y", weights=weights))
    slope = (grad(lambda t: (run(t) ** 2).sum())(Tensor(x)).numpy() * way).sum()
    total = [
        (loop(kind, x.astype(np.float64) + s * way, weights, (False, True))[0] ** 2).sum()
        for s in (1e-5, -1e-5)
    ]
    np.testing.assert_allclose(slope, (total[0] - total[1]) / 2e-5, rtol=1e-4)


def test_activations_take_their_numbers_in_order() -> None:
    weights = weights_of("RNN", 2)
    x = np.random.default_rng(7).normal(size=(1, N, WIDTH)).astype(np.float32)
    call = node(
        "RNN", "x w r b", "y", hidden_size=HIDDEN, direction="bidirectional",
        activations=["Affine", "LeakyRelu"], activation_alpha=[2.0, 0.5], activation_beta=[-1.0],
    )  # fmt: skip
    (y,) = run_model(model([call], "x", "y", weights=weights), [x])
    gates = [x[0] @ weights["w"][d].T + weights["b"][d][:2] + weights["b"][d][2:] for d in range(2)]
    np.testing.assert_allclose(y[0, 0], 2 * gates[0] - 1, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y[0, 1], np.where(gates[1] > 0, gates[1], gates[1] / 2), rtol=1e-5, atol=1e-6)


def test_long_sequences_are_refused_before_they_become_a_network(tmp_path: Path) -> None:
    w = {"w": np.zeros((1, 8, 1), np.float32), "r": np.zeros((1, 8, 2), np.float32)}
    call = onnx_models.node("LSTM", ["x", "w", "r"], ["", "", "out"], hidden_size=2, layout=1)
    end = onnx_models.node("Flatten", ["out"], ["scores"])
    proto = onnx_models.make([call, end], {"x": ("n", 5_000, 1)}, {"scores": ("n", 2)}, w)
    path = onnx_models.write(proto, tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match="LSTM over 5000 steps with options that no layer has"):
        armour.load(path, bounds=(0, 1))
    assert np.isfinite(run_model(path, [np.zeros((1, 5_000, 1), np.float32)])[0]).all()


def test_what_does_not_fit_is_told() -> None:
    weights = weights_of("LSTM", 1)
    x = np.zeros((LENGTH, N, WIDTH + 1), np.float32)
    raw = model([node("LSTM", "x w r b", "y", hidden_size=2)], "x", "y", weights=weights)
    with pytest.raises(CheckpointError, match="for 5 features"):
        run_model(raw, [x])
    with pytest.raises(UnsupportedError, match="a sequence of 0 steps"):
        run_model(raw, [np.zeros((0, N, WIDTH), np.float32)])
    call = node("RNN", "x w r b", "y", hidden_size=2, activations=["Swish"])
    with pytest.raises(UnsupportedError, match="the activation 'Swish'"):
        run_model(model([call], "x", "y", weights=weights_of("RNN", 1)), [x[..., :WIDTH]])
