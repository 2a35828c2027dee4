"""Drawn attributes of windows, recurrent networks and resizing: our importer against onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from armour.formats.onnx_import import run_model
from tests.onnx_graphs import model, node

onnxruntime = pytest.importorskip("onnxruntime")
Drawn = tuple[bytes, list[np.ndarray]]
ROUNDS = 40


def theirs(raw: bytes, inputs: list[np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    found: list[np.ndarray] = session.run(None, dict(zip(names, inputs, strict=True)))
    return found


def some(rng: np.random.Generator, low: int, high: int, count: int) -> list[int]:
    return [int(v) for v in rng.integers(low, high + 1, count)]


def array(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def padding(rng: np.random.Generator, axes: int, most: list[int]) -> dict[str, Any]:
    kind = rng.integers(4)
    if kind == 0:
        return {"auto_pad": str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))}
    if kind == 1:
        return {}
    return {"pads": [int(rng.integers(0, most[i % axes] + 1)) for i in range(2 * axes)]}


def conv(rng: np.random.Generator) -> Drawn:
    axes, groups = int(rng.integers(1, 4)), int(rng.choice([1, 1, 2]))
    sizes, kernel = some(rng, 7, 10, axes), some(rng, 1, 3, axes)
    attrs = {"strides": some(rng, 1, 3, axes), "group": groups} | padding(rng, axes, [2] * axes)
    if "auto_pad" not in attrs or attrs["auto_pad"] == "VALID":
        attrs["dilations"] = some(rng, 1, 2, axes)
    weights = {"w": array(rng, 4, 4 // groups, *kernel), "b": array(rng, 4)}
    names = "x w b" if rng.integers(2) else "x w"
    if rng.integers(2):
        return model([node("Conv", names, "y", **attrs)], "x", "y", weights=weights), [
            array(rng, 2, 4, *sizes)
        ]
    given = [weights[n] for n in names.split()[1:]]
    return model([node("Conv", names, "y", **attrs)], names, "y"), [array(rng, 2, 4, *sizes), *given]


def transposed(rng: np.random.Generator) -> Drawn:
    axes, groups = int(rng.integers(1, 4)), int(rng.choice([1, 2]))
    sizes, kernel, strides = some(rng, 3, 6, axes), some(rng, 1, 4, axes), some(rng, 1, 3, axes)
    attrs: dict[str, Any] = {"strides": strides, "group": groups}
    kind = rng.integers(4)
    if kind == 0:  # strides no longer than windows: else the runtime makes less than ONNX's text says
        attrs["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER"]))
        attrs["strides"] = [min(s, k) for s, k in zip(strides, kernel, strict=True)]
    elif kind == 1:
        attrs["output_padding"] = [int(rng.integers(0, s)) for s in strides]
        attrs["dilations"] = some(rng, 1, 2, axes)
    elif kind == 2:
        attrs["pads"] = [int(rng.integers(0, (kernel[i % axes] + 1) // 2)) for i in range(2 * axes)]
    else:
        attrs["output_shape"] = [(n - 1) * s + k for n, s, k in zip(sizes, strides, kernel, strict=True)]
    weights = {"w": array(rng, 4, 6 // groups, *kernel), "b": array(rng, 6)}
    return model([node("ConvTranspose", "x w b", "y", **attrs)], "x", "y", weights=weights), [
        array(rng, 2, 4, *sizes)
    ]


def pool(rng: np.random.Generator) -> Drawn:
    op = str(rng.choice(["MaxPool", "AveragePool"]))
    axes = int(rng.integers(1, 4))
    kernel = some(rng, 1, 3, axes)
    attrs: dict[str, Any] = {"kernel_shape": kernel, "strides": some(rng, 1, 3, axes)}
    attrs |= padding(rng, axes, [k - 1 for k in kernel])
    if "auto_pad" not in attrs:
        attrs["ceil_mode"] = int(rng.integers(2))
    if op == "AveragePool":
        attrs["count_include_pad"] = int(rng.integers(2))
    elif "auto_pad" not in attrs:
        attrs["dilations"] = some(rng, 1, 2, axes)
    return model([node(op, "x", "y", **attrs)], "x", "y"), [array(rng, 2, 3, *some(rng, 7, 10, axes))]


def recurrent(rng: np.random.Generator) -> Drawn:
    kind, hidden, width, length, n = str(rng.choice(["LSTM", "GRU", "RNN"])), 3, 4, 5, 2
    direction = str(rng.choice(["forward", "reverse", "bidirectional"]))
    count, gates = (2 if direction == "bidirectional" else 1), {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    attrs: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    if kind == "GRU":
        attrs["linear_before_reset"] = int(rng.integers(2))
    if rng.integers(2):
        attrs["clip"] = 0.7
    if kind == "LSTM" and rng.integers(2):
        attrs["input_forget"] = 1
    if kind == "RNN" and rng.integers(2):
        attrs["activations"] = [str(rng.choice(["Relu", "Softsign", "HardSigmoid"])) for _ in range(count)]
    weights = {
        "w": array(rng, count, gates * hidden, width),
        "r": array(rng, count, gates * hidden, hidden),
        "b": array(rng, count, 2 * gates * hidden),
        "h": array(rng, count, n, hidden),
        "c": array(rng, count, n, hidden),
        "p": array(rng, count, 3 * hidden),
        "l": rng.integers(1, length + 1, n).astype(np.int32),
    }
    names = ["x", "w", "r", *(name if rng.integers(2) else "_" for name in ("b", "l", "h"))]
    if kind == "LSTM":
        names += [name if rng.integers(2) else "_" for name in ("c", "p")]
    outputs = "y last cell" if kind == "LSTM" and rng.integers(2) else "y last"
    call = node(kind, " ".join(names), outputs, **attrs)
    used = {name: weights[name] for name in names[1:] if name != "_"}
    return model([call], "x", outputs, 14, weights=used), [array(rng, length, n, width)]


def resize(rng: np.random.Generator) -> Drawn:
    mode = str(rng.choice(["nearest", "linear", "cubic"]))
    transforms = ["half_pixel", "asymmetric", "pytorch_half_pixel", "align_corners"]
    attrs: dict[str, Any] = {
        "mode": mode,
        "coordinate_transformation_mode": str(rng.choice(transforms)),
        "nearest_mode": str(rng.choice(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])),
    }
    if mode == "cubic":
        attrs["cubic_coeff_a"] = float(rng.choice([-0.5, -0.75]))
        attrs["exclude_outside"] = int(rng.integers(2))
    weights: dict[str, np.ndarray] = {"sizes": np.array([1, 2, *some(rng, 2, 13, 2)])}
    return model([node("Resize", "x _ _ sizes", "y", **attrs)], "x", "y", weights=weights), [
        array(rng, 1, 2, 6, 7)
    ]


def reduction(rng: np.random.Generator) -> Drawn:
    names = ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2", "ReduceLogSumExp", "ReduceProd"]
    op, opset = str(rng.choice(names)), int(rng.choice([11, 13, 18]))
    axes = np.array(sorted({int(a) for a in rng.integers(-4, 0, rng.integers(1, 4))}), np.int64)
    attrs: dict[str, Any] = {"keepdims": int(rng.integers(2))}
    x = [array(rng, 2, 3, 4, 2)]
    if opset >= (13 if op == "ReduceSum" else 18):
        return model([node(op, "x a", "y", **attrs)], "x", "y", opset, weights={"a": axes}), x
    return model([node(op, "x", "y", axes=axes.tolist(), **attrs)], "x", "y", opset), x


def quantised(rng: np.random.Generator) -> Drawn:
    kind = rng.choice([np.int8, np.uint8])
    axis = int(rng.choice([-1, 0, 1, 2]))
    x = array(rng, 3, 4, 5) * np.float32(3)
    count = x.shape[axis] if rng.integers(2) else 1
    scale = rng.uniform(0.01, 0.1, count).astype(np.float32)
    zero = rng.integers(-20, 100, count).astype(kind)
    weights = {"s": scale if count > 1 else scale[0], "z": zero if count > 1 else zero[0]}
    nodes = [
        node("QuantizeLinear", "x s z", "q", axis=axis),
        node("DequantizeLinear", "q s z", "y", axis=axis),
    ]
    return model(nodes, "x", "y", weights=weights), [x]


def grid(rng: np.random.Generator) -> Drawn:
    attrs = {
        "mode": str(rng.choice(["bilinear", "nearest", "bicubic"])),
        "padding_mode": str(rng.choice(["zeros", "border", "reflection"])),
        "align_corners": int(rng.integers(2)),
    }
    places = rng.uniform(-1.4, 1.4, (2, 4, 3, 2)).astype(np.float32)
    return model([node("GridSample", "x g", "y", **attrs)], "x g", "y", 16), [array(rng, 2, 2, 5, 6), places]


DRAWS = [conv, transposed, pool, recurrent, resize, reduction, quantised, grid]


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.__name__)
def test_drawn_attributes_give_what_onnxruntime_gives(draw: Callable[[np.random.Generator], Drawn]) -> None:
    compared = 0
    for seed in range(ROUNDS):
        raw, inputs = draw(np.random.default_rng(seed))
        try:
            wanted = theirs(raw, inputs)
        except Exception:  # a combination that the runtime refuses
            continue
        got = run_model(raw, inputs)
        for a, b in zip(got, wanted, strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype), seed
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5, err_msg=f"seed {seed}")
        compared += 1
    assert compared >= ROUNDS // 2
