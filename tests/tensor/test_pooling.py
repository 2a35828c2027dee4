"""Pooling: ties, NaN, overlap, padding, memory order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armour import tensor
from armour.tensor import Tensor, grad
from armour.tensor.kernels import numpy_kernels
from tests.tensor import references


def test_the_first_maximum_of_a_window_gets_the_gradient() -> None:
    x = np.array([[1.0, 1.0, 0.0, 2.0], [1.0, 1.0, 2.0, 2.0]]).reshape((1, 1, 2, 4))
    g = grad(lambda t: tensor.max_pool2d(t, 2).sum())(x).numpy()
    assert g.reshape(2, 4).tolist() == [[1, 0, 0, 1], [0, 0, 0, 0]]
    all_equal = grad(lambda t: tensor.global_max_pool2d(t).sum())(np.zeros((1, 1, 3, 3))).numpy()
    assert all_equal.ravel().tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0]


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(0, 4), st.integers(0, 4)),
    st.tuples(st.integers(1, 2), st.integers(1, 3)),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_values_and_gradients_with_many_ties(
    kernel: Any, stride: Any, extra: Any, outer: Any, last: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, (*outer, kernel[0] + extra[0], kernel[1] + extra[1])).astype(float)
    if last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    y = tensor.max_pool2d(x, kernel, stride).numpy()
    np.testing.assert_array_equal(y, references.pooled(x, kernel, stride, np.max))
    g = rng.standard_normal(y.shape)
    found = grad(lambda t: (tensor.max_pool2d(t, kernel, stride) * Tensor(g)).sum())(x).numpy()
    np.testing.assert_allclose(found, references.unpooled(g, x, y, kernel, stride), atol=1e-14)
    mean = tensor.avg_pool2d(x, kernel, stride).numpy()
    np.testing.assert_allclose(mean, references.pooled(x, kernel, stride, np.mean), atol=1e-14)


@pytest.mark.parametrize("kernel", [(1, 2), (1, 3), (2, 3)])
def test_one_line_of_one_sample_is_not_written_to(kernel: tuple[int, int]) -> None:
    # Its windows are one contiguous run of the input, which a kernel may not use to work in.
    x = np.array([5.0, 3.0, 4.0, 1.0, 2.0, 0.0] * kernel[0]).reshape((1, 1, kernel[0], 6))
    before = x.copy()
    y = tensor.max_pool2d(x, kernel, 1).numpy()
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(y, references.pooled(x, kernel, (1, 1), np.max))


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).standard_normal((7, 3, 6, 6))
    both = lambda t: tensor.max_pool2d(t, 2).sum() + (tensor.avg_pool2d(t, 3, 1) ** 2.0).sum()  # noqa: E731
    whole = tensor.value_and_grad(both)(x)
    for limit in (1, 2 * 3 * 36 * 8):
        monkeypatch.setattr(numpy_kernels, "HOST_CHUNK", limit)
        for a, b in zip(whole, tensor.value_and_grad(both)(x), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-13)


def test_nan_wins() -> None:
    x = np.zeros((1, 1, 2, 4), np.float32)
    x[0, 0, 0, 1] = np.nan
    assert np.isnan(tensor.max_pool2d(x, 2).numpy()).ravel().tolist() == [True, False]
    assert np.isnan(tensor.avg_pool2d(x, 2).numpy()).ravel().tolist() == [True, False]
    assert np.isnan(tensor.global_max_pool2d(x).numpy()).all()
    g = grad(lambda t: tensor.max_pool2d(t, 2).sum())(x).numpy()
    assert g[0, 0, :, :2].sum() == 1


def test_padding_of_max_pooling_never_wins_and_of_mean_pooling_counts() -> None:
    x = np.full((1, 1, 3, 3), -5.0)
    assert (tensor.max_pool2d(x, 3, 2, padding=1).numpy() == -5).all()
    assert tensor.avg_pool2d(x, 3, 2, padding=1).numpy()[0, 0, 0, 0] == pytest.approx(-5 * 4 / 9)


def test_global_pooling() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    np.testing.assert_allclose(tensor.global_avg_pool2d(x).numpy(), x.mean(axis=(2, 3)))
    np.testing.assert_array_equal(tensor.global_max_pool2d(x).numpy(), x.max(axis=(2, 3)))
