"""Tensors of constants: like another tensor, ranges, the identity matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from armour.checks import count
from armour.tensor.backend import Array, Namespace, default_namespace
from armour.tensor.core import Tensor
from armour.tensor.op import Case, Op, op


def _full(xp: Namespace, x: Array, value: float, dtype: str | None = None) -> Array:
    return xp.full(x.shape, value, dtype=x.dtype if dtype is None else dtype)


# A row, not a constant: its shape follows the input's where a recorded network runs on another batch.
_full_like: Op = op(
    "full_like",
    _full,
    cases=(Case(((3, 4),), {"value": 1.5}), Case(((0, 2),), {"value": 3, "dtype": "int64"})),
)


def full_like(x: Any, value: float, dtype: Any = None) -> Tensor:
    """A tensor of x's shape with every element `value`, in x's dtype or another; no gradient."""
    return _full_like(x, value=value) if dtype is None else _full_like(x, value=value, dtype=_name(dtype))


def zeros_like(x: Any, dtype: Any = None) -> Tensor:
    """A tensor of zeros of x's shape, in x's dtype or another."""
    return full_like(x, 0, dtype)


def ones_like(x: Any, dtype: Any = None) -> Tensor:
    """A tensor of ones of x's shape, in x's dtype or another."""
    return full_like(x, 1, dtype)


def arange(start: float, stop: float | None = None, step: float = 1, dtype: Any = None) -> Tensor:
    """start, start + step, ... below stop; from 0 below `start` if there is no stop.

    int64 if all three are whole numbers, else float32, or as stated.
    """
    if stop is None:
        start, stop = 0, start
    whole = all(isinstance(v, (int, np.integer)) for v in (start, stop, step))
    kind = ("int64" if whole else "float32") if dtype is None else _name(dtype)
    return Tensor(default_namespace().arange(start, stop, step, dtype=kind))


def linspace(start: float, stop: float, number: int, dtype: Any = "float32") -> Tensor:
    """`number` values at equal distances from start to stop, both of which are among them."""
    number = count("number", number, at_least=0)
    return Tensor(default_namespace().linspace(start, stop, number, dtype=_name(dtype)))


def eye(rows: int, columns: int | None = None, dtype: Any = "float32") -> Tensor:
    """A (rows, columns) matrix with ones on the diagonal and zeros elsewhere; square by default."""
    rows = count("rows", rows, at_least=0)
    width = rows if columns is None else count("columns", columns, at_least=0)
    return Tensor(default_namespace().eye(rows, width, dtype=_name(dtype)))


def _name(dtype: Any) -> str:
    return str(np.dtype(dtype).name)
