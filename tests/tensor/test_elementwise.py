"""What element-wise rows do at bends, at ties and with NaN and infinity, as PyTorch does."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest

from armour import tensor
from armour.tensor import Tensor, grad
from armour.tensor.special import erf_values

NAN, INF = math.nan, math.inf


def slope(fn: Any, *x: Any) -> Any:
    """Gradients of the sum of fn for each argument."""
    found = grad(lambda *a: fn(*a).sum(), tuple(range(len(x))))(*(np.asarray(a, np.float64) for a in x))
    return [g.numpy().tolist() for g in found]


def test_relu_is_flat_at_zero_and_keeps_nan() -> None:
    x = [-1.0, -0.0, 0.0, 2.0]
    assert slope(tensor.relu, x) == [[0, 0, 0, 1]]
    assert np.isnan(tensor.relu([NAN, 1.0]).numpy()).tolist() == [True, False]
    assert tensor.relu([-INF, INF]).numpy().tolist() == [0, INF]
    assert slope(tensor.relu, [NAN, INF]) == [[1, 1]]
    assert (Tensor([-1.0, 3.0]).relu()).numpy().tolist() == [0, 3]


def test_clip_passes_the_gradient_on_the_closed_interval() -> None:
    x = [-0.5, 0.0, 0.5, 1.0, 1.5]
    assert slope(lambda t: tensor.clip(t, 0.0, 1.0), x) == [[0, 1, 1, 1, 0]]
    assert slope(lambda t: tensor.clip(t, low=0.0), x) == [[0, 1, 1, 1, 1]]
    assert slope(lambda t: tensor.clip(t, high=1.0), x) == [[1, 1, 1, 1, 0]]
    assert slope(tensor.clip, x) == [[1, 1, 1, 1, 1]]
    assert np.isnan(tensor.clip([NAN], 0.0, 1.0).numpy()).all()
    assert slope(lambda t: tensor.clip(t, 0.0, 1.0), [NAN]) == [[0]]


def test_maximum_and_minimum_split_ties_evenly_and_keep_nan() -> None:
    a, b = [1.0, 2.0, 3.0], [2.0, 2.0, 2.0]
    assert slope(tensor.maximum, a, b) == [[0, 0.5, 1], [1, 0.5, 0]]
    assert slope(tensor.minimum, a, b) == [[1, 0.5, 0], [0, 0.5, 1]]
    for row in (tensor.maximum, tensor.minimum):
        assert np.isnan(row([NAN, 1.0], [1.0, NAN]).numpy()).all()


def test_max_and_min_split_ties_evenly_among_all_that_tie() -> None:
    x = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    assert slope(lambda t: t.max(axis=1), x) == [[[0, 0.5, 0.5], [1 / 3] * 3]]
    assert slope(lambda t: t.min(axis=1), x) == [[[1, 0, 0], [1 / 3] * 3]]


def test_abs_and_sign_are_zero_at_zero() -> None:
    assert slope(abs, [-2.0, 0.0, 3.0]) == [[-1, 0, 1]]
    assert tensor.sign([-2.0, 0.0, 3.0]).numpy().tolist() == [-1, 0, 1]


def test_power_has_finite_gradients_at_zero() -> None:
    assert slope(tensor.power, [0.0, 0.0, 0.0], [0.0, 1.0, 2.0]) == [[0, 1, 0], [0, 0, 0]]
    assert slope(lambda t: t**2.0, [-3.0, 0.0, 3.0]) == [[-6, 0, 6]]
    assert slope(lambda t: t**0.0, [0.0]) == [[0]]


def test_where_stops_nan_on_the_side_not_taken() -> None:
    x = np.array([0.0, 4.0])
    safe = lambda t: tensor.where(t > 0, t, 1.0).log()  # noqa: E731
    assert slope(safe, x) == [[0, 0.25]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_softplus_and_silu_do_not_overflow(dtype: Any) -> None:
    x = np.array([-1e4, -100.0, 0.0, 100.0, 1e4], dtype)
    assert tensor.sigmoid(x).numpy().tolist() == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-12)
    assert tensor.softplus(x).numpy().tolist() == pytest.approx(
        [0, 0, math.log(2), 100, 1e4], rel=1e-6, abs=1e-12
    )
    assert tensor.silu(x).numpy().tolist() == pytest.approx([0, 0, 0, 100, 1e4], abs=1e-12)
    for fn in (tensor.sigmoid, tensor.softplus, tensor.silu, tensor.elu, tensor.gelu):
        g = grad(lambda t, fn=fn: fn(t).sum())(x)
        assert np.isfinite(g.numpy()).all()
        assert g.dtype == dtype


def test_erf_agrees_with_mpmath_to_the_last_digits() -> None:
    x = np.concatenate([np.linspace(-7, 7, 301), 10.0 ** np.arange(-20, 1)])
    expected = np.array([float(mpmath.erf(v)) for v in x])
    np.testing.assert_allclose(tensor.erf(x).numpy(), expected, rtol=5e-16, atol=0)
    single = tensor.erf(x.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single.numpy(), expected, rtol=1e-6)
    special = erf_values(np, np.array([NAN, INF, -INF, 0.0, -0.0]))
    assert np.isnan(special[0])
    assert special[1:].tolist() == [1, -1, 0, 0]
    assert np.signbit(special[4])


@pytest.mark.parametrize("shape", [(40, 7, 50, 9), (3, 30000), (5000, 20), (1, 5000)])
@pytest.mark.parametrize("last", [False, True])
def test_large_arrays_take_other_paths_to_the_same_result(shape: tuple[int, ...], last: bool) -> None:
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal(shape), rng.standard_normal(shape)
    x.ravel()[::17], x.ravel()[5] = 0.0, NAN
    if last:
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    t = Tensor(x, requires_grad=True)
    y = t.relu()
    y.backward(g)
    np.testing.assert_array_equal(y.numpy(), np.maximum(x, 0))
    np.testing.assert_array_equal(t.grad.numpy(), g * ((x > 0) | np.isnan(x)))


def test_relu_keeps_the_memory_order_of_its_input() -> None:
    x = np.ones((2, 5, 7, 300), np.float32).transpose(0, 3, 1, 2)
    y = tensor.relu(x).numpy()
    assert y.strides == x.strides
    assert y.shape == x.shape
