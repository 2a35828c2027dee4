"""Rows for batch normalisation, which elementary rows would spread over some thirty passes over memory.

`batch_norm_train` normalises by the statistics of the batch; `scale_shift` is what is left of it in
evaluation mode. On the host the passes run over blocks of samples that stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from armour.tensor.backend import Array, Namespace
from armour.tensor.core import Tensor, grad_enabled
from armour.tensor.op import Case, Op, op

BLOCK = 1 << 16  # elements of a block: 256 KB of float32, about an L2 cache
LINE = 1 << 14  # elements of one line of repeated channels at most


class _View:
    """x (n, c, ...) as its memory lies: rows of repeated channels, or one run for each channel of a sample.

    Convolutions leave (n, h, w, c) in memory. An operation costs a call for each run, and runs of a few
    channels are too short; so a line of an image is one row there, and what belongs to the channels is
    repeated along it.
    """

    def __init__(self, x: Array) -> None:
        self.n, self.c = x.shape[:2]
        last = x.transpose((0, *range(2, x.ndim), 1))
        self.last = bool(last.flags.c_contiguous)
        self.repeats = x.shape[-1] if self.last and x.ndim > 2 else 1
        if self.last and x.ndim == 4 and self.n >= 8 and x.size <= LINE * self.n:
            self.repeats *= x.shape[2]  # whole images, if they are small and many

    def __call__(self, a: Array) -> Array:
        """`a` of x's shape in that form, a view if it lies in memory as x does."""
        if not self.last:
            return a.reshape((self.n, self.c, -1 if a.size else 0))
        return a.transpose((0, *range(2, a.ndim), 1)).reshape((-1 if a.size else 0, self.repeats * self.c))

    def empty(self, xp: Namespace, x: Array) -> Array:
        """A new array like x, of which this form is a view."""
        if not self.last:
            return xp.empty(x.shape, x.dtype)
        lines = xp.empty((self.n, *x.shape[2:], self.c), x.dtype)
        return lines.transpose((0, x.ndim - 1, *range(1, x.ndim - 1)))

    def spread(self, xp: Namespace, values: Array) -> Array:
        """(c,) values in a form that broadcasts over such a view."""
        if not self.last:
            return values.reshape((1, -1, 1))
        line = xp.empty(
            (self.repeats, self.c), values.dtype
        )  # tile would do, at ten times the cost for a short line
        line[...] = values
        return line.reshape((1, -1))

    def blocks(self, xp: Namespace, view: Array) -> Iterator[slice]:
        """Slices of the first axis: each a block that stays in the cache."""
        n = view.shape[0]
        step = max(1, BLOCK * n // max(view.size, 1)) if xp.__name__ == "numpy" else max(n, 1)
        return (slice(i, i + step) for i in range(0, n, step))

    def sum(self, xp: Namespace, block: Array) -> Array:
        """(c,) sums of a block of the view."""
        if not self.last:
            return xp.einsum("nct->nc", block).sum(axis=0)
        return xp.matmul(xp.ones(len(block), block.dtype), block).reshape((-1, self.c)).sum(axis=0)


def batch_statistics(xp: Namespace, x: Array) -> Array:
    """(2, c): mean and variance (divided by the count) of each channel of x (n, c, ...)."""
    view = _View(x)
    values, count = view(x), x.dtype.type(max(x.size // max(x.shape[1], 1), 1))
    out = xp.zeros((2, x.shape[1]), x.dtype)
    total, squares = out[0], out[1]
    for rows in view.blocks(xp, values):
        total += view.sum(xp, values[rows])
    total /= count
    middle = view.spread(xp, total)
    for rows in view.blocks(xp, values):
        centred = values[rows] - middle
        squares += view.sum(xp, xp.multiply(centred, centred, out=centred))
    squares /= count
    return out


def _train_forward(
    xp: Namespace,
    x: Array,
    weight: Array,
    bias: Array,
    statistics: Array | None = None,
    *,
    eps: float,
    saved: dict[str, Any] | None = None,
) -> Array:
    mean, var = batch_statistics(xp, x) if statistics is None else statistics
    view = _View(x)
    out = view.empty(xp, x)
    values, target = view(x), view(out)
    middle, scale = view.spread(xp, mean), view.spread(xp, weight / xp.sqrt(var + x.dtype.type(eps)))
    level = view.spread(xp, bias)
    for rows in view.blocks(xp, values):
        # Subtracting the mean first loses no digits where it is large beside the deviation.
        block = xp.subtract(values[rows], middle, out=target[rows])
        block *= scale
        block += level
    return out


def _sums(xp: Namespace, g: Array, x: Array, statistics: Array) -> Array:
    """(2, c): per channel the sum of g, and of g * (x - mean)."""
    view = _View(x)
    out = xp.zeros((2, x.shape[1]), x.dtype)
    plain, weighted = out[0], out[1]
    values, cotangents, middle = view(x), view(g), view.spread(xp, statistics[0])
    for rows in view.blocks(xp, values):
        plain += view.sum(xp, cotangents[rows])
        centred = values[rows] - middle
        weighted += view.sum(xp, xp.multiply(centred, cotangents[rows], out=centred))
    return out


def _input_grad(
    xp: Namespace, g: Array, x: Array, weight: Array, statistics: Array, sums: Array, *, eps: float
) -> Array:
    (mean, var), (plain, weighted) = statistics, sums
    count = x.dtype.type(max(x.size // max(x.shape[1], 1), 1))
    variance = var + x.dtype.type(eps)
    scale = weight / xp.sqrt(variance)
    view = _View(x)
    out = view.empty(xp, x)
    along = view.spread(xp, scale * weighted / (variance * -count))
    level = view.spread(xp, scale * plain / -count)
    middle, scale = view.spread(xp, mean), view.spread(xp, scale)
    values, cotangents, target = view(x), view(g), view(out)
    for rows in view.blocks(xp, values):
        block = xp.subtract(values[rows], middle, out=target[rows])
        block *= along
        block += cotangents[rows] * scale
        block += level
    return out


STATISTICS = np.array([[0.1, -0.2], [0.9, 1.1]])
SUMS = np.array([[0.3, -0.4], [0.2, 0.5]])

# Their gradients are not theirs alone (the statistics are functions of x): see _x_vjp, which has them all.
_statistics: Op = op(
    "batch_statistics",
    batch_statistics,
    cases=(Case(((3, 2, 2, 3),)), Case(((5, 3),)), Case(((0, 3, 2, 2),))),
)
_sums_row: Op = op(
    "batch_norm_sums",
    _sums,
    cases=(Case(((3, 2, 2, 3), (3, 2, 2, 3), STATISTICS)), Case(((0, 2), (0, 2), STATISTICS))),
)
_input_grad_row: Op = op(
    "batch_norm_input_grad",
    _input_grad,
    cases=(
        Case(((3, 2, 2, 3), (3, 2, 2, 3), (2,), STATISTICS, SUMS), {"eps": 0.1}),
        Case(((0, 2), (0, 2), (2,), STATISTICS, SUMS), {"eps": 0.1}),
    ),
)


def _known(x: Tensor, statistics: Tensor | None) -> Tensor:
    return _statistics(x) if statistics is None else statistics


def _shared_sums(g: Tensor, x: Tensor, statistics: Tensor, saved: dict[str, Any] | None) -> Tensor:
    """The sums that the gradients of all three inputs need, worked out once."""
    if saved is None:
        return _sums_row(g, x, statistics)
    if saved.get("for") is not g.data:
        saved["for"], saved["sums"] = g.data, _sums_row(g, x, statistics)
    sums: Tensor = saved["sums"]
    return sums


def _parts(x: Tensor, eps: float) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """x normalised, and one over its deviation, as functions of x that can be differentiated."""
    axes = (0, *range(2, x.ndim))
    centred = x - x.mean(axis=axes, keepdims=True)
    inverse = 1.0 / ((centred * centred).mean(axis=axes, keepdims=True) + eps).sqrt()
    return centred * inverse, inverse, axes


def _x_vjp(
    g: Tensor, y: Tensor, x: Tensor, weight: Tensor, bias: Tensor, statistics: Any = None, *, eps: float,
    saved: Any = None,
) -> Tensor:  # fmt: skip
    if grad_enabled():
        normal, inverse, axes = _parts(x, eps)
        along = (g * normal).mean(axis=axes, keepdims=True)
        scale = inverse * weight.reshape(inverse.shape)
        return scale * (g - g.mean(axis=axes, keepdims=True) - normal * along)
    statistics = _known(x, statistics)
    sums = _shared_sums(g, x, statistics, saved)
    return _input_grad_row(g, x, weight, statistics, sums, eps=eps)


def _weight_vjp(
    g: Tensor, y: Tensor, x: Tensor, weight: Tensor, bias: Tensor, statistics: Any = None, *, eps: float,
    saved: Any = None,
) -> Tensor:  # fmt: skip
    if grad_enabled():
        normal, _, axes = _parts(x, eps)
        return (g * normal).sum(axis=axes)
    statistics = _known(x, statistics)
    slope: Tensor = _shared_sums(g, x, statistics, saved)[1] / (statistics[1] + eps).sqrt()
    return slope


def _bias_vjp(
    g: Tensor, y: Tensor, x: Tensor, weight: Tensor, bias: Tensor, statistics: Any = None, *, eps: float,
    saved: Any = None,
) -> Tensor:  # fmt: skip
    if grad_enabled():
        return g.sum(axis=(0, *range(2, x.ndim)))
    return _shared_sums(g, x, _known(x, statistics), saved)[0]


def _scale_shift(xp: Namespace, x: Array, scale: Array, shift: Array) -> Array:
    view = _View(x)
    out = view.empty(xp, x)
    values, target = view(x), view(out)
    scales, shifts = view.spread(xp, scale), view.spread(xp, shift)
    for rows in view.blocks(xp, values):
        block = xp.multiply(values[rows], scales, out=target[rows])
        block += shifts
    return out


def _scale(xp: Namespace, x: Array, scale: Array) -> Array:
    view = _View(x)
    out = view.empty(xp, x)
    xp.multiply(view(x), view.spread(xp, scale), out=view(out))
    return out


_train: Op = op(
    "batch_norm_train",
    _train_forward,
    (_x_vjp, _weight_vjp, _bias_vjp, None),
    cases=(
        Case(((3, 2, 2, 3), (2,), (2,)), {"eps": 0.1}),
        Case(((5, 3), (3,), (3,)), {"eps": 0.1}),
    ),
)
scale_channels: Op = op(
    "scale_channels",
    _scale,
    (
        lambda g, y, x, scale: scale_channels(g, scale),
        lambda g, y, x, scale: (g * x).sum(axis=(0, *range(2, x.ndim))),
    ),
    cases=(
        Case(((2, 3, 2, 4), (3,))),
        Case(((4, 3), (3,))),
        Case(((0, 3, 2, 2), (3,))),
    ),
)
scale_shift: Op = op(
    "scale_shift",
    _scale_shift,
    (
        lambda g, y, x, scale, shift: scale_channels(g, scale),
        lambda g, y, x, scale, shift: (g * x).sum(axis=(0, *range(2, x.ndim))),
        lambda g, y, x, scale, shift: g.sum(axis=(0, *range(2, x.ndim))),
    ),
    cases=(
        Case(((2, 3, 2, 4), (3,), (3,))),
        Case(((4, 3), (3,), (3,))),
        Case(((0, 3, 2, 2), (3,), (3,))),
    ),
)


def _evaluate(
    xp: Namespace, x: Array, weight: Array, bias: Array, mean: Array, var: Array, *, eps: float
) -> Array:
    scale = weight / xp.sqrt(var + var.dtype.type(eps))
    return _scale_shift(xp, x, scale, bias - scale * mean)


def _scale_of(weight: Tensor, var: Tensor, eps: float) -> Tensor:
    return weight / (var + eps).sqrt()


def _centred_sum(g: Tensor, x: Tensor, mean: Tensor) -> Tensor:
    axes = (0, *range(2, x.ndim))
    return (g * x).sum(axis=axes) - mean * g.sum(axis=axes)


batch_norm_eval: Op = op(
    "batch_norm_eval",
    _evaluate,
    (
        lambda g, y, x, w, b, mean, var, eps: scale_channels(g, _scale_of(w, var, eps)),
        lambda g, y, x, w, b, mean, var, eps: _centred_sum(g, x, mean) / (var + eps).sqrt(),
        lambda g, y, x, w, b, mean, var, eps: g.sum(axis=(0, *range(2, x.ndim))),
        lambda g, y, x, w, b, mean, var, eps: -_scale_of(w, var, eps) * g.sum(axis=(0, *range(2, x.ndim))),
        lambda g, y, x, w, b, mean, var, eps: (
            _centred_sum(g, x, mean) * _scale_of(w, var, eps) / (var + eps) * -0.5
        ),
    ),
    domain=((-2.0, 2.0), (-2.0, 2.0), (-2.0, 2.0), (-1.0, 1.0), (0.3, 2.0)),
    cases=(
        Case(((2, 3, 2, 4), (3,), (3,), (3,), (3,)), {"eps": 0.1}),
        Case(((4, 3), (3,), (3,), (3,), (3,)), {"eps": 0.1}),
        Case(((0, 3, 2, 2), (3,), (3,), (3,), (3,)), {"eps": 0.1}),
    ),
)
"""Batch normalisation by given statistics: x (n, c, ...), then weight, bias, mean and var, all (c,)."""


def batch_norm_train(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x (n, c, ...) with mean 0 and variance 1 over the batch in each channel, times weight, plus bias (c,).

    Returns it and the batch's statistics (2, c): mean, and variance divided by the count.
    Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167.
    """
    statistics = _statistics(x.detach())
    return _train(x, weight, bias, statistics, eps=float(eps), saved={}), statistics
