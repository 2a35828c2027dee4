"""Input gradients by lines inside plans: with masks, sums and changed weights, as by operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour.tensor import Tensor, compile, conv2d, cross_entropy, grad, nn, zoo
from armour.tensor.layout import Layout
from armour.tensor.lower_lines import conv_input_grad_by_lines

RNG = np.random.default_rng(0)
# (samples, channels in and out, kernel, padding, size): each of these goes by lines
SHAPES = [
    (9, 1, 3, (5, 5), (2, 2), (9, 8)),
    (8, 2, 3, (3, 5), (0, 2), (5, 6)),
    (70, 6, 16, (5, 5), (0, 0), (14, 14)),
    (8, 1, 2, (2, 2), (3, 3), (4, 4)),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("after", ["nothing", "mask", "sum"])
def test_as_operation_by_operation(shape: Any, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    n, c, o, kernel, padding, size = shape
    w = Tensor(RNG.standard_normal((o, c, *kernel)).astype(np.float32))

    def objective(x: Tensor) -> Tensor:
        inner = x.relu() if after == "mask" else x * 2.0
        out = conv2d(inner, w, padding=padding)
        return (out * out).sum() + ((inner * inner).sum() if after == "sum" else 0.0)

    used: list[bool] = []
    original = Layout.step

    def step(self: Layout, given: Any) -> None:
        if given.row.name == "conv_input_grad":
            used.append(given.inputs[0].shape[0] >= 8)
        original(self, given)

    monkeypatch.setattr(Layout, "step", step)
    slope = compile(grad(objective))
    for _ in range(3):
        x = RNG.standard_normal((n, c, *size)).astype(np.float32)
        expected = grad(objective)(x).numpy()
        np.testing.assert_allclose(slope(x).numpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
        w.data = w.data * np.float32(0.9)
    assert used and all(used)


def test_a_network_uses_it_and_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    from armour.tensor import layout

    results: list[bool] = []

    def counted(plan: Layout, step: Any) -> bool:
        results.append(conv_input_grad_by_lines(plan, step))
        return results[-1]

    kernels = [
        (f, counted if k is conv_input_grad_by_lines else k) for f, k in layout.KERNELS["conv_input_grad"]
    ]
    monkeypatch.setitem(layout.KERNELS, "conv_input_grad", kernels)
    net: nn.Module = zoo.build("lenet5", (1, 28, 28), 10)
    y = RNG.integers(0, 10, 16)
    x = RNG.random((16, 1, 28, 28), np.float32)
    loss = lambda t: cross_entropy(net(t), y).sum()  # noqa: E731
    expected = grad(loss)(x).numpy()
    found = compile(grad(loss))(x).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert results.count(True) >= 2  # both convolutions
