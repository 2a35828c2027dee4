"""ONNX operators against PyTorch: recurrence, resizing, sampling, attention, transforms, quantising, loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from armour.formats.onnx_import import run_model
from armour.tensor import Tensor, grad
from tests.onnx_graphs import differentiable, model, node

# Places of PyTorch's gates in ONNX's order: input, output, forget, cell; update, reset, hidden.
ORDERS = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}
WIDTH, HIDDEN, LENGTH, N = 5, 4, 6, 3


def array(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def run(op: str, inputs: list[np.ndarray], opset: int = 17, count: int = 1, **attrs: Any) -> list[np.ndarray]:
    names = " ".join(f"i{k}" for k in range(len(inputs)))
    outputs = " ".join(f"o{k}" for k in range(count))
    return run_model(model([node(op, names, outputs, **attrs)], names, outputs, opset), inputs)


def close(got: np.ndarray, wanted: torch.Tensor, tolerance: float = 1e-5) -> None:
    want = wanted.detach().numpy()
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(
        got, want, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(want).max()))
    )


def gates(kind: str, rows: torch.Tensor) -> np.ndarray:
    parts = rows.detach().numpy().reshape(len(ORDERS[kind]), HIDDEN, -1)
    return parts[ORDERS[kind]].reshape(len(ORDERS[kind]) * HIDDEN, -1)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", list(ORDERS))
def test_a_layer_of_torch_is_the_operator_with_its_gates_in_another_order(kind: str, both: bool) -> None:
    torch.manual_seed(0)
    layer = getattr(torch.nn, kind)(WIDTH, HIDDEN, bidirectional=both)
    ends = ["_l0", "_l0_reverse"][: 1 + both]
    weights = {
        "w": np.stack([gates(kind, getattr(layer, f"weight_ih{e}")) for e in ends]),
        "r": np.stack([gates(kind, getattr(layer, f"weight_hh{e}")) for e in ends]),
        "b": np.stack([
            np.concatenate([gates(kind, getattr(layer, f"bias_{p}{e}"))[:, 0] for p in ("ih", "hh")])
            for e in ends
        ]),
    }  # fmt: skip
    attrs: dict[str, Any] = {"hidden_size": HIDDEN, "direction": "bidirectional" if both else "forward"}
    if kind == "GRU":
        attrs["linear_before_reset"] = 1
    x, h, c = array(1, LENGTH, N, WIDTH), array(2, 1 + both, N, HIDDEN), array(3, 1 + both, N, HIDDEN)
    first = torch.from_numpy(h)
    state = (first, torch.from_numpy(c)) if kind == "LSTM" else first
    for start, names in ((None, "x w r b"), (state, "x w r b _ h c" if kind == "LSTM" else "x w r b _ h")):
        y, last = layer(torch.from_numpy(x)) if start is None else layer(torch.from_numpy(x), start)
        raw = model(
            [node(kind, names, "y last", **attrs)], "x", "y last", weights={**weights, "h": h, "c": c}
        )
        got = run_model(raw, [x])
        close(got[0].transpose(0, 2, 1, 3).reshape(LENGTH, N, -1), y)
        close(got[1], last[0] if kind == "LSTM" else last)
    t = torch.from_numpy(x).requires_grad_()
    (layer(t)[0] ** 2).sum().backward()
    raw = model([node(kind, "x w r b", "y", **attrs)], "x", "y", weights=weights)
    close(grad(lambda v: (differentiable(raw)(v) ** 2).sum())(Tensor(x)).numpy(), t.grad)


CORNERS = {"coordinate_transformation_mode": "align_corners"}
FLOOR = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
SMOOTH = {"antialias": 1, "exclude_outside": 1}


@pytest.mark.parametrize("size", [(9, 4), (3, 11), (6, 7)])
@pytest.mark.parametrize(
    ("mode", "attrs", "settings"),
    [
        ("nearest", FLOOR, {}),
        ("nearest-exact", {"nearest_mode": "round_prefer_ceil"}, {}),
        ("bilinear", {"mode": "linear"}, {"align_corners": False}),
        ("bilinear", {"mode": "linear"} | CORNERS, {"align_corners": True}),
        ("bilinear", {"mode": "linear"} | SMOOTH, {"align_corners": False, "antialias": True}),
        ("bicubic", {"mode": "cubic"}, {"align_corners": False}),
        ("bicubic", {"mode": "cubic"} | CORNERS, {"align_corners": True}),
        ("bicubic", {"mode": "cubic", "cubic_coeff_a": -0.5} | SMOOTH, {"antialias": True}),
    ],
)
def test_resizing(mode: str, attrs: dict[str, Any], settings: dict[str, Any], size: tuple[int, int]) -> None:
    x = array(4, 2, 3, 6, 7)
    raw = model(
        [node("Resize", "x _ _ s", "y", **attrs)], "x", "y", 18, weights={"s": np.array([2, 3, *size])}
    )
    close(run_model(raw, [x])[0], F.interpolate(torch.from_numpy(x), size, mode=mode, **settings))


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize(
    ("mode", "axes"), [("bilinear", 2), ("nearest", 2), ("bicubic", 2), ("bilinear", 3), ("nearest", 3)]
)
def test_sampling_on_a_grid_with_gradients_for_both(mode: str, axes: int, padding: str, align: bool) -> None:
    x = array(5, 2, 3, *(5, 6, 4)[:axes])
    places = np.random.default_rng(6).uniform(-1.4, 1.4, (2, *(3, 4, 2)[:axes], axes)).astype(np.float32)
    name = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    attrs = {"mode": name, "padding_mode": padding, "align_corners": int(align)}
    raw = model([node("GridSample", "x g", "y", **attrs)], "x g", "y", 20)
    a, b = (torch.from_numpy(v).requires_grad_() for v in (x, places))
    want = F.grid_sample(a, b, mode, padding, align)
    close(run_model(raw, [x, places])[0], want)
    (want**2).sum().backward()
    close(grad(lambda v: (differentiable(raw, g=places)(v) ** 2).sum())(Tensor(x)).numpy(), a.grad, 1e-4)
    if mode != "nearest":
        got = grad(lambda v: (differentiable(raw, x=x)(v) ** 2).sum())(Tensor(places)).numpy()
        close(got, b.grad, 1e-4)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("align", [False, True])
def test_affine_grids(axes: int, align: bool) -> None:
    theta, size = array(7, 2, axes, axes + 1), [2, 3, 4, 5, 6][: 2 + axes]
    got = run("AffineGrid", [theta, np.array(size)], 20, align_corners=int(align))[0]
    close(got, F.affine_grid(torch.from_numpy(theta), size, align))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("groups", [4, 2])
def test_attention(causal: bool, groups: int) -> None:
    q, k, v = array(8, 2, 4, 5, 6), array(9, 2, groups, 7, 6), array(10, 2, groups, 7, 3)
    mask = np.random.default_rng(11).uniform(size=(5, 7)) > 0.3
    mask[:, 0] = True
    t = [torch.from_numpy(a) for a in (q, k, v)]
    t[1:] = [a.repeat_interleave(4 // groups, 1) for a in t[1:]]
    if causal:
        close(
            run("Attention", [q, k, v], 24, is_causal=1)[0],
            F.scaled_dot_product_attention(*t, is_causal=True),
        )
    else:
        want = F.scaled_dot_product_attention(*t, attn_mask=torch.from_numpy(mask))
        close(run("Attention", [q, k, v, mask], 24)[0], want)
    flat = [a.transpose(0, 2, 1, 3).reshape(2, a.shape[2], -1) for a in (q, k, v)]
    got = run("Attention", flat, 24, q_num_heads=4, kv_num_heads=groups)[0]
    close(got, F.scaled_dot_product_attention(*t).transpose(1, 2).reshape(2, 5, -1))


@pytest.mark.parametrize("length", [6, 7, 4, 9])
def test_fourier_transforms(length: int) -> None:
    x = array(12, 3, 6, 2)
    z = torch.view_as_complex(torch.from_numpy(x))
    n, axis = np.array(length), np.array(-2)
    close(run("DFT", [x, n, axis], 20)[0], torch.view_as_real(torch.fft.fft(z, length)))
    close(run("DFT", [x, n, axis], 20, inverse=1)[0], torch.view_as_real(torch.fft.ifft(z, length)))
    real = run("DFT", [x[..., :1], n, axis], 20, onesided=1)[0]
    close(real, torch.view_as_real(torch.fft.rfft(z.real, length)))
    close(run("DFT", [x, n, axis], 20, onesided=1, inverse=1)[0][..., 0], torch.fft.irfft(z, length))


def test_short_transforms_with_a_window() -> None:
    x, window = array(13, 2, 40), run("HannWindow", [np.array(8)])[0]
    close(window, torch.hann_window(8))
    want = torch.stft(
        torch.from_numpy(x), 8, 3, window=torch.from_numpy(window), center=False, return_complex=True
    )
    got = run("STFT", [x, np.array(3), window])[0]
    close(got, torch.view_as_real(want).transpose(1, 2).contiguous())


def test_a_quantised_pair_and_its_gradient() -> None:
    x, scale, zero = 3 * array(14, 4, 5), np.float32(0.02), np.uint8(100)
    nodes = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "y")]
    run_ = differentiable(model(nodes, "x", "y", weights={"s": scale, "z": zero}))
    t = torch.from_numpy(x).requires_grad_()
    want = torch.fake_quantize_per_tensor_affine(t, float(scale), int(zero), 0, 255)
    close(run_(Tensor(x)).numpy(), want, 1e-6)
    (want**2).sum().backward()
    close(grad(lambda v: (run_(v) ** 2).sum())(Tensor(x)).numpy(), t.grad, 1e-5)


@pytest.mark.parametrize("how", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses(how: str, weighted: bool) -> None:
    scores, labels, weight = (
        array(15, 4, 3, 2),
        np.array([[0, 2], [1, 1], [-1, 0], [2, 2]]),
        np.float32([1, 0.5, 2]),
    )
    more = [weight] if weighted else []
    settings = {
        "weight": torch.from_numpy(weight) if weighted else None,
        "ignore_index": -1,
        "reduction": how,
    }
    t = torch.from_numpy(scores)
    got = run("SoftmaxCrossEntropyLoss", [scores, labels, *more], count=2, reduction=how, ignore_index=-1)
    close(got[0], F.cross_entropy(t, torch.from_numpy(labels), **settings))
    close(got[1], F.log_softmax(t, 1))
    logs = F.log_softmax(t, 1)
    got = run("NegativeLogLikelihoodLoss", [logs.numpy(), labels, *more], reduction=how, ignore_index=-1)
    close(got[0], F.nll_loss(logs, torch.from_numpy(labels), **settings))


def test_unpooling_and_columns() -> None:
    x = array(16, 2, 3, 6, 8)
    pooled, places = F.max_pool2d(torch.from_numpy(x), 2, return_indices=True)
    spread = places + torch.arange(6).reshape(2, 3, 1, 1) * 48  # PyTorch counts within an image
    got = run("MaxUnpool", [pooled.numpy(), spread.numpy()], kernel_shape=[2, 2], strides=[2, 2])[0]
    close(got, F.max_unpool2d(pooled, places, 2))
    columns = F.unfold(torch.from_numpy(x), (2, 3), (2, 1), (1, 2), (2, 1))
    attrs = {"dilations": [2, 1], "pads": [1, 2, 1, 2], "strides": [2, 1]}
    got = run("Col2Im", [columns.numpy(), np.array([6, 8]), np.array([2, 3])], 18, **attrs)[0]
    close(got, F.fold(columns, (6, 8), (2, 3), (2, 1), (1, 2), (2, 1)))
