"""Rows for batch normalisation, which elementary rows would spread over some thirty passes over memory.

`batch_norm_train` normalises by the statistics of the batch; `scale_shift` is what is left of it in
evaluation mode. On the host the passes run over blocks of samples that stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from armour.tensor.backend import Array, Namespace, get_xp
from armour.tensor.core import Tensor, grad_enabled
from armour.tensor.op import Case, op

BLOCK = 1 << 16  # elements of a block: 256 KB of float32, about an L2 cache


def _blocks(xp: Namespace, x: Array) -> Iterator[slice]:
    n = x.shape[0]
    step = max(1, BLOCK * n // max(x.size, 1)) if xp.__name__ == "numpy" else max(n, 1)
    return (slice(i, i + step) for i in range(0, n, step))


def _column(a: Array) -> Array:
    return a.reshape((1, -1, 1))


def _flat(x: Array) -> Array:
    return x.reshape((x.shape[0], x.shape[1], -1)) if x.size else x.reshape((x.shape[0], x.shape[1], 0))


def batch_statistics(xp: Namespace, x: Array) -> tuple[Array, Array]:
    """Mean and variance (divided by the count) of each channel of x (n, c, ...): (c,) and (c,)."""
    values = _flat(x)
    count = x.dtype.type(max(values.shape[0] * values.shape[2], 1))
    mean = xp.einsum("nct->nc", values).sum(axis=0) / count
    squares = xp.zeros(x.shape[1], x.dtype)
    for rows in _blocks(xp, x):
        centred = values[rows] - _column(mean)
        squares += xp.einsum("nct,nct->nc", centred, centred).sum(axis=0)
    return mean, squares / count


def _train_forward(
    xp: Namespace, x: Array, weight: Array, bias: Array, eps: float, saved: dict[str, Any] | None = None
) -> Array:
    mean, var = batch_statistics(xp, x)
    if saved is not None:
        saved["mean"], saved["var"] = mean, var
    scale = weight / xp.sqrt(var + x.dtype.type(eps))
    values, out = _flat(x), xp.empty(x.shape, x.dtype)
    target = _flat(out)
    for rows in _blocks(xp, x):
        # Subtracting the mean first loses no digits where it is large beside the deviation.
        block = xp.subtract(values[rows], _column(mean), out=target[rows])
        block *= _column(scale)
        block += _column(bias)
    return out


def _saved(x: Tensor, saved: dict[str, Any] | None) -> dict[str, Any]:
    saved = {} if saved is None else saved
    if "mean" not in saved:
        saved["mean"], saved["var"] = batch_statistics(get_xp(x.data), x.data)
    return saved


def _sums(g: Tensor, x: Tensor, saved: dict[str, Any]) -> tuple[Array, Array]:
    """Per channel: sum of g, and sum of g * (x - mean); kept for the other inputs' gradients."""
    if saved.get("for") is not g.data:
        xp = get_xp(x.data)
        plain = xp.zeros(x.shape[1], x.dtype)
        weighted = xp.zeros(x.shape[1], x.dtype)
        values, cotangents = _flat(x.data), _flat(g.data)
        for rows in _blocks(xp, x.data):
            plain += xp.einsum("nct->nc", cotangents[rows]).sum(axis=0)
            centred = values[rows] - _column(saved["mean"])
            weighted += xp.einsum("nct,nct->nc", cotangents[rows], centred).sum(axis=0)
        saved["for"], saved["sums"] = g.data, (plain, weighted)
    sums: tuple[Array, Array] = saved["sums"]
    return sums


def _parts(x: Tensor, eps: float) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """x normalised, and one over its deviation, as functions of x that can be differentiated."""
    axes = (0, *range(2, x.ndim))
    centred = x - x.mean(axis=axes, keepdims=True)
    inverse = 1.0 / ((centred * centred).mean(axis=axes, keepdims=True) + eps).sqrt()
    return centred * inverse, inverse, axes


