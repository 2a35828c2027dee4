"""What PyTorch calls the rows for arrays, mathematics and linear systems."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def _axes(x: Any, axis: Any) -> Any:
    return tuple(range(x.ndim)) if axis is None else axis


def _prod(x: Any, axis: Any, keepdims: bool) -> Any:
    axes = _axes(x, axis) if isinstance(axis, tuple) or axis is None else (axis,)
    for a in sorted((a % x.ndim for a in axes), reverse=True):
        x = torch.prod(x, a, keepdim=keepdims)
    return x


def _gather(x: Any, indices: Any, axis: int) -> Any:
    axis %= x.ndim
    flat = torch.index_select(x, axis, indices.reshape(-1) % x.shape[axis])
    return flat.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def _gather_grad(g: Any, indices: Any, axis: int, shape: Any) -> Any:
    axis %= len(shape)
    flat = g.reshape((*shape[:axis], indices.numel(), *shape[axis + 1 :]))
    return torch.zeros(shape, dtype=g.dtype).index_add(axis, indices.reshape(-1) % shape[axis], flat)


def _places(indices: Any) -> tuple[Any, ...]:
    return tuple(indices[..., i] for i in range(indices.shape[-1]))


def _repeat(x: Any, repeats: int, axis: int) -> Any:
    return torch.repeat_interleave(x, repeats, dim=axis)


def _full_like(x: Any, value: float, dtype: Any = None) -> Any:
    return torch.full_like(x, value, dtype=None if dtype is None else getattr(torch, dtype))


def _by_position(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function called with attributes by position: PyTorch's have other names."""
    return lambda x, **attrs: function(x, *attrs.values())


ARRAY_PEERS: dict[str, Callable[..., Any]] = {
    name: getattr(torch, name)
    for name in (
        *("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "ceil", "cosh", "erfc", "erfinv"),
        *("exp2", "floor_divide", "isfinite", "isinf", "isnan", "log10", "log2", "logaddexp"),
        *("logical_and", "logical_not", "logical_or", "logical_xor", "reciprocal", "round", "rsqrt"),
        *("sinh", "square", "tan", "trunc"),
    )
} | {
    "add_along_axis": lambda x, v, indices, axis: x.scatter_add(axis, indices, v),
    "add_n": lambda *xs: sum(xs[1:], start=xs[0]),
    "all": lambda x, axis, keepdims: torch.all(x, _axes(x, axis), keepdim=keepdims),
    "any": lambda x, axis, keepdims: torch.any(x, _axes(x, axis), keepdim=keepdims),
    "argmin": torch.argmin,
    "argsort": lambda x, axis=-1, descending=False: torch.argsort(
        x, dim=axis, descending=descending, stable=True
    ),
    "cholesky": torch.linalg.cholesky,
    "cumargmax": lambda x, axis: torch.cummax(x, axis).indices,
    "cumargmin": lambda x, axis: torch.cummin(x, axis).indices,
    "cumprod": torch.cumprod,
    "det": torch.linalg.det,
    "det_sign": lambda a: torch.linalg.slogdet(a).sign,
    "diag_embed": torch.diag_embed,
    "full_like": _full_like,
    "gather": _gather,
    "gather_grad": _gather_grad,
    "gather_nd": lambda x, indices: x[_places(indices)],
    "index_add": lambda x, v, indices, axis: x + _gather_grad(v, indices, axis, x.shape),
    "inv": torch.linalg.inv,
    "logabsdet": lambda a: torch.linalg.slogdet(a).logabsdet,
    "mod": torch.remainder,
    "prod": _prod,
    "repeat": _repeat,
    "roll": _by_position(torch.roll),
    "scatter_nd": lambda v, indices, shape: torch.zeros(shape, dtype=v.dtype).index_put(
        _places(indices), v, accumulate=True
    ),
    "scatter_nd_add": lambda x, v, indices: x.index_put(_places(indices), v, accumulate=True),
    "scatter_update": lambda x, v, indices: x.index_put(_places(indices), v),
    "solve": torch.linalg.solve,
    "stop_gradient": lambda x: x.detach(),
    "tile": _by_position(torch.tile),
    "tril": _by_position(torch.tril),
    "triu": _by_position(torch.triu),
}
# Made for other rows' gradients, or random.
ARRAY_ALONE = {"draw", "keep_mask", "recurrence"}
