"""Triangles and diagonals of matrices, which are the last two axes: tril, triu, diagonal, diag, trace."""

from __future__ import annotations

from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.backend import Array, Namespace
from armour.tensor.core import Tensor, lift
from armour.tensor.op import Case, Op, op
from armour.tensor.shape import getitem

TRIANGLES = (
    Case(((3, 4),), {"k": 0}),
    Case(((2, 3, 3),), {"k": -1}),
    Case(((2, 4, 3),), {"k": 1}),
    Case(((0, 3, 3),), {"k": 0}),
)


def _matrix(name: str, x: Array) -> Array:
    if x.ndim < 2:
        raise InvalidArgument(f"{name} expects matrices (..., m, n), got shape {x.shape}")
    return x


_tril: Op = op(
    "tril",
    lambda xp, x, k=0: xp.tril(_matrix("tril", x), k),
    (lambda g, y, x, k=0: tril(g, k),),
    cases=TRIANGLES,
)
_triu: Op = op(
    "triu",
    lambda xp, x, k=0: xp.triu(_matrix("triu", x), k),
    (lambda g, y, x, k=0: triu(g, k),),
    cases=TRIANGLES,
)


def _diag_embed_forward(xp: Namespace, x: Array, offset: int) -> Array:
    size = x.shape[-1] + (offset if offset > 0 else -offset)
    out = xp.zeros((*x.shape[:-1], size, size), x.dtype)
    rows, columns = (xp.arange(x.shape[-1]) + max(0, start) for start in (-offset, offset))
    out[..., rows, columns] = x
    return out


_diag_embed: Op = op(
    "diag_embed",
    _diag_embed_forward,
    (lambda g, y, x, offset: diagonal(g, offset),),
    cases=(
        Case(((3,),), {"offset": 0}),
        Case(((2, 3),), {"offset": -1}),
        Case(((2, 1, 2),), {"offset": 2}),
        Case(((0, 2),), {"offset": 1}),
    ),
)


def tril(x: Any, k: int = 0) -> Tensor:
    """x (..., m, n) with zeros above the k-th diagonal (0: the main one, above 0: above it)."""
    return _tril(x, k=int(k))


def triu(x: Any, k: int = 0) -> Tensor:
    """x (..., m, n) with zeros below the k-th diagonal."""
    return _triu(x, k=int(k))


def _places(rows: int, columns: int, offset: int) -> tuple[Any, ...]:
    i = np.arange(max(0, -offset), max(0, -offset, min(rows, columns - offset)))
    return (..., i, i + offset)


def diagonal(x: Any, offset: int = 0) -> Tensor:
    """(..., m, n) -> (..., length): the elements [i, i + offset] of each matrix."""
    (t,) = lift([x])
    _matrix("diagonal", t.data)
    return getitem(t, _places(t.shape[-2], t.shape[-1], int(offset)))


def diag_embed(x: Any, offset: int = 0) -> Tensor:
    """(..., n) -> (..., n + |offset|, n + |offset|): square matrices with x on that diagonal, 0 elsewhere."""
    (t,) = lift([x])
    if not t.ndim:
        raise InvalidArgument("diag_embed expects at least one axis, got a single number")
    return _diag_embed(t, offset=int(offset))


def diag(x: Any, offset: int = 0) -> Tensor:
    """The matrix with x (n,) on its diagonal, or the diagonal of a matrix x (m, n)."""
    (t,) = lift([x])
    if t.ndim not in (1, 2):
        raise InvalidArgument(
            f"diag expects (n,) or (m, n), got shape {t.shape}; use diagonal or diag_embed for batches"
        )
    return diag_embed(t, offset) if t.ndim == 1 else diagonal(t, offset)


def trace(x: Any, offset: int = 0) -> Tensor:
    """(..., m, n) -> (...): the sum of the diagonal of each matrix."""
    return diagonal(x, offset).sum(axis=-1)
