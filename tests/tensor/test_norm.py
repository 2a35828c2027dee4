"""Normalisation and dropout against their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour import tensor
from armour.errors import InvalidArgument
from armour.tensor import Tensor, grad
from armour.tensor.gradcheck import check_grads
from tests.tensor.references import channels, normalised

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 6, 3, 2))
WEIGHT, BIAS = RNG.uniform(0.5, 1.5, 6), RNG.standard_normal(6)


@pytest.mark.parametrize("x", [X, X[:, :, 0, 0]], ids=["images", "rows"])
def test_batch_norm_of_the_batch(x: Any) -> None:
    axes = (0, *range(2, x.ndim))
    expected = normalised(x, axes, 1e-5) * channels(WEIGHT, x) + channels(BIAS, x)
    np.testing.assert_allclose(tensor.batch_norm(x, WEIGHT, BIAS).numpy(), expected, rtol=1e-10)
    np.testing.assert_allclose(tensor.batch_norm(x).numpy(), normalised(x, axes, 1e-5), rtol=1e-10)
    check_grads(tensor.batch_norm, x, WEIGHT, BIAS, order=2, rng=RNG)


def test_batch_norm_with_given_statistics() -> None:
    mean, var = RNG.standard_normal(6), RNG.uniform(0.5, 2.0, 6)
    plain = (X - channels(mean, X)) / np.sqrt(channels(var, X) + 1e-3)
    np.testing.assert_allclose(tensor.batch_norm(X, mean=mean, var=var, eps=1e-3).numpy(), plain, rtol=1e-10)
    full = plain * channels(WEIGHT, X) + channels(BIAS, X)
    found = tensor.batch_norm(X, WEIGHT, BIAS, mean, var, eps=1e-3)
    np.testing.assert_allclose(found.numpy(), full, rtol=1e-10)
    # One sample alone has the same result: no statistics of the batch are used.
    alone = tensor.batch_norm(X[:1], WEIGHT, BIAS, mean, var, eps=1e-3)
    np.testing.assert_allclose(alone.numpy(), full[:1], rtol=1e-10)
    with pytest.raises(InvalidArgument, match="both mean and var"):
        tensor.batch_norm(X, mean=mean)


def test_layer_norm() -> None:
    weight, bias = RNG.standard_normal((3, 2)), RNG.standard_normal((3, 2))
    expected = normalised(X, (2, 3), 1e-5) * weight + bias
    np.testing.assert_allclose(
        tensor.layer_norm(X, weight, bias, axes=(-2, -1)).numpy(), expected, rtol=1e-10
    )
    np.testing.assert_allclose(tensor.layer_norm(X[0, 0]).numpy(), normalised(X[0, 0], -1, 1e-5), rtol=1e-10)
    check_grads(lambda x, w, b: tensor.layer_norm(x, w, b, (-2, -1)), X, weight, bias, order=2, rng=RNG)


def test_group_norm() -> None:
    split = normalised(X.reshape(4, 3, 2, 3, 2), (2, 3, 4), 1e-5).reshape(X.shape)
    expected = split * channels(WEIGHT, X) + channels(BIAS, X)
    np.testing.assert_allclose(tensor.group_norm(X, 3, WEIGHT, BIAS).numpy(), expected, rtol=1e-10)
    check_grads(lambda x, w, b: tensor.group_norm(x, 3, w, b), X, WEIGHT, BIAS, order=2, rng=RNG)
    with pytest.raises(InvalidArgument, match=r"divisible by groups=4, got shape \(4, 6, 3, 2\)"):
        tensor.group_norm(X, 4)


def test_dropout_keeps_the_mean_and_its_gradient_follows_the_mask() -> None:
    x = np.ones((200, 200), np.float32)
    y = tensor.dropout(x, 0.25, rng=np.random.default_rng(0))
    assert y.dtype == np.float32
    assert set(np.unique(y.numpy())) == {0.0, np.float32(1 / 0.75)}
    assert y.numpy().mean() == pytest.approx(1.0, abs=0.01)
    g = grad(lambda t: tensor.dropout(t, 0.25, rng=np.random.default_rng(0)).sum())(x)
    np.testing.assert_array_equal(g.numpy(), y.numpy())
    np.testing.assert_array_equal(tensor.dropout(x, 0.0, rng=RNG).numpy(), x)
    assert not tensor.dropout(x, 1.0, rng=RNG).numpy().any()
    with pytest.raises(InvalidArgument, match=r"\[0, 1\], got p=1.5"):
        tensor.dropout(x, 1.5, rng=RNG)


def test_float32_is_kept() -> None:
    x = Tensor(X.astype(np.float32))
    w = WEIGHT.astype(np.float32)
    for y in (tensor.batch_norm(x, w, w), tensor.layer_norm(x), tensor.group_norm(x, 2, w, w)):
        assert y.dtype == np.float32
