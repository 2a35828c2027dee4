"""Linear systems by what they satisfy, against NumPy, and what cannot be solved is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from armour import tensor
from armour.errors import InvalidArgument
from armour.tensor import grad
from armour.tensor.gradcheck import check_grads

RNG = np.random.default_rng(0)
A = RNG.standard_normal((2, 1, 4, 4)) + 3 * np.eye(4)
DEFINITE = A @ np.swapaxes(A, -1, -2)


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(4,), (4, 2), (3, 4, 2), (2, 3, 4, 1)])
def test_solve_satisfies_its_equation(shape: tuple[int, ...]) -> None:
    b = RNG.standard_normal(shape)
    x = tensor.solve(A, b).numpy()
    product = (A @ x[..., None])[..., 0] if len(shape) == 1 else A @ x
    np.testing.assert_allclose(product, np.broadcast_to(b, product.shape), rtol=1e-10, atol=1e-12)
    check_grads(tensor.solve, A, b, order=2, rng=np.random.default_rng(1))


def test_inverse_determinant_and_factors() -> None:
    close(tensor.inv(A), np.linalg.inv(A))
    close(tensor.det(A), np.linalg.det(A))
    sign, size = tensor.slogdet(-A)
    expected = np.linalg.slogdet(-A)
    close(sign, expected.sign)
    close(size, expected.logabsdet)
    root = tensor.cholesky(DEFINITE).numpy()
    np.testing.assert_array_equal(root, np.tril(root))
    np.testing.assert_allclose(root @ np.swapaxes(root, -1, -2), DEFINITE, rtol=1e-12)
    for function in (tensor.inv, tensor.det, lambda a: tensor.slogdet(a)[1]):
        check_grads(function, A, order=2, rng=np.random.default_rng(1))
    check_grads(tensor.cholesky, DEFINITE / 8, order=2, rng=np.random.default_rng(1), rtol=1e-5)


def test_the_gradient_of_the_log_determinant_is_the_inverse() -> None:
    g = grad(lambda a: tensor.slogdet(a)[1].sum())(A)
    close(g, np.swapaxes(np.linalg.inv(A), -1, -2))
    large = 1e200 * np.eye(3)
    assert tensor.slogdet(large)[1].item() == pytest.approx(600 * math.log(10.0))


@pytest.mark.parametrize("lower", [True, False])
def test_triangular_systems_read_one_triangle(lower: bool) -> None:
    b = RNG.standard_normal((4, 2))
    cut = np.tril if lower else np.triu
    x = tensor.solve_triangular(A, b, lower).numpy()
    np.testing.assert_allclose(cut(A) @ x, np.broadcast_to(b, x.shape), rtol=1e-10, atol=1e-12)
    g = grad(lambda a: (tensor.solve_triangular(a, b, lower) ** 2).sum())(A).numpy()
    np.testing.assert_array_equal(g, cut(g))
    check_grads(
        lambda a, r: tensor.solve_triangular(a, r, lower), A, b, order=2, rng=np.random.default_rng(1)
    )


def test_outer_and_trace() -> None:
    a, b = RNG.standard_normal((2, 3)), RNG.standard_normal((2, 4))
    close(tensor.outer(a, b), np.einsum("ni,nj->nij", a, b))
    close(tensor.outer(a[0], b[0]), np.outer(a[0], b[0]))
    close(tensor.trace(A), np.trace(A, axis1=-2, axis2=-1))
    check_grads(tensor.outer, a, b, order=2, rng=np.random.default_rng(1))


def test_float32_is_kept_and_whole_numbers_become_float32() -> None:
    single, b = A.astype(np.float32), np.ones((4, 1), np.float32)
    for y in (tensor.solve(single, b), tensor.inv(single), tensor.det(single), *tensor.slogdet(single)):
        assert y.dtype == np.float32
    assert tensor.cholesky(DEFINITE.astype(np.float32)).dtype == np.float32
    assert tensor.inv(np.array([[2, 1], [1, 1]])).dtype == np.float32
    assert tensor.solve(single, np.ones((4, 1), np.int64)).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tensor.solve(np.ones((3, 3)), np.ones(3)), "Singular matrix; add a small multiple of eye"),
        (lambda: tensor.inv(np.zeros((2, 2))), "Singular matrix"),
        (lambda: tensor.cholesky(-np.eye(3)), "not positive definite; add a larger multiple of eye"),
        (lambda: tensor.solve(np.ones((3, 2)), np.ones(3)), r"square matrices .*, got shape \(3, 2\)"),
        (lambda: tensor.solve(A, np.ones((3, 2))), r"b \(..., 4, m\)"),
        (lambda: tensor.det(np.ones(3)), "square matrices"),
        (lambda: tensor.outer(1.0, np.ones(3)), "expects vectors"),
    ],
)  # fmt: skip
def test_what_cannot_be_solved_is_refused(call: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        call()
