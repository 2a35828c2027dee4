"""Losses against their definitions, one number at a time; the digits of sure answers; what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from armour import tensor
from armour.errors import InvalidArgument
from armour.tensor import Tensor, grad
from armour.tensor.gradcheck import check_grads

RNG = np.random.default_rng(0)
Z, LABELS = RNG.standard_normal((5, 4)) * 2.0, np.array([0, 3, 2, 2, 1])
A, B = RNG.standard_normal((5, 2, 3)), RNG.standard_normal((5, 2, 3))
TARGETS = RNG.uniform(0.0, 1.0, (5, 2, 3))


def huber(d: float, delta: float) -> float:
    return d * d / 2 if abs(d) <= delta else delta * (abs(d) - delta / 2)


def mean_of(one: Callable[[float, float], float], a: Any, b: Any) -> list[float]:
    """The mean over each sample of a function of two numbers."""
    pairs = [zip(x.ravel(), y.ravel(), strict=True) for x, y in zip(a, b, strict=True)]
    return [float(np.mean([one(p, q) for p, q in pair])) for pair in pairs]


NUMBERS: dict[str, tuple[Callable[[Any, Any], Tensor], Any, Any, Callable[[float, float], float]]] = {
    "l1": (tensor.l1, A, B, lambda a, b: abs(a - b)),
    "huber": (lambda a, b: tensor.huber(a, b, 0.6), A, B, lambda a, b: huber(a - b, 0.6)),
    "smooth_l1": (lambda a, b: tensor.smooth_l1(a, b, 0.4), A, B, lambda a, b: huber(a - b, 0.4) / 0.4),
    "sigmoid_cross_entropy": (
        tensor.sigmoid_cross_entropy,
        A,
        TARGETS,
        lambda z, t: -t * math.log(1 / (1 + math.exp(-z))) - (1 - t) * math.log(1 / (1 + math.exp(z))),
    ),
    "binary_cross_entropy": (
        tensor.binary_cross_entropy,
        RNG.uniform(0.05, 0.95, (5, 2, 3)),
        TARGETS,
        lambda p, t: -t * math.log(p) - (1 - t) * math.log(1 - p),
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_losses_of_numbers(name: str) -> None:
    function, a, b, one = NUMBERS[name]
    np.testing.assert_allclose(function(a, b).numpy(), mean_of(one, a, b), rtol=1e-12)
    flat = function(a[:, 0, 0], b[:, 0, 0]).numpy()
    np.testing.assert_allclose(flat, mean_of(one, a[:, :1, :1], b[:, :1, :1]), rtol=1e-12)
    check_grads(function, a, b, order=2, rng=np.random.default_rng(1))
    single = function(a.astype(np.float32), b.astype(np.float32))
    assert single.dtype == np.float32 and single.shape == (5,)
    assert function(a[:0], b[:0]).shape == (0,)
    with pytest.raises(InvalidArgument, match=r"expects prediction and target of one shape \(n, ...\), got"):
        function(a, b[:, :1])


def test_huber_is_half_the_square_near_zero_to_second_order() -> None:
    x = np.array([-2.0, -0.3, 0.0, 0.3, 2.0])
    first = grad(lambda a: tensor.huber(a, np.zeros(5), 0.5).sum())
    slopes = first(x).numpy()
    curvatures = tensor.hvp(lambda a: tensor.huber(a, np.zeros(5), 0.5).sum(), x, np.ones(5)).numpy()
    np.testing.assert_allclose(slopes, [-0.5, -0.3, 0.0, 0.3, 0.5])
    np.testing.assert_allclose(curvatures, [0, 1, 1, 1, 0])


def test_nll_and_soft_cross_entropy_give_cross_entropy() -> None:
    expected = tensor.cross_entropy(Z, LABELS).numpy()
    np.testing.assert_allclose(tensor.nll(tensor.log_softmax(Z), LABELS).numpy(), expected, rtol=1e-12)
    hard = tensor.one_hot(LABELS, 4, "float64")
    np.testing.assert_allclose(tensor.soft_cross_entropy(Z, hard).numpy(), expected, rtol=1e-12)
    soft = np.exp(Z[::-1]) / np.exp(Z[::-1]).sum(axis=1, keepdims=True)
    check_grads(tensor.soft_cross_entropy, Z, soft, order=2, rng=np.random.default_rng(1))
    check_grads(lambda z: tensor.nll(z, LABELS), Z, order=2, rng=np.random.default_rng(1))
    with pytest.raises(InvalidArgument, match="labels from 0 to 3"):
        tensor.nll(Z, LABELS + 1)
    with pytest.raises(InvalidArgument, match=r"logits \(n, k\)"):
        tensor.soft_cross_entropy(A, B)


def test_hinge() -> None:
    expected = [
        sum(max(0.0, 0.7 - row[k] + v) for j, v in enumerate(row) if j != k) / 4
        for row, k in zip(Z, LABELS, strict=True)
    ]
    np.testing.assert_allclose(tensor.hinge(Z, LABELS, 0.7).numpy(), expected, rtol=1e-12)
    check_grads(lambda z: tensor.hinge(z, LABELS, 0.7), Z, order=2, rng=np.random.default_rng(1))
    sure = np.eye(4)[LABELS] * 9.0
    assert not tensor.hinge(sure, LABELS).numpy().any()


def test_cosine_distance() -> None:
    a, b = np.array([[3.0, 0.0], [1.0, 1.0], [0.0, 0.0]]), np.array([[5.0, 0.0], [-2.0, -2.0], [1.0, 0.0]])
    np.testing.assert_allclose(tensor.cosine_distance(a, b).numpy(), [0.0, 2.0, 1.0], atol=1e-15)
    assert np.isfinite(grad(lambda x: tensor.cosine_distance(x, b).sum())(a).numpy()).all()
    check_grads(tensor.cosine_distance, A, B, order=2, rng=np.random.default_rng(1))


@pytest.mark.parametrize("gap", [0.0, 5.0, 20.0, 60.0])
def test_sigmoid_cross_entropy_of_a_sure_answer_keeps_value_and_gradient(gap: float) -> None:
    z = np.array([[gap], [-gap]], np.float32)
    value, slope = tensor.value_and_grad(lambda x: tensor.sigmoid_cross_entropy(x, [[1.0], [0.0]]).sum())(z)
    loss, p = math.log1p(math.exp(-gap)), 1 / (1 + math.exp(gap))
    assert value.item() == pytest.approx(2 * loss, rel=1e-5)
    np.testing.assert_allclose(slope.numpy(), [[-p], [p]], rtol=1e-4)


def test_binary_cross_entropy_at_the_ends() -> None:
    p = np.array([0.0, 1.0, 0.0, 1.0])
    with np.errstate(divide="ignore"):
        value = tensor.binary_cross_entropy(p, np.array([0.0, 1.0, 1.0, 0.0])).numpy()
    np.testing.assert_array_equal(value, [0.0, 0.0, np.inf, np.inf])
    slope = grad(lambda x: tensor.binary_cross_entropy(x, np.array([0.0, 1.0])).sum())(np.array([0.0, 1.0]))
    np.testing.assert_array_equal(slope.numpy(), [1.0, -1.0])
