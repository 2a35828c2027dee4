"""Rows of the op table that solve linear systems: solve, inv, det, slogdet, cholesky.

Matrices are the last two axes, and batches of them broadcast. A singular matrix (for cholesky, one that is
not positive definite) is an InvalidArgument; on a GPU, which does not tell, the result is NaN or infinite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.backend import Array, Namespace
from armour.tensor.core import Tensor, lift
from armour.tensor.diagonals import tril, triu
from armour.tensor.elementwise import floating, same_kind
from armour.tensor.linalg import matmul
from armour.tensor.op import Case, Op, op
from armour.tensor.shape import reshape, transpose

# Well conditioned: the identity times 2 plus small numbers; and one that is positive definite.
SQUARE = np.array([[2.1, -0.3, 0.2], [0.4, 1.8, -0.5], [-0.1, 0.6, 2.3]])
PAIR = np.stack([SQUARE, SQUARE[::-1] - 0.25])
DEFINITE = np.array([[2.0, 0.3, -0.4], [0.3, 1.5, 0.2], [-0.4, 0.2, 1.8]])
NONE = np.zeros((0, 3, 3))


def _swap(t: Tensor) -> Tensor:
    return transpose(t, (*range(t.ndim - 2), t.ndim - 1, t.ndim - 2))


def _square(name: str, a: Array) -> Array:
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise InvalidArgument(f"{name} expects square matrices (..., n, n), got shape {a.shape}")
    return floating(a)


def _refusing(name: str, advice: str, function: Callable[..., Array], *arrays: Array) -> Array:
    try:
        return function(*arrays)
    except np.linalg.LinAlgError as error:
        raise InvalidArgument(f"{name} of matrices of shape {arrays[0].shape}: {error}; {advice}") from error


REGULAR = "add a small multiple of eye(n), or leave out columns that depend on others"


def _solve_forward(xp: Namespace, a: Array, b: Array) -> Array:
    a, b = same_kind(_square("solve", a), b)
    if b.ndim < 2 or b.shape[-2] != a.shape[-1]:
        raise InvalidArgument(
            f"solve expects b (..., {a.shape[-1]}, m) for a {a.shape}, got {b.shape}; a vector is (n,) alone"
        )
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = xp.broadcast_to(a, (*batch, *a.shape[-2:])), xp.broadcast_to(b, (*batch, *b.shape[-2:]))
    return _refusing("solve", REGULAR, xp.linalg.solve, a, b)


def _inv_forward(xp: Namespace, a: Array) -> Array:
    return _refusing("inv", REGULAR, xp.linalg.inv, _square("inv", a))


def _cholesky_forward(xp: Namespace, a: Array) -> Array:
    a = _square("cholesky", a)
    middle = (a + xp.swapaxes(a, -1, -2)) * a.dtype.type(0.5)
    return _refusing("cholesky", "add a larger multiple of eye(n)", xp.linalg.cholesky, middle)


def _cholesky_vjp(g: Tensor, y: Tensor, a: Tensor) -> Tensor:
    # Murray, 2016, https://arxiv.org/abs/1602.07527, equation 10: L^-T phi(L^T g) L^-1, made symmetric. phi
    # keeps the lower triangle and half of the diagonal.
    inner = matmul(_swap(y), tril(g))
    phi = (tril(inner) + tril(inner, -1)) * 0.5
    upper = _swap(y)
    left = _solve(upper, phi)
    full = _swap(_solve(upper, _swap(left)))
    return (full + _swap(full)) * 0.5


def _logabsdet_forward(xp: Namespace, a: Array) -> Array:
    return xp.linalg.slogdet(_square("slogdet", a))[1]


def _det_sign_forward(xp: Namespace, a: Array) -> Array:
    return xp.linalg.slogdet(_square("slogdet", a))[0]


def _beside(g: Tensor) -> Tensor:
    return reshape(g, (*g.shape, 1, 1))


_solve: Op = op(
    "solve",
    _solve_forward,
    (
        lambda g, y, a, b: -matmul(_solve(_swap(a), g), _swap(y)),
        lambda g, y, a, b: _solve(_swap(a), g),
    ),
    cases=(
        Case((SQUARE, (3, 2))),
        Case((PAIR, (2, 3, 1))),
        Case((PAIR, (3, 2))),
        Case((SQUARE, (2, 3, 2))),
        Case((NONE, (0, 3, 2))),
    ),
)
inv: Op = op(
    "inv",
    _inv_forward,
    (lambda g, y, a: -matmul(matmul(_swap(y), g), _swap(y)),),
    cases=(Case((SQUARE,)), Case((PAIR,)), Case((NONE,))),
)
det: Op = op(
    "det",
    lambda xp, a: xp.linalg.det(_square("det", a)),
    (lambda g, y, a: _beside(g * y) * _swap(inv(a)),),
    cases=(Case((SQUARE,)), Case((PAIR,)), Case((NONE,))),
)
cholesky: Op = op(
    "cholesky",
    _cholesky_forward,
    (_cholesky_vjp,),
    cases=(Case((DEFINITE,)), Case((np.stack([DEFINITE, 2.0 * DEFINITE]),)), Case((NONE,))),
)
_logabsdet: Op = op(
    "logabsdet",
    _logabsdet_forward,
    (lambda g, y, a: _beside(g) * _swap(inv(a)),),
    cases=(Case((SQUARE,)), Case((PAIR,)), Case((NONE,))),
)
_det_sign: Op = op("det_sign", _det_sign_forward, cases=(Case((SQUARE,)), Case((PAIR,)), Case((NONE,))))


def solve(a: Any, b: Any) -> Tensor:
    """The x with a x = b. a: (..., n, n). b: (n,), one vector, or (..., n, m), columns; x has b's shape."""
    matrix, right = lift([a, b])
    if right.ndim != 1:
        return _solve(matrix, right)
    columns = _solve(matrix, reshape(right, (right.shape[0], 1)))
    return reshape(columns, columns.shape[:-1])


def solve_triangular(a: Any, b: Any, lower: bool = True) -> Tensor:
    """The x with L x = b, for the lower (or upper) triangle L of a; the other triangle is not read."""
    return solve(tril(a) if lower else triu(a), b)


def slogdet(a: Any) -> tuple[Tensor, Tensor]:
    """(sign, logarithm of the absolute value) of the determinants of a (..., n, n), each (...).

    Safe where the determinant itself would overflow; the sign has no gradient.
    """
    (matrix,) = lift([a])
    return _det_sign(matrix), _logabsdet(matrix)


def outer(a: Any, b: Any) -> Tensor:
    """(..., m), (..., n) -> (..., m, n): products of all pairs of elements."""
    left, right = lift([a, b])
    if not left.ndim or not right.ndim:
        raise InvalidArgument(f"outer expects vectors, got shapes {left.shape} and {right.shape}")
    return reshape(left, (*left.shape, 1)) * reshape(right, (*right.shape[:-1], 1, right.shape[-1]))
