"""Sorting and what it picks, running extremes, products: NumPy, ties, NaN, zeros, brute force."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armour import tensor
from armour.errors import InvalidArgument
from armour.tensor import Tensor, grad
from armour.tensor.gradcheck import check_grads

RNG = np.random.default_rng(0)
X = RNG.permutation(60).reshape((3, 4, 5)) / 7.0
TIES = RNG.integers(0, 3, (6, 9)).astype(float)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("descending", [False, True])
def test_sort_and_argsort(axis: int, descending: bool) -> None:
    order = np.sort(X, axis=axis)
    expected = np.flip(order, axis) if descending else order
    np.testing.assert_array_equal(tensor.sort(X, axis, descending).numpy(), expected)
    index = tensor.argsort(X, axis, descending)
    np.testing.assert_array_equal(np.take_along_axis(X, index.numpy(), axis), expected)
    check_grads(lambda x: tensor.sort(x, axis, descending) ** 2, X, order=2, rng=np.random.default_rng(1))


@pytest.mark.parametrize("descending", [False, True])
def test_equal_elements_keep_their_order(descending: bool) -> None:
    found = tensor.argsort(TIES, 1, descending).numpy()
    for row, index in zip(TIES, found, strict=True):
        keyed = sorted(range(9), key=lambda i: (-row[i] if descending else row[i], i))
        assert index.tolist() == keyed


def test_nan_is_larger_than_any_number() -> None:
    x = np.array([1.0, np.nan, np.inf, -1.0])
    assert tensor.argsort(x).numpy().tolist() == [3, 0, 2, 1]
    assert tensor.argsort(x, descending=True).numpy().tolist() == [1, 2, 0, 3]
    assert tensor.topk(x, 2)[1].numpy().tolist() == [1, 2]


def test_topk_and_kthvalue() -> None:
    values, index = tensor.topk(X, 2, axis=1)
    np.testing.assert_array_equal(values.numpy(), np.flip(np.sort(X, axis=1), 1)[:, :2])
    np.testing.assert_array_equal(np.take_along_axis(X, index.numpy(), 1), values.numpy())
    low, _ = tensor.topk(X, 2, axis=1, largest=False)
    np.testing.assert_array_equal(low.numpy(), np.sort(X, axis=1)[:, :2])
    third, where = tensor.kthvalue(X, 3, axis=2)
    np.testing.assert_array_equal(third.numpy(), np.sort(X, axis=2)[:, :, 2])
    np.testing.assert_array_equal(np.take_along_axis(X, where.numpy()[..., None], 2)[..., 0], third.numpy())
    assert tensor.topk(X, 0)[0].shape == (3, 4, 0)
    g = grad(lambda x: (tensor.topk(x, 2, axis=0)[0] * np.array([[[3.0]], [[5.0]]])).sum())(X).numpy()
    order = np.argsort(-X, axis=0)
    expected = np.zeros(X.shape)
    np.put_along_axis(expected, order[:1], 3.0, 0)
    np.put_along_axis(expected, order[1:2], 5.0, 0)
    np.testing.assert_array_equal(g, expected)


@pytest.mark.parametrize("q", [0.0, 0.1, 0.25, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_quantiles(q: float, axis: int) -> None:
    np.testing.assert_allclose(tensor.quantile(X, q, axis).numpy(), np.quantile(X, q, axis=axis), rtol=1e-12)
    kept = tensor.quantile(X, q, axis, keepdims=True).numpy()
    np.testing.assert_allclose(kept, np.quantile(X, q, axis=axis, keepdims=True), rtol=1e-12)
    np.testing.assert_array_equal(tensor.median(X, axis).numpy(), np.median(X, axis=axis))
    check_grads(lambda x: tensor.quantile(x, q, axis) ** 2, X, order=2, rng=np.random.default_rng(1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tensor.topk(X, 6), "k up to 5"),
        (lambda: tensor.topk(X, -1), "at or above 0"),
        (lambda: tensor.kthvalue(X, 5, axis=1), "k from 1 to 4"),
        (lambda: tensor.quantile(X, 1.5), "q in"),
        (lambda: tensor.quantile(X[:0], 0.5, axis=0), "at least one element"),
        (lambda: tensor.sort(X, 3), "an axis from -3 to 2, got 3"),
        (lambda: tensor.cumprod(1.0, 0), "an axis"),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        call()


# -- running extremes -----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0, 2.0, math.nan, math.inf]), min_size=1, max_size=17))
def test_running_extremes_follow_the_loop(line: list[float]) -> None:
    for function, better in (
        (tensor.cummax, lambda a, b: a >= b),
        (tensor.cummin, lambda a, b: a <= b),
    ):
        values, index = function(np.array([line, line[::-1]]), 1)
        best = 0
        for i, v in enumerate(line):
            if math.isnan(v) or better(v, line[best]):
                best = i
            assert index.numpy()[0, i] == best
            np.testing.assert_equal(values.numpy()[0, i], line[best])


def test_running_extremes_send_the_gradient_to_where_it_comes_from() -> None:
    x = np.array([1.0, 3.0, 2.0, 3.0])
    g = grad(lambda t: (tensor.cummax(t, 0)[0] * np.array([1.0, 10.0, 100.0, 1000.0])).sum())(x)
    assert g.numpy().tolist() == [1.0, 110.0, 0.0, 1000.0]
    check_grads(lambda t: tensor.cummin(t, 1)[0] ** 2, X, order=2, rng=np.random.default_rng(1))


# -- products -------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 3.0]), min_size=1, max_size=7), st.integers(0, 99))
def test_gradients_of_products_are_right_where_factors_are_zero(line: list[float], seed: int) -> None:
    x, n = np.array(line), len(line)
    g = grad(tensor.prod)(x).numpy()
    np.testing.assert_allclose(g, [np.prod(np.delete(x, i)) for i in range(n)])
    weights = np.random.default_rng(seed).standard_normal(n)
    g = grad(lambda t: (tensor.cumprod(t, 0) * weights).sum())(x).numpy()
    expected = [sum(weights[i] * np.prod(np.delete(x[: i + 1], k)) for i in range(k, n)) for k in range(n)]
    np.testing.assert_allclose(g, expected, rtol=1e-12, atol=1e-12)
    v = np.random.default_rng(seed + 1).standard_normal(n)
    second = tensor.hvp(tensor.prod, x, v).numpy()
    twice = [sum(v[j] * np.prod(np.delete(x, [i, j])) for j in range(n) if j != i) for i in range(n)]
    np.testing.assert_allclose(second, twice, rtol=1e-12, atol=1e-12)


def test_third_derivatives_of_running_products_with_zeros() -> None:
    x = X[:, 0] / 8.0
    x[1, 2] = x[2, 2] = x[0, 4] = 0.0
    for function in (lambda t: tensor.cumprod(t, 1), lambda t: tensor.prod(t, 1, keepdims=True)):
        check_grads(function, x, order=3, rng=np.random.default_rng(1))


def test_scan_is_a_loop_with_gradients() -> None:
    xs, decay = RNG.standard_normal((6, 3)), np.array([0.5, 0.9, -0.3])

    def run(inputs: Any, factor: Any) -> tuple[Any, Tensor]:
        return tensor.scan(lambda s, x: (s * factor + x, s * 2.0), Tensor(np.zeros(3)), inputs)

    last, ys = run(xs, Tensor(decay))
    state = np.zeros(3)
    for i in range(6):
        np.testing.assert_allclose(ys.numpy()[i], 2 * state)
        state = state * decay + xs[i]
    np.testing.assert_allclose(last.numpy(), state)
    check_grads(lambda a, b: run(a, b)[0] * run(a, b)[1], xs, decay, order=2, rng=np.random.default_rng(1))
    across = tensor.scan(lambda s, x: (s, x), None, xs, axis=1)[1]
    np.testing.assert_array_equal(across.numpy(), xs)
    with pytest.raises(InvalidArgument, match="at least one slice"):
        tensor.scan(lambda s, x: (s, x), 0.0, np.zeros((0, 3)))


def test_stop_gradient_keeps_the_value_and_ends_the_gradient() -> None:
    x = Tensor(np.array([2.0, 3.0]), requires_grad=True)
    y = x * tensor.stop_gradient(x)
    y.sum().backward()
    assert y.numpy().tolist() == [4.0, 9.0] and x.grad.numpy().tolist() == [2.0, 3.0]
    assert not tensor.stop_gradient(x).requires_grad
