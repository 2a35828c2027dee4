"""Functional transforms against closed forms, and nested in each other."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from armour import tensor
from armour.errors import InvalidArgument
from armour.tensor import Tensor, grad, hvp, jacobian, per_sample_grad, value_and_grad, vjp

RNG = np.random.default_rng(0)
A = RNG.standard_normal((4, 4))
A = A + A.T


def quadratic(x: Any) -> Tensor:
    return 0.5 * (x * (Tensor(A) @ x)).sum()


def test_value_and_grad_takes_arrays_and_returns_detached_tensors() -> None:
    x = RNG.standard_normal(4)
    value, g = value_and_grad(quadratic)(x)
    assert value.item() == pytest.approx(0.5 * x @ A @ x)
    np.testing.assert_allclose(g.numpy(), A @ x)
    assert not value.requires_grad
    assert not g.requires_grad
    assert value.node is None


def test_value_and_grad_leaves_the_arguments_alone() -> None:
    x = Tensor(RNG.standard_normal(4), requires_grad=True)
    value_and_grad(quadratic)(x)
    assert x.grad is None


def test_argnums_choose_the_arguments() -> None:
    f = lambda a, b, c: (a * b + c * c).sum()  # noqa: E731
    a, b, c = RNG.standard_normal((3, 2))
    np.testing.assert_allclose(grad(f, 1)(a, b, c).numpy(), a)
    ga, gc = grad(f, (0, 2))(a, b, c)
    np.testing.assert_allclose(ga.numpy(), b)
    np.testing.assert_allclose(gc.numpy(), 2 * c)


def test_gradients_have_the_structure_of_the_argument() -> None:
    params = {"w": RNG.standard_normal((2, 3)), "layers": [RNG.standard_normal(3), np.float64(2.0)]}
    g = grad(lambda p: (p["w"] * p["layers"][0]).sum() * p["layers"][1])(params)
    assert g["w"].shape == (2, 3)
    np.testing.assert_allclose(g["layers"][0].numpy(), 2 * params["w"].sum(axis=0))
    assert g["layers"][1].shape == ()


def test_an_argument_the_function_ignores_has_gradient_zero() -> None:
    _, h = grad(lambda a, b: (a * a).sum(), (0, 1))(np.ones(2), np.ones(3))
    np.testing.assert_array_equal(h.numpy(), np.zeros(3))
    np.testing.assert_array_equal(grad(lambda a: Tensor(1.0))(np.ones(3)).numpy(), np.zeros(3))


def test_transforms_work_inside_no_grad() -> None:
    with tensor.no_grad():
        np.testing.assert_allclose(grad(quadratic)(np.ones(4)).numpy(), A.sum(axis=1))
        np.testing.assert_allclose(hvp(quadratic, np.ones(4), np.ones(4)).numpy(), A.sum(axis=1))


def test_transforms_nest_to_any_order() -> None:
    f = lambda x: tensor.sin(x).sum()  # noqa: E731
    x = np.array([0.3, 1.1])
    expected = [np.cos(x), -np.sin(x), -np.cos(x), np.sin(x)]
    for order in range(4):
        np.testing.assert_allclose(grad(f)(x).numpy(), expected[order], rtol=1e-12)
        f = functools.partial(lambda inner, x: grad(inner)(x).sum(), f)


def test_an_inner_gradient_sees_the_outer_variable_it_closes_over() -> None:
    outer = grad(lambda y: grad(lambda x: (x * y * y).sum())(3.0).sum())
    assert outer(5.0).item() == pytest.approx(10.0)


def test_a_gradient_penalty_reaches_the_parameters_with_create_graph() -> None:
    w = Tensor(np.array([2.0, -1.0]), requires_grad=True)
    x = np.array([0.5, 0.25])
    g = grad(lambda a: (w * a * a).sum(), create_graph=True)(x)
    (g * g).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), 8 * w.numpy() * x**2)


def test_vjp_can_be_pulled_many_times() -> None:
    x = RNG.standard_normal(4)
    value, pull = vjp(lambda v: Tensor(A) @ v, x)
    np.testing.assert_allclose(value.numpy(), A @ x)
    for _ in range(2):
        for i in range(4):
            np.testing.assert_allclose(pull(np.eye(4)[i])[0].numpy(), A[i])
    with pytest.raises(InvalidArgument, match=r"cotangent of shape \(4,\), got \(3,\)"):
        pull(np.ones(3))


def test_hvp_of_a_quadratic_is_its_matrix_times_v() -> None:
    x, v = RNG.standard_normal((2, 4))
    np.testing.assert_allclose(hvp(quadratic, x, v).numpy(), A @ v, rtol=1e-12)


def test_hvp_of_a_linear_function_is_zero() -> None:
    np.testing.assert_array_equal(hvp(lambda x: x.sum(), np.ones(3), np.ones(3)).numpy(), np.zeros(3))


def test_hvp_refuses_a_direction_of_another_shape() -> None:
    with pytest.raises(InvalidArgument, match=r"x's shape \(4,\), got \(3,\)"):
        hvp(quadratic, np.ones(4), np.ones(3))


def test_jacobian_has_output_axes_before_input_axes() -> None:
    x = RNG.standard_normal((2, 3))
    j = jacobian(lambda t: tensor.exp(t).sum(axis=0))(x)
    assert j.shape == (3, 2, 3)
    expected = np.zeros((3, 2, 3))
    for k in range(3):
        expected[k, :, k] = np.exp(x[:, k])
    np.testing.assert_allclose(j.numpy(), expected)
    assert jacobian(quadratic)(np.ones(4)).shape == (4,)
    assert jacobian(lambda t: t[:0])(np.ones(4)).shape == (0, 4)


def test_the_jacobian_of_a_gradient_is_the_hessian() -> None:
    np.testing.assert_allclose(jacobian(grad(quadratic))(np.ones(4)).numpy(), A, rtol=1e-12)


def loss(params: Any, x: Tensor, y: Tensor) -> Tensor:
    hidden = tensor.tanh(params["w"] @ x + params["b"])
    return ((params["v"] * hidden).sum() - y) ** 2.0


def test_per_sample_gradients_are_those_of_batches_of_one() -> None:
    params = {"w": RNG.standard_normal((5, 3)), "b": RNG.standard_normal(5), "v": RNG.standard_normal(5)}
    x, y = RNG.standard_normal((4, 3)), RNG.standard_normal(4)
    g = per_sample_grad(loss)(params, x, y)
    assert {k: v.shape for k, v in g.items()} == {"w": (4, 5, 3), "b": (4, 5), "v": (4, 5)}
    for i in range(4):
        alone = grad(loss)(params, x[i], y[i])
        for k, v in alone.items():
            np.testing.assert_array_equal(g[k].numpy()[i], v.numpy())
    total = grad(lambda p: sum((loss(p, Tensor(x[i]), Tensor(y[i])) for i in range(4)), start=Tensor(0.0)))(
        params
    )
    for k, v in total.items():
        np.testing.assert_allclose(g[k].numpy().sum(axis=0), v.numpy(), rtol=1e-10)


def test_per_sample_gradients_of_an_empty_batch_have_no_rows() -> None:
    params = {"w": np.ones((5, 3)), "b": np.ones(5), "v": np.ones(5)}
    g = per_sample_grad(loss)(params, np.ones((0, 3)), np.ones(0))
    assert {k: v.shape for k, v in g.items()} == {"w": (0, 5, 3), "b": (0, 5), "v": (0, 5)}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grad(lambda x: x * 2.0)(np.ones(3)), r"returning a single element, got shape \(3,\)"),
        (lambda: grad(lambda x: x.sum())(np.arange(3)), "floating-point argument.*int64"),
        (lambda: per_sample_grad(loss)({}, np.ones((2, 3)), np.ones(3)), "one row per sample"),
    ],
)
def test_errors(call: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        call()