def _x_vjp(
    g: Tensor, y: Tensor, x: Tensor, weight: Tensor, bias: Tensor, eps: float, saved: Any = None
) -> Tensor:
    if grad_enabled():
        normal, inverse, axes = _parts(x, eps)
        along = (g * normal).mean(axis=axes, keepdims=True)
        scale = inverse * weight.reshape(inverse.shape)
        return scale * (g - g.mean(axis=axes, keepdims=True) - normal * along)
    xp, saved = get_xp(x.data), _saved(x, saved)
    plain, weighted = _sums(g, x, saved)
    count = x.dtype.type(max(x.size // max(x.shape[1], 1), 1))
    variance = saved["var"] + x.dtype.type(eps)
    scale = weight.data / xp.sqrt(variance)
    along, level = _column(scale * weighted / (variance * -count)), _column(scale * plain / -count)
    mean, scale = _column(saved["mean"]), _column(scale)
    values, cotangents, out = _flat(x.data), _flat(g.data), xp.empty(x.shape, x.dtype)
    target = _flat(out)
    for rows in _blocks(xp, x.data):
        block = xp.subtract(values[rows], mean, out=target[rows])
        block *= along
        block += cotangents[rows] * scale
        block += level
    return Tensor(out)


def _weight_vjp(
    g: Tensor, y: Tensor, x: Tensor, weight: Tensor, bias: Tensor, eps: float, saved: Any = None
) -> Tensor:
    if grad_enabled():
        normal, _, axes = _parts(x, eps)
        return (g * normal).sum(axis=axes)
    saved = _saved(x, saved)
    weighted = _sums(g, x, saved)[1]
    return Tensor(weighted / get_xp(x.data).sqrt(saved["var"] + x.dtype.type(eps)))


def _bias_vjp(
    g: Tensor, y: Tensor, x: Tensor, weight: Tensor, bias: Tensor, eps: float, saved: Any = None
) -> Tensor:
    if grad_enabled():
        return g.sum(axis=(0, *range(2, x.ndim)))
    return Tensor(_sums(g, x, _saved(x, saved))[0])


def _scale_shift(xp: Namespace, x: Array, scale: Array, shift: Array) -> Array:
    out, values = xp.empty(x.shape, x.dtype), _flat(x)
    target = _flat(out)
    for rows in _blocks(xp, x):
        block = xp.multiply(values[rows], _column(scale), out=target[rows])
        block += _column(shift)
    return out


def _spread(a: Tensor, x: Tensor) -> Tensor:
    return a.reshape((1, -1, *(1,) * (x.ndim - 2)))


_train = op(
    "batch_norm_train",
    _train_forward,
    (_x_vjp, _weight_vjp, _bias_vjp),
    cases=(
        Case(((3, 2, 2, 3), (2,), (2,)), {"eps": 0.1}),
        Case(((5, 3), (3,), (3,)), {"eps": 0.1}),
    ),
)
scale_shift = op(
    "scale_shift",
    _scale_shift,
    (
        lambda g, y, x, scale, shift: g * _spread(scale, x),
        lambda g, y, x, scale, shift: (g * x).sum(axis=(0, *range(2, x.ndim))),
        lambda g, y, x, scale, shift: g.sum(axis=(0, *range(2, x.ndim))),
    ),
    cases=(
        Case(((2, 3, 2, 4), (3,), (3,))),
        Case(((4, 3), (3,), (3,))),
        Case(((0, 3, 2, 2), (3,), (3,))),
    ),
)


def batch_norm_train(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, saved: dict[str, Any] | None = None
) -> Tensor:
    """x (n, c, ...) with mean 0 and variance 1 over the batch in each channel, times weight, plus bias (c,).

    saved: filled with the batch's "mean" and "var" (divided by the count), (c,) arrays; the backward pass
    reuses them. Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167.
    """
    return _train(x, weight, bias, eps=float(eps), saved={} if saved is None else saved)
