"""Rows of the op table for matrix products."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from armour.errors import InvalidArgument
from armour.tensor.backend import Array, Namespace
from armour.tensor.core import Tensor
from armour.tensor.elementwise import same_kind
from armour.tensor.op import Case, Op, op
from armour.tensor.reduce import sum as sum_of
from armour.tensor.shape import broadcast_to, reshape, transpose

FEW_ROWS, LARGE = 64, 48_000  # rows of the left operand, elements of the right one
RUN = 2048  # elements that a bias is added to in one call


def _swap(t: Tensor) -> Tensor:
    return transpose(t, (*range(t.ndim - 2), t.ndim - 1, t.ndim - 2))


def _matmul_a(g: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    if b.ndim == 1:
        return reshape(g, (*g.shape, 1)) * b if a.ndim > 1 else g * b
    if a.ndim == 1:
        part = matmul(b, reshape(g, (*g.shape, 1)))  # (..., k, m) @ (..., m, 1)
        return reshape(part, part.shape[:-1])
    return matmul(g, _swap(b))


def _matmul_b(g: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    if a.ndim == 1:
        if b.ndim == 1:
            return g * a
        return reshape(a, (a.shape[0], 1)) * reshape(g, (*g.shape[:-1], 1, g.shape[-1]))
    if b.ndim == 1:
        part = matmul(_swap(a), reshape(g, (*g.shape, 1)))
        return reshape(part, part.shape[:-1])
    if b.ndim == 2 and a.ndim > 2:  # one product instead of a batch of them and a sum
        rows = g.size // g.shape[-1] if g.shape[-1] else 0
        return matmul(_swap(reshape(a, (rows, a.shape[-1]))), reshape(g, (rows, g.shape[-1])))
    return matmul(_swap(a), g)


def _matmul(xp: Namespace, a: Array, b: Array) -> Array:
    a, b = same_kind(a, b)
    if (
        a.ndim == b.ndim == 2
        and 8 <= a.shape[0] <= FEW_ROWS
        and b.size >= LARGE
        and b.flags.f_contiguous
        and a.shape[1] == b.shape[0]
        and xp.__name__ == "numpy"
    ):
        # A few samples times a transposed weight: OpenBLAS is up to twice as fast with the roles exchanged.
        return xp.ascontiguousarray(xp.matmul(b.T, a.T).T)
    return xp.matmul(a, b)


matmul: Op = op(
    "matmul",
    _matmul,
    (_matmul_a, _matmul_b),
    cases=(
        Case(((3, 4), (4, 2))),
        Case(((4,), (4, 2))),
        Case(((3, 4), (4,))),
        Case(((4,), (4,))),
        Case(((2, 3, 4), (4, 5))),
        Case(((2, 1, 3, 4), (5, 4, 2))),
        Case(((4,), (2, 4, 3))),
        Case(((2, 3, 4), (4,))),
        Case(((0, 4), (4, 2))),
        Case(((3, 0), (0, 2))),
        Case(((9, 300), (300, 200))),
    ),
)


# -- linear layers -------------------------------------------------------------------------------------


def _linear_values(xp: Namespace, x: Array, w: Array, b: Array | None = None) -> Array:
    if w.ndim != 2 or not x.ndim or x.shape[-1] != w.shape[1]:
        raise InvalidArgument(f"linear expects x (..., in) and weight (out, in), got {x.shape} and {w.shape}")
    out = _matmul(xp, x.reshape((math.prod(x.shape[:-1]), w.shape[1])), w.T)
    if b is not None:
        # A bias is added to runs of several rows, since every run costs a call.
        rows, features = out.shape
        repeats = max(1, RUN // max(1, features))
        whole = rows // repeats * repeats
        if repeats > 1 and whole:
            run = xp.empty((repeats, features), b.dtype)
            run[...] = b
            part = out[:whole].reshape((-1, repeats * features))
            part += run.reshape((-1,))
            rest = out[whole:]
            rest += b
        else:
            out += b
    return out.reshape((*x.shape[:-1], w.shape[0]))


def _rows(t: Tensor) -> Tensor:
    return t if t.ndim == 2 else reshape(t, (math.prod(t.shape[:-1]), t.shape[-1]))


_linear: Op = op(
    "linear",
    _linear_values,
    (
        lambda g, y, x, w, b=None: matmul(g, w) if g.ndim > 1 else matmul(w.T, g),
        lambda g, y, x, w, b=None: matmul(transpose(_rows(g), (1, 0)), _rows(x)),
        lambda g, y, x, w, b: g,  # backward sums it over the rows
    ),
    cases=(
        Case(((3, 4), (2, 4), (2,))),
        Case(((3, 4), (2, 4))),
        Case(((4,), (2, 4), (2,))),
        Case(((2, 3, 4), (5, 4), (5,))),
        Case(((0, 4), (2, 4), (2,))),
        Case(((9, 3), (1100, 3), (1100,))),
    ),
)


def linear(x: Any, w: Any, b: Any = None) -> Tensor:
    """x (..., in) times the transpose of w (out, in), plus b (out,); -> (..., out)."""
    return _linear(x, w) if b is None else _linear(x, w, b)


# -- sums of products ----------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _split(subscripts: str) -> tuple[tuple[str, ...], str]:
    left, arrow, out = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if (
        not arrow
        or any(not t.isalpha() and t for t in [*terms, out])
        or any(len(set(t)) != len(t) for t in [*terms, out])
    ):
        raise InvalidArgument(
            f"expected subscripts like 'ij,jk->ik' with an explicit output and no repeated letter in a term, "
            f"got {subscripts!r}"
        )
    return tuple(terms), out


def _einsum_vjp(i: int, g: Tensor, y: Tensor, *inputs: Tensor, subscripts: str) -> Tensor:
    terms, out = _split(subscripts)
    others = [(t, term) for j, (t, term) in enumerate(zip(inputs, terms, strict=True)) if j != i]
    present = set(out).union(*(term for _, term in others)) if others else set(out)
    found = "".join(c for c in terms[i] if c in present)
    part = einsum(",".join([out, *(term for _, term in others)]) + "->" + found, g, *(t for t, _ in others))
    if found == terms[i]:
        return part
    # A letter only this input had was summed over: its gradient is the same along that axis.
    x = inputs[i]
    shape = tuple(n if c in present else 1 for c, n in zip(terms[i], x.shape, strict=True))
    return broadcast_to(reshape(part, shape), x.shape)


_einsum: Op = op(
    "einsum",
    lambda xp, *xs, subscripts: xp.einsum(subscripts, *xs, optimize=len(xs) > 2),
    _einsum_vjp,
    cases=(
        Case(((3, 4), (4, 2)), {"subscripts": "ij,jk->ik"}),
        Case(((2, 3, 4), (2, 4, 5)), {"subscripts": "bij,bjk->bik"}),
        Case(((3, 4),), {"subscripts": "ij->j"}),
        Case(((3,), (4,), (2, 3)), {"subscripts": "i,j,ki->kj"}),
        Case(((3, 4), (3, 4)), {"subscripts": "ij,ij->"}),
        Case(((0, 4), (4, 2)), {"subscripts": "ij,jk->ik"}),
    ),
)


def einsum(subscripts: str, *tensors: Any) -> Tensor:
    """Sum of products by Einstein's convention, with an explicit output: "bij,bjk->bik"."""
    _split(subscripts)
    return _einsum(*tensors, subscripts=subscripts)


def dot_all(a: Tensor, b: Tensor) -> Tensor:
    """The sum of the products of all elements: the inner product of two tensors of one shape."""
    return sum_of(a * b)
