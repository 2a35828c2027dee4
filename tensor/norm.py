"""Normalisation over the batch, over features or over groups of channels; and dropout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from armour.checks import count, fraction
from armour.errors import InvalidArgument
from armour.tensor.core import Tensor, lift
from armour.tensor.elementwise import sqrt
from armour.tensor.op import Case, Op, op
from armour.tensor.random import keep_mask
from armour.tensor.shape import pad
from armour.tensor.standardise import standardise
from armour.tensor.windows import sliding_windows


def _scaled(x: Tensor, scale: Tensor | None, shift: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    if scale is not None:
        x = x * scale.reshape(shape)
    return x if shift is None else x + shift.reshape(shape)


def _normalised(x: Tensor, axis: tuple[int, ...], eps: float) -> Tensor:
    centred = x - x.mean(axis=axis, keepdims=True)
    return centred / sqrt((centred * centred).mean(axis=axis, keepdims=True) + eps)


def _standardised(x: Tensor, axes: int, eps: float, centred: bool = True) -> Tensor:
    """Over the last `axes` axes."""
    if axes == 1:
        return standardise(x, eps, centred)
    kept = x.shape[: x.ndim - axes]
    return standardise(x.reshape((*kept, math.prod(x.shape[x.ndim - axes :]))), eps, centred).reshape(x.shape)


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
    normal = _standardised(t, len(over), eps) if over[0] == t.ndim - len(over) else _normalised(t, over, eps)
    return _scaled(normal, weight, bias, tuple(t.shape[a] for a in over))


def rms_norm(x: Any, weight: Any = None, axes: int | Sequence[int] = -1, eps: float | None = None) -> Tensor:
    """Root mean square 1 over the trailing `axes`, times weight of those axes' shape.

    eps: added to the mean square; the smallest step from 1 of x's dtype if None, as in PyTorch.
    Zhang and Sennrich, 2019, https://arxiv.org/abs/1910.07467.
    """
    t = lift([x])[0]
    over = tuple(sorted(a % t.ndim for a in ((axes,) if isinstance(axes, int) else axes)))
    if over[0] != t.ndim - len(over):
        raise InvalidArgument(f"rms_norm expects the last axes, got axes={axes} of shape {t.shape}")
    step = float(np.finfo(t.dtype if t.dtype.kind == "f" else np.float32).eps) if eps is None else eps
    normal = _standardised(t, len(over), step, centred=False)
    return normal if weight is None else normal * lift([weight])[0]


def instance_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Each channel of each sample of x (n, c, ...) with mean 0 and variance 1, times weight (c,), plus bias.

    Ulyanov, Vedaldi and Lempitsky, 2016, https://arxiv.org/abs/1607.08022.
    """
    (t,) = lift([x])
    weight, bias = (None if p is None else lift([p])[0] for p in (weight, bias))
    if t.ndim < 3 or math.prod(t.shape[2:]) < 2:
        raise InvalidArgument(f"instance_norm expects 2 or more values in each channel, got shape {t.shape}")
    return _scaled(_standardised(t, t.ndim - 2, eps), weight, bias, (1, -1, *(1,) * (t.ndim - 2)))


def local_response_norm(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x (n, c, ...) divided by (k + alpha * mean of the squares of `size` neighbouring channels) ** beta.

    Beyond the first and the last channel there are zeros, which count. Krizhevsky et al., 2012.
    """
    (t,) = lift([x])
    size = count("size", size)
    if t.ndim < 2:
        raise InvalidArgument(f"local_response_norm expects x (n, c, ...), got shape {t.shape}")
    around = ((0, 0), (size // 2, (size - 1) // 2), *((0, 0),) * (t.ndim - 2))
    means = sliding_windows(pad(t * t, around), 1, size).mean(axis=2)
    out: Tensor = t / (means * float(alpha) + float(k)) ** float(beta)
    return out


def group_norm(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Mean 0 and variance 1 over each group of channels of x (n, c, ...), times weight, plus bias (c,)."""
    (t,) = lift([x])
    weight, bias = (None if p is None else lift([p])[0] for p in (weight, bias))
    n, c = t.shape[:2]
    if groups < 1 or c % groups:
        raise InvalidArgument(
            f"expected a number of channels divisible by groups={groups}, got shape {t.shape}"
        )
    normalised = _standardised(t.reshape((n, groups, c // groups, *t.shape[2:])), t.ndim - 1, eps)
    normalised = normalised.reshape(t.shape)
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
