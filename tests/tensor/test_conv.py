"""Convolution kernels against sums written out, over all their attributes, and in any memory order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armour import tensor
from armour.tensor.conv import conv2d_input_grad, conv2d_weight_grad
from armour.tensor.gradcheck import check_grads
from armour.tensor.kernels import numpy_kernels
from tests.tensor import references


@st.composite
def problems(draw: Any) -> dict[str, Any]:
    """Sizes and attributes for which there is at least one output pixel."""
    two = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))  # noqa: E731
    kernel, stride, padding, dilation = two(1, 4), two(1, 3), two(0, 3), two(1, 2)
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    size = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 6))
        for d, k, p in zip(dilation, kernel, padding, strict=True)
    )
    channels = (groups * draw(st.integers(1, 4)), groups * draw(st.integers(1, 4)))
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return {
        "n": draw(st.integers(0, 3)),
        "size": size,
        "kernel": kernel,
        "channels": channels,
        "attrs": attrs,
    }


@settings(max_examples=150, deadline=None)
@given(problems(), st.booleans(), st.integers(0, 2**32 - 1))
def test_the_three_rows_match_their_definitions(problem: dict[str, Any], last: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    (c, o), (kh, kw), attrs = problem["channels"], problem["kernel"], problem["attrs"]
    x = rng.standard_normal((problem["n"], c, *problem["size"]))
    w, b = rng.standard_normal((o, c // attrs["groups"], kh, kw)), rng.standard_normal(o)
    if last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    expected = references.conv2d(x, w, b, **attrs)
    np.testing.assert_allclose(tensor.conv2d(x, w, b, **attrs).numpy(), expected, atol=1e-12)
    g = rng.standard_normal(expected.shape)
    # The gradients are the transposes of a linear function: equal inner products for a random argument.
    dx = conv2d_input_grad(g, w, size=problem["size"], **attrs).numpy()
    dw = conv2d_weight_grad(x, g, kernel=(kh, kw), **attrs).numpy()
    assert dx.shape == x.shape
    assert dw.shape == w.shape
    u, v = rng.standard_normal(x.shape), rng.standard_normal(w.shape)
    np.testing.assert_allclose((dx * u).sum(), (g * references.conv2d(u, w, **attrs)).sum(), atol=1e-9)
    np.testing.assert_allclose((dw * v).sum(), (g * references.conv2d(x, v, **attrs)).sum(), atol=1e-9)


@pytest.mark.parametrize(("channels", "width"), [((1, 6), 28), ((3, 16), 32), ((6, 1), 28), ((16, 3), 12)])
def test_wide_products_change_nothing(
    channels: tuple[int, int], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    c, o = channels
    x, w = rng.standard_normal((2, c, width, width)), rng.standard_normal((o, c, 5, 5))
    attrs: dict[str, Any] = {"stride": (1, 1), "padding": (2, 2), "dilation": (1, 1), "groups": 1}
    g = rng.standard_normal((2, o, width, width))
    results = []
    for block in (None, 1, 2, 4):
        if block is not None:
            monkeypatch.setattr(numpy_kernels, "block_size", lambda *args, block=block: block)
        results.append(
            [
                numpy_kernels.conv2d(np, x, w, None, **attrs),
                numpy_kernels.conv2d_input_grad(np, g, w, (width, width), **attrs),
                numpy_kernels.conv2d_weight_grad(np, x, g, (5, 5), **attrs),
            ]
        )
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-10)


@pytest.mark.parametrize("attrs", [{"padding": 1}, {"stride": (2, 1)}, {"groups": 5, "padding": 1}])
@pytest.mark.parametrize("limit", [1, 2 * 8 * 45 * 8, 3 * 9 * 8 * 45 * 8])
def test_chunks_change_nothing(attrs: dict[str, Any], limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Columns of one line of output at a time, of a few lines, of three samples.
    rng = np.random.default_rng(0)
    x, b = rng.standard_normal((7, 5, 9, 8)), rng.standard_normal(10)
    w = rng.standard_normal((10, 5 // attrs.get("groups", 1), 3, 3))
    both = lambda x, w, b: (tensor.conv2d(x, w, b, **attrs) ** 2.0).sum()  # noqa: E731
    whole = tensor.value_and_grad(both, (0, 1, 2))(x, w, b)
    monkeypatch.setattr(numpy_kernels, "HOST_CHUNK", limit)
    value, grads = tensor.value_and_grad(both, (0, 1, 2))(x, w, b)
    assert value.item() == pytest.approx(whole[0].item(), rel=1e-12)
    for a, c in zip(whole[1], grads, strict=True):
        np.testing.assert_allclose(a.numpy(), c.numpy(), rtol=1e-10, atol=1e-10)


def test_small_products_without_packing_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 16, 20, 20)), rng.standard_normal((16, 16, 3, 3))
    blocks = tensor.conv2d(x, w).numpy()
    monkeypatch.setattr(numpy_kernels, "NARROW", 0)
    np.testing.assert_allclose(tensor.conv2d(x, w).numpy(), blocks, atol=1e-12)


def test_a_result_does_not_depend_on_the_rest_of_the_batch() -> None:
    rng = np.random.default_rng(0)
    x, w = (
        rng.standard_normal((5, 4, 8, 8)).astype(np.float32),
        rng.standard_normal((6, 4, 3, 3)).astype(np.float32),
    )
    whole = tensor.conv2d(x, w, padding=1).numpy()
    for i in range(5):
        np.testing.assert_allclose(
            tensor.conv2d(x[i : i + 1], w, padding=1).numpy()[0], whole[i], rtol=1e-5, atol=1e-6
        )


def test_third_derivatives() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 2, 4, 4)), rng.standard_normal((3, 2, 2, 2))
    check_grads(
        lambda x, w: tensor.conv2d(x, w, stride=2, padding=1) ** 3.0, x, w, order=3, rng=rng, rtol=1e-5
    )


def test_nan_and_infinity_reach_the_outputs_that_see_them() -> None:
    x = np.zeros((1, 1, 6, 6), np.float32)
    x[0, 0, 2, 2] = np.nan
    y = tensor.conv2d(x, np.ones((1, 1, 3, 3), np.float32)).numpy()
    assert np.isnan(y[0, 0, :3, :3]).all()
    assert not np.isnan(y[0, 0, 3:]).any()
