"""Normalisation over the batch, over features or over groups of channels; and dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from armour.checks import fraction
from armour.errors import InvalidArgument
from armour.tensor.core import Tensor, lift
from armour.tensor.elementwise import sqrt
from armour.tensor.op import Case, Op, op
from armour.tensor.random import keep_mask


def _scaled(x: Tensor, scale: Tensor | None, shift: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    if scale is not None:
        x = x * scale.reshape(shape)
    return x if shift is None else x + shift.reshape(shape)


def _normalised(x: Tensor, axis: tuple[int, ...], eps: float) -> Tensor:
    centred = x - x.mean(axis=axis, keepdims=True)
    return centred / sqrt((centred * centred).mean(axis=axis, keepdims=True) + eps)


def batch_norm(
    x: Any, weight: Any = None, bias: Any = None, mean: Any = None, var: Any = None, eps: float = 1e-5
) -> Tensor:
    """Each channel of x (n, c) or (n, c, h, w) with mean 0 and variance 1, times weight (c,), plus bias (c,).

    mean, var: (c,) statistics to use instead of the batch's (evaluation mode); both or neither.
    """
    (t,) = lift([x])
    weight, bias, mean, var = (None if p is None else lift([p])[0] for p in (weight, bias, mean, var))
    shape = (1, -1, *(1,) * (t.ndim - 2))
    if (mean is None) != (var is None):
        raise InvalidArgument(
            "expected both mean and var (evaluation) or neither (training), got one of them"
        )
    if mean is None or var is None:
        return _scaled(_normalised(t, (0, *range(2, t.ndim)), eps), weight, bias, shape)
    # Folded into one multiplication and one addition.
    scale: Tensor = 1.0 / sqrt(var + eps) if weight is None else weight / sqrt(var + eps)
    shift: Tensor = -(mean * scale) if bias is None else bias - mean * scale
    out: Tensor = t * scale.reshape(shape) + shift.reshape(shape)
    return out


def layer_norm(
    x: Any, weight: Any = None, bias: Any = None, axes: int | Sequence[int] = -1, eps: float = 1e-5
) -> Tensor:
    """Mean 0 and variance 1 over the trailing `axes`, times weight and plus bias of those axes' shape."""
    (t,) = lift([x])
    weight, bias = (None if p is None else lift([p])[0] for p in (weight, bias))
    over = tuple(sorted(a % t.ndim for a in ((axes,) if isinstance(axes, int) else axes)))
    return _scaled(_normalised(t, over, eps), weight, bias, tuple(t.shape[a] for a in over))


def group_norm(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Mean 0 and variance 1 over each group of channels of x (n, c, ...), times weight, plus bias (c,)."""
    (t,) = lift([x])
    weight, bias = (None if p is None else lift([p])[0] for p in (weight, bias))
    n, c = t.shape[:2]
    if groups < 1 or c % groups:
        raise InvalidArgument(
            f"expected a number of channels divisible by groups={groups}, got shape {t.shape}"
        )
    split = t.reshape((n, groups, c // groups, *t.shape[2:]))
    normalised = _normalised(split, tuple(range(2, split.ndim)), eps).reshape(t.shape)
    return _scaled(normalised, weight, bias, (1, c, *(1,) * (t.ndim - 2)))


_dropout: Op = op(
    "dropout",
    lambda xp, x, keep, scale: x * keep * x.dtype.type(scale),
    (lambda g, y, x, keep, scale: _dropout(g, keep, scale=scale), None),
    cases=(Case(((2, 3), [[True, False, True], [True, True, False]]), {"scale": 2.0}),),
)


def dropout(x: Any, p: float, *, rng: np.random.Generator) -> Tensor:
    """Each element 0 with probability p, else divided by 1 - p."""
    (t,) = lift([x])
    p = fraction("p", p)
    return _dropout(t, keep_mask(t, p, rng=rng), scale=1.0 / (1.0 - p) if p < 1 else 0.0)
