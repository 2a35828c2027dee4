"""jvp, hessian and both modes of jacobian: closed forms, the adjoint identity, nested transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour import tensor
from armour.errors import InvalidArgument
from armour.tensor import OPS, Tensor, grad, hessian, hvp, jacobian, jvp, vjp
from armour.tensor.op import Case, Op
from tests.tensor.test_op_table import STANDARD, differentiable, samples

RNG = np.random.default_rng(0)
ROWS = [
    pytest.param(row, case, id=f"{name}-{i}")
    for name, row in sorted(OPS.items())
    for i, case in enumerate(row.cases or STANDARD)
    if row.vjp is not None
]


@pytest.mark.parametrize(("row", "case"), ROWS)
def test_jvp_is_the_adjoint_of_vjp_for_every_row(row: Op, case: Case) -> None:
    inputs = samples(row, case)
    wanted = differentiable(row, inputs)

    def function(*floats: Tensor) -> Tensor:
        args: list[Any] = list(inputs)
        for i, t in zip(wanted, floats, strict=True):
            args[i] = t
        return row(*args, **case.attrs)

    points = tuple(inputs[i] for i in wanted)
    tangents = tuple(RNG.standard_normal(p.shape) for p in points)
    value, pull = vjp(function, *points)
    same, pushed = jvp(function, points, tangents)
    cotangent = RNG.standard_normal(value.shape)
    left = (cotangent * pushed.numpy()).sum()
    right = sum((t * g.numpy()).sum() for t, g in zip(tangents, pull(cotangent), strict=True))
    np.testing.assert_array_equal(same.numpy(), value.numpy())
    assert pushed.shape == value.shape and pushed.dtype == np.float64
    np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-10)


def test_jvp_of_a_product_is_the_product_rule() -> None:
    a, b, da, db = RNG.standard_normal((4, 3))
    value, slope = jvp(lambda x, y: x * y, (a, b), (da, db))
    np.testing.assert_allclose(value.numpy(), a * b, rtol=1e-15)
    np.testing.assert_allclose(slope.numpy(), da * b + a * db, rtol=1e-14)
    assert not slope.requires_grad and value.node is None


def test_jvp_keeps_float32_and_works_where_nothing_depends_on_x() -> None:
    x = np.ones(3, np.float32)
    assert jvp(tensor.exp, x, x)[1].dtype == np.float32
    np.testing.assert_array_equal(jvp(lambda t: Tensor([1.0, 2.0]), x, x)[1].numpy(), [0, 0])


def test_jvp_nests_under_grad_and_in_itself() -> None:
    x, v = RNG.standard_normal((2, 4))
    # d/dx of sum(cos(x) v) is -sin(x) v.
    g = grad(lambda t: jvp(tensor.sin, t, v)[1].sum())(x)
    np.testing.assert_allclose(g.numpy(), -np.sin(x) * v, rtol=1e-12)
    second = jvp(lambda t: jvp(tensor.sin, t, v)[1], x, v)[1]
    np.testing.assert_allclose(second.numpy(), -np.sin(x) * v * v, rtol=1e-12)


def test_the_jvp_of_a_gradient_is_the_hvp() -> None:
    f = lambda t: (tensor.exp(t) * tensor.sin(t)).sum() ** 2.0  # noqa: E731
    x, v = RNG.standard_normal((2, 5))
    np.testing.assert_allclose(jvp(grad(f), x, v)[1].numpy(), hvp(f, x, v).numpy(), rtol=1e-11)


def test_jvp_refuses_tangents_of_other_shapes() -> None:
    with pytest.raises(InvalidArgument, match=r"shapes \[\(3,\)\], got \[\(2,\)\]"):
        jvp(tensor.exp, np.ones(3), np.ones(2))


@pytest.mark.parametrize("outputs", [2, 3, 7])
def test_rows_and_columns_give_the_same_jacobian(outputs: int) -> None:
    a = RNG.standard_normal((outputs, 3))
    x = RNG.standard_normal(3)
    passes: list[int] = []

    def function(t: Tensor) -> Tensor:
        passes.append(1)
        return tensor.tanh(Tensor(a) @ t)

    slope = 1 - np.tanh(a @ x) ** 2
    np.testing.assert_allclose(jacobian(function)(x).numpy(), slope[:, None] * a, rtol=1e-12)
    assert len(passes) == 1  # one forward pass either way


def test_jacobians_of_matrices_by_columns_keep_their_axes() -> None:
    x = RNG.standard_normal((1, 2))
    j = jacobian(lambda t: tensor.exp(t) * Tensor(np.ones((3, 1))))(x)
    assert j.shape == (3, 2, 1, 2)
    expected = np.zeros((3, 2, 1, 2))
    for k in range(2):
        expected[:, k, 0, k] = np.exp(x[0, k])
    np.testing.assert_allclose(j.numpy(), expected, rtol=1e-13)
    assert jacobian(tensor.exp)(np.ones((0, 2))).shape == (0, 2, 0, 2)


def test_the_hessian_is_symmetric_and_is_the_matrix_of_a_quadratic() -> None:
    a = RNG.standard_normal((4, 4))
    h = hessian(lambda t: 0.5 * (t * (Tensor(a) @ t)).sum())(RNG.standard_normal(4))
    np.testing.assert_allclose(h.numpy(), (a + a.T) / 2, rtol=1e-12)
    h = hessian(lambda t: (t[0] * tensor.exp(t[1])).sum())(RNG.standard_normal((2, 3)))
    assert h.shape == (2, 3, 2, 3)
    np.testing.assert_array_equal(h.numpy(), h.numpy().transpose(2, 3, 0, 1))


def test_a_gradient_through_a_hessian() -> None:
    # The trace of the Hessian of sum(x^4) is 12 sum(x^2), with gradient 24 x; by rows and by columns.
    x = RNG.standard_normal(3)
    trace = lambda h: (h * Tensor(np.eye(3))).sum()  # noqa: E731
    f = lambda t: (t * t * t * t).sum()  # noqa: E731
    np.testing.assert_allclose(grad(lambda t: trace(hessian(f)(t)))(x).numpy(), 24 * x, rtol=1e-12)
    wide = lambda t: tensor.concat([t * t, t, t * t * t])  # noqa: E731
    expected = 2 + 6 * x
    np.testing.assert_allclose(grad(lambda t: jacobian(wide)(t).sum())(x).numpy(), expected, rtol=1e-12)
