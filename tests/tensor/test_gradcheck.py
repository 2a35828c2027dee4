"""The checker finds errors of each kind that it is there to find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour import tensor
from armour.errors import InvalidArgument
from armour.tensor import Tensor
from armour.tensor.gradcheck import GradientMismatch, check_grads
from armour.tensor.op import Op

X = np.array([0.5, -1.0, 2.0])


def row(vjp: Any) -> Op:
    """x ** 3 with a derivative of one's own; not in the table."""
    return Op("cube", lambda xp, x: x**3, (vjp,))


def test_a_right_gradient_passes() -> None:
    check_grads(row(lambda g, y, x: g * 3.0 * x * x), X, order=3, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda g, y, x: g * 3.001 * x * x, "order 1"),
        (lambda g, y, x: -(g * 3.0 * x * x), "order 1"),
        (lambda g, y, x: 3.0 * x * x, "order 1"),
        (lambda g, y, x: g * 3.0 * x.detach() * x, "order 2"),
        (lambda g, y, x: Tensor(np.asarray(g.data * 3.0 * x.data**2)), "order 2"),
    ],
    ids=["scale", "sign", "cotangent", "half a second derivative", "no second derivative"],
)
def test_a_wrong_gradient_is_found(rule: Any, message: str) -> None:
    with pytest.raises(GradientMismatch, match=message):
        check_grads(row(rule), X, order=2, rng=np.random.default_rng(0))


def test_errors_of_the_second_order_pass_at_order_one() -> None:
    check_grads(row(lambda g, y, x: g * 3.0 * x.detach() * x), X, order=1, rng=np.random.default_rng(0))


def test_nan_is_a_mismatch() -> None:
    with pytest.raises(GradientMismatch):
        check_grads(lambda x: x * float("nan"), X, order=1, rng=np.random.default_rng(0))


def test_float32_is_refused() -> None:
    with pytest.raises(GradientMismatch, match="expected float64 input 0"):
        check_grads(tensor.exp, X.astype(np.float32), rng=np.random.default_rng(0))


def test_the_order_is_checked() -> None:
    with pytest.raises(InvalidArgument, match="order=0"):
        check_grads(tensor.exp, X, order=0, rng=np.random.default_rng(0))
