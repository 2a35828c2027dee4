"""Losses against their definitions, one sample at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from armour import tensor
from armour.errors import InvalidArgument
from armour.tensor import Tensor, grad, jacobian
from armour.tensor.gradcheck import check_grads

LOGITS = np.array([[2.0, -1.0, 0.5, 0.0], [0.1, 0.2, 3.0, -2.0], [-0.5, 4.0, 1.0, 1.5]])
LABELS = np.array([0, 1, 1])


def softmax(row: Any) -> Any:
    e = [math.exp(v) for v in row]
    return np.array(e) / sum(e)


def test_cross_entropy_is_minus_the_log_probability_and_its_gradient_p_minus_one_hot() -> None:
    value = tensor.cross_entropy(LOGITS, LABELS)
    assert value.shape == (3,)
    for i, k in enumerate(LABELS):
        assert value.numpy()[i] == pytest.approx(-math.log(softmax(LOGITS[i])[k]), rel=1e-13)
    j = jacobian(lambda z: tensor.cross_entropy(z, LABELS))(LOGITS).numpy()
    for i, k in enumerate(LABELS):
        np.testing.assert_allclose(j[i, i], softmax(LOGITS[i]) - np.eye(4)[k], rtol=1e-12)
        assert not np.delete(j[i], i, axis=0).any()  # no sample depends on another


def test_cross_entropy_survives_large_logits() -> None:
    value, g = tensor.value_and_grad(lambda z: tensor.cross_entropy(z, [0, 1]).sum())(
        np.array([[1e4, 0.0], [1e4, 0.0]], np.float32)
    )
    assert value.item() == 1e4
    np.testing.assert_array_equal(g.numpy(), [[0, 0], [1, -1]])


def test_cross_entropy_of_a_sure_answer_keeps_its_digits_in_float32() -> None:
    logits = np.array([[30.0, 0.0, -5.0]], np.float32)  # p of the label rounds to 1
    value, g = tensor.value_and_grad(lambda z: tensor.cross_entropy(z, [0]).sum())(logits)
    expected = math.exp(-30) + math.exp(-35)
    assert value.item() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(g.numpy(), [[-expected, math.exp(-30), math.exp(-35)]], rtol=1e-5)


def test_margin_is_above_zero_where_the_label_is_not_the_largest() -> None:
    np.testing.assert_allclose(tensor.margin(LOGITS, LABELS).numpy(), [-1.5, 2.8, -2.5])
    g = grad(lambda z: tensor.margin(z, LABELS).sum())(LOGITS).numpy()
    np.testing.assert_array_equal(g, [[-1, 0, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]])


def test_soft_margin_is_the_margin_when_cold_and_the_slope_of_the_cross_entropy_at_one() -> None:
    for heat in (0.5, np.array([0.2, 1.0, 3.0])):
        expected = [
            t * math.log(sum(math.exp(v / t) for v in np.delete(row, k))) - row[k]
            for row, k, t in zip(LOGITS, LABELS, np.broadcast_to(heat, 3), strict=True)
        ]
        np.testing.assert_allclose(tensor.soft_margin(LOGITS, LABELS, heat).numpy(), expected, rtol=1e-12)
    cold = tensor.soft_margin(np.float32(100 * LOGITS), LABELS, np.float32(1e-4)).numpy()
    np.testing.assert_allclose(cold, tensor.margin(100 * LOGITS, LABELS).numpy(), rtol=1e-6)
    slopes = [
        grad(lambda z, loss=loss: loss(z, LABELS).sum())(LOGITS).numpy()
        for loss in (tensor.soft_margin, tensor.cross_entropy)
    ]
    others = [1 - softmax(row)[k] for row, k in zip(LOGITS, LABELS, strict=True)]
    np.testing.assert_allclose(slopes[0] * np.reshape(others, (3, 1)), slopes[1], rtol=1e-12)
    check_grads(lambda z: tensor.soft_margin(z, LABELS, 0.7), LOGITS, order=2, rng=np.random.default_rng(0))


def test_dlr_is_unchanged_by_shifting_and_scaling() -> None:
    # z_1 - z_3 of the rows: 2.0 - 0.0, 3.0 - 0.1, 4.0 - 1.0
    expected = np.array([-1.5 / 2.0, 2.8 / 2.9, -2.5 / 3.0])
    np.testing.assert_allclose(tensor.dlr(LOGITS, LABELS).numpy(), expected, rtol=1e-9)
    np.testing.assert_allclose(tensor.dlr(LOGITS * 7.0 + 3.0, LABELS).numpy(), expected, rtol=1e-9)
    check_grads(lambda z: tensor.dlr(z, LABELS), LOGITS, order=2, rng=np.random.default_rng(0))


def test_dlr_needs_three_classes() -> None:
    with pytest.raises(InvalidArgument, match=r"at least 3 classes.*use margin"):
        tensor.dlr(LOGITS[:, :2], LABELS)


def test_mse_is_the_mean_over_everything_but_the_first_axis() -> None:
    a, b = np.arange(12.0).reshape((2, 2, 3)), np.ones((2, 2, 3))
    np.testing.assert_allclose(tensor.mse(a, b).numpy(), ((a - b) ** 2).reshape(2, -1).mean(axis=1))
    np.testing.assert_allclose(tensor.mse(a[0, 0], b[0, 0]).numpy(), [1, 0, 1])


def test_kl_is_from_the_reference_and_zero_for_equal_logits() -> None:
    other = LOGITS[::-1].copy()
    expected = [
        sum(p * math.log(p / q) for p, q in zip(softmax(r), softmax(z), strict=True))
        for z, r in zip(LOGITS, other, strict=True)
    ]
    np.testing.assert_allclose(tensor.kl(LOGITS, other).numpy(), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(tensor.kl(LOGITS, LOGITS + 3.0).numpy(), np.zeros(3), atol=1e-14)
    check_grads(tensor.kl, LOGITS, other, order=2, rng=np.random.default_rng(0))


@pytest.mark.parametrize("name", ["cross_entropy", "margin", "soft_margin", "dlr"])
def test_losses_of_an_empty_batch_are_empty(name: str) -> None:
    value = getattr(tensor, name)(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    assert value.shape == (0,)
    assert value.dtype == np.float32


@pytest.mark.parametrize("name", ["cross_entropy", "margin", "soft_margin", "dlr"])
@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (LOGITS, LABELS[:2]),
        (LOGITS, LABELS.astype(float)),
        (LOGITS[0], LABELS),
        (LOGITS, np.array([0, 1, 4])),
        (LOGITS, np.array([0, -1, 1])),
    ],
)
def test_labels_that_do_not_fit_are_refused(name: str, logits: Any, labels: Any) -> None:
    with pytest.raises(InvalidArgument, match="labels"):
        getattr(tensor, name)(logits, labels)


def test_labels_are_not_differentiated() -> None:
    z = Tensor(LOGITS, requires_grad=True)
    tensor.cross_entropy(z, Tensor(LABELS)).sum().backward()
    assert z.grad.shape == LOGITS.shape


@pytest.mark.parametrize("gap", [0.0, 5.0, 17.0, 25.0, 60.0, 85.0, -40.0])
def test_cross_entropy_of_a_sure_answer_keeps_value_and_gradient(gap: float) -> None:
    """The label's float32 probability rounds to 1 from a gap of 17 on; loss and gradient must not be lost."""
    logits = np.array([[gap, 0.0, -1.0]], np.float32)
    x = Tensor(logits, requires_grad=True)
    loss = tensor.cross_entropy(x, np.array([0]))
    loss.sum().backward()
    exact = logits.astype(np.float64)
    p = np.exp(exact - exact.max())
    p /= p.sum()
    np.testing.assert_allclose(loss.numpy(), np.log1p(np.exp(-gap) + np.exp(-gap - 1)), rtol=1e-5)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [[-(p[0, 1] + p[0, 2]), p[0, 1], p[0, 2]]], rtol=1e-5)
