"""What each row of the op table must compute, in plain NumPy and loops written for reading."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import scipy.special

from tests.tensor import references_nn
from tests.tensor.array_references import ARRAY_REFERENCES


def conv2d(x: Any, w: Any, b: Any = None, *, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """Every output element as its own sum."""
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    n, _, height, width = x.shape
    o, c, kh, kw = w.shape
    oh, ow = (height - dh * (kh - 1) - 1) // sh + 1, (width - dw * (kw - 1) - 1) // sw + 1
    out = np.zeros((n, o, oh, ow))
    for k, i, j in product(range(o), range(oh), range(ow)):
        first = k // (o // groups) * c
        rows, cols = (
            slice(i * sh, i * sh + dh * (kh - 1) + 1, dh),
            slice(j * sw, j * sw + dw * (kw - 1) + 1, dw),
        )
        out[:, k, i, j] = (x[:, first : first + c, rows, cols] * w[k]).sum(axis=(1, 2, 3))
        if b is not None:
            out[:, k, i, j] += b[k]
    return out


def transposed(function: Callable[[Any], Any], g: Any, shape: tuple[int, ...]) -> Any:
    """g times the matrix of a linear function of arrays of that shape, one column at a time."""
    out = np.zeros(shape)
    for i in range(out.size):
        unit = np.zeros(out.size)
        unit[i] = 1
        out.flat[i] = (function(unit.reshape(shape)) * g).sum()
    return out


def conv2d_input_grad(g: Any, w: Any, *, size: Any, groups: int, **attrs: Any) -> Any:
    shape = (g.shape[0], w.shape[1] * groups, *size)
    return transposed(lambda x: conv2d(x, w, groups=groups, **attrs), g, shape)


def conv2d_weight_grad(x: Any, g: Any, *, kernel: Any, groups: int, **attrs: Any) -> Any:
    shape = (g.shape[1], x.shape[1] // groups, *kernel)
    return transposed(lambda w: conv2d(x, w, groups=groups, **attrs), g, shape)


def conv2d_sample_grad(x: Any, g: Any, **attrs: Any) -> Any:
    """Each sample alone."""
    rows = [conv2d_weight_grad(x[i : i + 1], g[i : i + 1], **attrs) for i in range(len(x))]
    shape = (g.shape[1], x.shape[1] // attrs["groups"], *attrs["kernel"])
    return np.stack(rows) if rows else np.zeros((0, *shape))


def conv2d_sample_square(x: Any, g: Any, **attrs: Any) -> Any:
    return (conv2d_sample_grad(x, g, **attrs) ** 2).sum(axis=(1, 2, 3, 4))


def pooled(x: Any, kernel: Any, stride: Any, reduce: Callable[[Any], Any]) -> Any:
    """`reduce` of each flattened window."""
    oh, ow = ((x.shape[2 + i] - kernel[i]) // stride[i] + 1 for i in (0, 1))
    out = np.zeros((*x.shape[:2], oh, ow))
    for n, c, i, j in product(range(x.shape[0]), range(x.shape[1]), range(oh), range(ow)):
        top, left = i * stride[0], j * stride[1]
        out[n, c, i, j] = reduce(x[n, c, top : top + kernel[0], left : left + kernel[1]].ravel())
    return out


def unpooled(g: Any, x: Any, y: Any, kernel: Any, stride: Any) -> Any:
    """Each element of g added to the first place of its window of x that holds y."""
    out = np.zeros(x.shape)
    for n, c, i, j in product(*(range(k) for k in g.shape)):
        top, left = i * stride[0], j * stride[1]
        window = x[n, c, top : top + kernel[0], left : left + kernel[1]]
        p, q = np.argwhere(window == y[n, c, i, j])[0]
        out[n, c, top + p, left + q] += g[n, c, i, j]
    return out


def picked(values: Any, x: Any, y: Any, kernel: Any, stride: Any) -> Any:
    """The elements of `values` at those places."""
    return transposed(lambda g: unpooled(g, x, y, kernel, stride), values, y.shape)


def scattered(g: Any, index: Any, shape: Any) -> Any:
    """What indexing took, put back and added up."""
    out = np.zeros(shape)
    np.add.at(out, index, g)
    return out


def scattered_along(g: Any, indices: Any, axis: int, shape: Any) -> Any:
    out = np.zeros(shape)
    for where in np.ndindex(*indices.shape):
        to = list(where)
        to[axis] = indices[where]
        out[tuple(to)] += g[where]
    return out


def log_sum_exp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


def normalised(x: Any, axes: Any, eps: float) -> Any:
    return (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + eps)


def channels(a: Any, x: Any) -> Any:
    """(c,) values beside x (n, c, ...)."""
    return a.reshape((1, -1, *(1,) * (x.ndim - 2)))


def batch_norm_train(x: Any, weight: Any, bias: Any, eps: float) -> Any:
    normal = normalised(x, (0, *range(2, x.ndim)), eps)
    return normal * channels(weight, x) + channels(bias, x)


def batch_norm_eval(x: Any, weight: Any, bias: Any, mean: Any, var: Any, eps: float) -> Any:
    normal = (x - channels(mean, x)) / np.sqrt(channels(var, x) + eps)
    return normal * channels(weight, x) + channels(bias, x)


def _over_channels(x: Any) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def batch_statistics(x: Any) -> Any:
    axes = _over_channels(x)
    return np.stack([x.mean(axis=axes), x.var(axis=axes)]) if x.size else np.zeros((2, x.shape[1]))


def batch_norm_sums(g: Any, x: Any, statistics: Any) -> Any:
    axes = _over_channels(x)
    return np.stack([g.sum(axis=axes), (g * (x - channels(statistics[0], x))).sum(axis=axes)])


def batch_norm_input_grad(g: Any, x: Any, weight: Any, statistics: Any, sums: Any, eps: float) -> Any:
    count = max(x.size // x.shape[1], 1)
    deviation = np.sqrt(statistics[1] + eps)
    normal = (x - channels(statistics[0], x)) / channels(deviation, x)
    means = channels(sums[0] / count, x) + normal * channels(sums[1] / deviation / count, x)
    return channels(weight / deviation, x) * (g - means)


def cross_entropy(logits: Any, labels: Any) -> Any:
    return np.array(
        [math.log(sum(math.exp(v - row[k]) for v in row)) for row, k in zip(logits, labels, strict=True)]
    )


def clip(x: Any, low: Any, high: Any) -> Any:
    return np.clip(x, -np.inf if low is None else low, np.inf if high is None else high)


def max_share(a: Any, b: Any) -> Any:
    return np.where(a > b, 1.0, np.where(a == b, 0.5, 0.0))


def same(x: Any) -> Any:
    return x


REFERENCES: dict[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in (
        *(
            "add",
            "subtract",
            "multiply",
            "divide",
            "power",
            "negative",
            "abs",
            "exp",
            "log",
            "log1p",
            "expm1",
            "sqrt",
            "sin",
            "cos",
        ),
        *(
            "tanh",
            "sign",
            "floor",
            "maximum",
            "minimum",
            "where",
            "less",
            "less_equal",
            "greater",
            "greater_equal",
            "equal",
        ),
        *(
            "not_equal",
            "sum",
            "mean",
            "var",
            "max",
            "min",
            "argmax",
            "cumsum",
            "reshape",
            "broadcast_to",
            "flip",
        ),
        *("take_along_axis", "matmul", "transpose"),
    )
} | {
    "alias": same,
    "avg_pool2d": lambda x, kernel, stride: pooled(x, kernel, stride, np.mean),
    "avg_unpool2d": lambda g, size, kernel, stride: transposed(
        lambda x: pooled(x, kernel, stride, np.mean), g, (*g.shape[:2], *size)
    ),
    "batch_norm_eval": batch_norm_eval,
    "batch_norm_input_grad": batch_norm_input_grad,
    "batch_norm_sums": batch_norm_sums,
    "batch_norm_train": batch_norm_train,
    "batch_statistics": batch_statistics,
    "cast": lambda x, dtype: x.astype(dtype),
    "clip": clip,
    "concat": lambda *xs, axis: np.concatenate(xs, axis=axis),
    "conv2d": conv2d,
    "conv2d_input_grad": conv2d_input_grad,
    "conv2d_weight_grad": conv2d_weight_grad,
    "conv2d_sample_grad": conv2d_sample_grad,
    "conv2d_sample_square": conv2d_sample_square,
    "cross_entropy": cross_entropy,
    "cross_entropy_grad": lambda g, z, y: (
        g[:, None] * (scipy.special.softmax(z, axis=1) - np.eye(z.shape[1])[y])
    ),
    "dropout": lambda x, keep, scale: np.where(keep, x * scale, 0.0),
    "einsum": lambda *xs, subscripts: np.einsum(subscripts, *xs),
    "elu": lambda x, alpha: np.where(x > 0, x, alpha * (np.exp(x) - 1)),
    "erf": scipy.special.erf,
    "gelu": lambda x: x * scipy.special.ndtr(x),
    "getitem": lambda x, index: x[index],
    "getitem_grad": scattered,
    "leaky_relu": lambda x, slope: np.where(x > 0, x, slope * x),
    "linear": lambda x, w, b=0.0: np.einsum("...i,oi->...o", x, w) + b,
    "log_softmax": scipy.special.log_softmax,
    "logsumexp": log_sum_exp,
    "max_pool2d": lambda x, kernel, stride: pooled(x, kernel, stride, np.max),
    "max_pick2d": picked,
    "max_share": max_share,
    "max_unpool2d": unpooled,
    "one_hot": lambda labels, classes, dtype: np.eye(classes, dtype=dtype)[labels],
    "pad": lambda x, widths, value: np.pad(x, widths, constant_values=value),
    "relu": lambda x: np.where(x > 0, x, 0.0),
    "relu_grad": lambda g, y: np.where(y > 0, g, 0.0),
    "scale_channels": lambda x, scale: x * channels(scale, x),
    "scale_shift": lambda x, scale, shift: x * channels(scale, x) + channels(shift, x),
    "sigmoid": scipy.special.expit,
    "silu": lambda x: x * scipy.special.expit(x),
    "softmax": scipy.special.softmax,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "stack": lambda *xs, axis: np.stack(xs, axis=axis),
    "sum_places": lambda x: x.reshape((*x.shape[:2], np.prod(x.shape[2:], dtype=int))).sum(axis=2),
    "take_along_axis_grad": scattered_along,
    **ARRAY_REFERENCES,
}
REFERENCES |= references_nn.REFERENCES
