"""Activations that ONNX files spell out: found, with the same numbers and slopes; others are left alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import arrays, make, node, write

import armour
from armour.formats.onnx_import import run_model

Steps = list[tuple[str, list[Any], dict[str, Any]]]
SQRT_HALF, ROOT, CUBE = math.sqrt(0.5), math.sqrt(2 / math.pi), 0.044715
# Each step makes the value of its number; "x" is the input, a string of digits a step, a float a constant.
HARDSWISH: Steps = [("Add", ["x", 3.0], {}), ("Clip", ["0", 0.0, 6.0], {})]
TANH: Steps = [
    ("Mul", ["x", CUBE], {}), ("Mul", ["0", "x"], {}), ("Mul", ["x", "1"], {}), ("Add", ["x", "2"], {}),
    ("Mul", [ROOT, "3"], {}), ("Tanh", ["4"], {}), ("Add", [1.0, "5"], {}),
]  # fmt: skip
POWER: Steps = [
    ("Pow", ["x", 3.0], {}), ("Mul", ["0", CUBE], {}), ("Add", ["1", "x"], {}), ("Mul", ["2", ROOT], {}),
    ("Tanh", ["3"], {}), ("Add", ["4", 1.0], {}), ("Mul", ["x", 0.5], {}), ("Mul", ["6", "5"], {}),
]  # fmt: skip
ERF: Steps = [("Div", ["x", math.sqrt(2)], {}), ("Erf", ["0"], {}), ("Add", ["1", 1.0], {})]
SHARE = {"alpha": 1 / 6, "beta": 0.5}
FOUND: dict[str, tuple[str, Steps]] = {
    "paddle": ("Hardswish", [*HARDSWISH, ("Mul", ["x", "1"], {}), ("Div", ["2", 6.0], {})]),
    "share first": ("Hardswish", [*HARDSWISH, ("Mul", ["1", 1 / 6], {}), ("Mul", ["2", "x"], {})]),
    "torch": ("Hardswish", [("HardSigmoid", ["x"], SHARE), ("Mul", ["x", "0"], {})]),
    "silu": ("SiLU", [("Sigmoid", ["x"], {}), ("Mul", ["0", "x"], {})]),
    "erf": ("GELU", [*ERF, ("Mul", ["x", "2"], {}), ("Mul", ["3", 0.5], {})]),
    "erf times": ("GELU", [("Mul", ["x", SQRT_HALF], {}), *ERF[1:], ("Mul", ["2", 0.5], {}),
                           ("Mul", ["x", "3"], {})]),
    "tanh": ("GELU", [*TANH, ("Mul", ["6", 0.5], {}), ("Mul", ["7", "x"], {})]),
    "tanh by a power": ("GELU", POWER),
}  # fmt: skip
LEFT: dict[str, Steps] = {
    "another limit": [("Add", ["x", 3.0], {}), ("Clip", ["0", 0.0, 5.0], {}), ("Mul", ["x", "1"], {}),
                      ("Div", ["2", 6.0], {})],
    "another shift": [("Add", ["x", 2.0], {}), ("Clip", ["0", 0.0, 6.0], {}), ("Mul", ["x", "1"], {}),
                      ("Div", ["2", 6.0], {})],
    "another share": [*HARDSWISH, ("Mul", ["x", "1"], {}), ("Div", ["2", 5.0], {})],
    "divided by it": [("Sigmoid", ["x"], {}), ("Div", ["x", "0"], {})],
    "its square": [("Sigmoid", ["x"], {}), ("Mul", ["x", "0"], {}), ("Mul", ["1", "x"], {})],
    "of another value": [("Mul", ["x", "x"], {}), ("Sigmoid", ["0"], {}), ("Mul", ["x", "1"], {})],
    "without the half": [*ERF, ("Mul", ["x", "2"], {})],
    "another width": [("Div", ["x", 1.5], {}), *ERF[1:], ("Mul", ["x", "2"], {}), ("Mul", ["3", 0.5], {})],
    "the slope of a hard sigmoid": [("HardSigmoid", ["x"], {"alpha": 0.2}), ("Mul", ["x", "0"], {})],
}  # fmt: skip


def spelled(steps: Steps, constants: bool = False) -> Any:
    """Linear, the steps, linear."""
    weights: dict[str, np.ndarray] = arrays(first=(6, 8), last=(8, 3))
    nodes = [node("MatMul", ["in", "first"], ["x"])]
    for number, (op, inputs, attrs) in enumerate(steps):
        names = []
        for i, given in enumerate(inputs):
            name = f"v{given}" if isinstance(given, str) and given != "x" else given
            if isinstance(given, float):
                name = f"c{number}_{i}"
                if constants:
                    nodes.append(node("Constant", [], [name], value_float=given))
                else:
                    weights[name] = np.array(given, np.float32)
            names.append(name)
        nodes.append(node(op, names, [f"v{number}"], **attrs))
    nodes.append(node("MatMul", [f"v{len(steps) - 1}", "last"], ["out"]))
    return make(nodes, {"in": ("n", 6)}, {"out": ("n", 3)}, weights)


def check(proto: Any, tmp_path: Path) -> list[str]:
    """Numbers as operator by operator, the gradient as by differences; the layers that are no products."""
    model = armour.load(write(proto, tmp_path / "model.onnx"), bounds=(-2, 2))
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.9, 1.9, (5, 6)).astype(np.float32)
    (want,) = run_model(proto.SerializeToString(), [x])
    np.testing.assert_allclose(model.logits(x), want, rtol=1e-4, atol=1e-4 * np.abs(want).max())
    y = np.arange(5) % 3
    _, slope = model.loss_gradient(x, y)

    def loss(at: np.ndarray) -> np.ndarray:
        (z,) = run_model(proto.SerializeToString(), [at])
        z = z.astype(np.float64)
        picked: np.ndarray = np.log(np.exp(z - z[np.arange(5), y][:, None]).sum(axis=1))
        return picked

    v = rng.standard_normal(x.shape).astype(np.float32)
    step = np.float32(2e-3)
    found = (loss(x + step * v) - loss(x - step * v)) / (2 * step)
    np.testing.assert_allclose((slope * v).sum(axis=1), found, rtol=0.02, atol=0.02 * np.abs(found).max())
    return [n.type for n in model.graph.nodes]


@pytest.mark.parametrize("constants", [False, True])
@pytest.mark.parametrize("name", FOUND)
def test_found(name: str, constants: bool, tmp_path: Path) -> None:
    kind, steps = FOUND[name]
    types = check(spelled(steps, constants), tmp_path)
    assert types.count(kind) == 1 and not {"Sigmoid", "Hardsigmoid", "Hardtanh", "erf", "Tanh"} & set(types)


@pytest.mark.parametrize("name", LEFT)
def test_left(name: str, tmp_path: Path) -> None:
    types = check(spelled(LEFT[name]), tmp_path)
    assert not {"Hardswish", "GELU"} & set(types) and ("SiLU" in types) == (name == "its square")


def test_pieces_that_something_else_reads(tmp_path: Path) -> None:
    steps: Steps = [*FOUND["silu"][1], ("Add", ["0", "1"], {})]
    types = check(spelled(steps), tmp_path)
    assert types.count("SiLU") == types.count("Sigmoid") == 1
