"""Normalisation layers."""

from __future__ import annotations

import numpy as np

import armour.tensor as T
from armour.tensor.core import Tensor

from .rules import Call, rule

_NORMS = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d", 5: "BatchNorm3d"}


@rule("BatchNormalization")
def batch_norm(c: Call) -> object:
    """By stored statistics; in training mode (opset 14) by the batch's, which it also updates."""
    x, eps = c.x(0), float(c.attr("epsilon", 1e-5))
    if c.opset >= 14 and c.attr("training_mode", 0):
        return _training(c, x, eps)
    if c.opset < 9 and not c.attr("spatial", 1):
        raise c.unsupported("batch normalisation of each pixel (spatial=0)")
    if x.ndim in _NORMS and all(c.fixed(i) for i in range(1, 5)):
        names = ("weight", "bias", "running_mean", "running_var")
        weights = {name: c.known(i + 1).reshape(-1) for i, name in enumerate(names)}
        return c.layer(_NORMS[x.ndim], {"num_features": x.shape[1], "eps": eps}, weights)(x)
    return T.batch_norm(x, c.x(1), c.x(2), c.x(3), c.x(4), eps)


def _training(c: Call, x: Tensor, eps: float) -> tuple[Tensor, ...]:
    axes = (0, *range(2, x.ndim))
    mean, var = T.mean(x, axis=axes), T.var(x, axis=axes)
    out = T.batch_norm(x, c.x(1), c.x(2), mean, var, eps)
    keep = float(c.attr("momentum", 0.9))
    return out, c.x(3) * keep + mean * (1 - keep), c.x(4) * keep + var * (1 - keep)


@rule("InstanceNormalization")
def instance_norm(c: Call) -> Tensor:
    """Each channel of each sample by itself."""
    x = c.x(0)
    axes = tuple(range(2, x.ndim))
    shape = (-1, *(1,) * len(axes))
    return _standard(x, axes, float(c.attr("epsilon", 1e-5))) * T.reshape(c.x(1), shape) + T.reshape(
        c.x(2), shape
    )


def _standard(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    centred = x - T.mean(x, axis=axes, keepdims=True)
    return centred / T.sqrt(T.mean(centred * centred, axis=axes, keepdims=True) + eps)


@rule("LayerNormalization")
def layer_norm(c: Call) -> object:
    """Over the axes from `axis` on; mean and inverse deviation are further outputs."""
    x, eps = c.x(0), float(c.attr("epsilon", 1e-5))
    first = int(c.attr("axis", -1)) % x.ndim
    axes = tuple(range(first, x.ndim))
    plain = c.fixed(1) and (not c.has(2) or c.fixed(2)) and c.shape(1) == x.shape[first:]
    if plain and not c.wants(1) and not c.wants(2) and x.dtype == np.float32:
        bias = c.known(2) if c.has(2) else np.zeros(c.shape(1), c.dtype(1))
        config = {"normalized_shape": x.shape[first:], "eps": eps}
        return c.layer("LayerNorm", config, {"weight": c.known(1), "bias": bias.reshape(c.shape(1))})(x)
    mean = T.mean(x, axis=axes, keepdims=True)
    centred = x - mean
    inverse = 1.0 / T.sqrt(T.mean(centred * centred, axis=axes, keepdims=True) + eps)
    out = centred * inverse * c.x(1)
    return (out + c.x(2) if c.has(2) else out), mean, inverse


@rule("RMSNormalization")
def rms_norm(c: Call) -> Tensor:
    """Root mean square 1 over the axes from `axis` on."""
    x, eps = c.x(0), float(c.attr("epsilon", 1e-5))
    axes = tuple(range(int(c.attr("axis", -1)) % x.ndim, x.ndim))
    return x / T.sqrt(T.mean(x * x, axis=axes, keepdims=True) + eps) * c.x(1)


@rule("GroupNormalization")
def group_norm(c: Call) -> Tensor:
    """Over groups of channels; before opset 21 with one scale for each group."""
    x, groups, eps = c.x(0), int(c.attr("num_groups")), float(c.attr("epsilon", 1e-5))
    n, channels = x.shape[:2]
    if c.opset >= 21 or c.shape(1)[0] == channels:
        return T.group_norm(x, groups, c.x(1), c.x(2), eps)
    parts = T.reshape(x, (n, groups, -1))
    out = _standard(parts, (2,), eps) * T.expand_dims(c.x(1), 1) + T.expand_dims(c.x(2), 1)
    return T.reshape(out, x.shape)


@rule("LRN")
def local_response_norm(c: Call) -> Tensor:
    """By the squares of neighbouring channels; of an even number the larger half comes after."""
    size = int(c.attr("size"))
    settings = {
        "alpha": float(c.attr("alpha", 1e-4)),
        "beta": float(c.attr("beta", 0.75)),
        "k": float(c.attr("bias", 1.0)),
    }
    if size % 2:
        return c.layer("LocalResponseNorm", {"size": size} | settings)(c.x())  # type: ignore[no-any-return]
    x = c.x()
    around = [(0, 0), ((size - 1) // 2, size // 2), *((0, 0),) * (x.ndim - 2)]
    means = T.mean(T.sliding_windows(T.pad(x * x, around), 1, size), axis=2)
    out: Tensor = x / (means * settings["alpha"] + settings["k"]) ** settings["beta"]
    return out


@rule("LpNormalization")
def lp_norm(c: Call) -> Tensor:
    """Divided by the 1-norm or 2-norm along an axis; zeros stay zeros."""
    x, axis = c.x(), int(c.attr("axis", -1))
    if c.attr("p", 2) == 1:
        size = T.sum(T.abs(x), axis=axis, keepdims=True)
    else:
        size = T.sqrt(T.sum(x * x, axis=axis, keepdims=True))
    return x / T.where(T.equal(size, 0), T.ones_like(size), size)


@rule("MeanVarianceNormalization")
def mean_variance_norm(c: Call) -> Tensor:
    """Mean 0 and deviation 1 over the axes."""
    x = c.x()
    axes = tuple(int(a) % x.ndim for a in c.attr("axes", (0, 2, 3)))
    centred = x - T.mean(x, axis=axes, keepdims=True)
    return centred / (T.sqrt(T.mean(centred * centred, axis=axes, keepdims=True)) + 1e-9)
