"""Leaf layers that normalise: over the batch, over features, over groups of channels."""

from __future__ import annotations

import numpy as np

from armour.checks import count, describe, fraction, positive
from armour.errors import InvalidArgument
from armour.tensor import norm
from armour.tensor.backend import Array, get_xp
from armour.tensor.core import Tensor, grad_enabled
from armour.tensor.fused import batch_norm_train, scale_shift
from armour.tensor.layers import Layer, leaf
from armour.tensor.module import Buffer, Parameter, initial


class _BatchNorm(Layer):
    axes: tuple[int, ...]

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.num_features = count("num_features", num_features)
        self.eps, self.momentum = positive("eps", eps), fraction("momentum", momentum)
        self.weight, self.bias = _scale_and_shift((self.num_features,))
        self.running_mean = Buffer(_constant((self.num_features,), 0.0))
        self.running_var = Buffer(_constant((self.num_features,), 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, ...) -> the same shape."""
        if x.ndim not in self.axes or x.shape[1] != self.num_features:
            raise InvalidArgument(
                f"{type(self).__name__} expects {self.num_features} channels in one of {self.axes} axes, "
                f"got shape {x.shape}"
            )
        if not self.training or not x.size:
            return self._evaluate(x)
        values = x.size // self.num_features
        if values < 2:
            raise InvalidArgument(
                f"batch normalisation in training expects 2 or more values per channel, got shape {x.shape}; "
                "use a larger batch, or eval()"
            )
        saved: dict[str, Array] = {}
        out = batch_norm_train(x, self.weight, self.bias, self.eps, saved)
        # As in PyTorch, the running variance is the unbiased one.
        self._follow(self.running_mean, saved["mean"])
        self._follow(self.running_var, saved["var"] * x.dtype.type(values / (values - 1)))
        return out

    def _evaluate(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean.data, self.running_var.data
        xp = get_xp(x.data)
        inverse = 1 / xp.sqrt(var + var.dtype.type(self.eps))
        if grad_enabled() and (self.weight.requires_grad or self.bias.requires_grad):
            scale = self.weight * inverse
            return scale_shift(x, scale, self.bias - scale * mean)
        factor = self.weight.data * inverse
        return scale_shift(x, factor, self.bias.data - factor * mean)

    def _follow(self, running: Buffer, new: Array) -> None:
        running.data = running.data + (new - running.data) * running.dtype.type(self.momentum)


@leaf
class BatchNorm2d(_BatchNorm):
    """Each channel of x (n, c, h, w) with mean 0 and variance 1, times weight (c,), plus bias (c,).

    In training over the batch, which the running statistics follow with weight `momentum`; in evaluation
    mode by the running statistics, as one multiplication and one addition.
    Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167.
    """

    axes = (4,)


@leaf
class BatchNorm1d(_BatchNorm):
    """BatchNorm2d for x (n, c) or (n, c, length)."""

    axes = (2, 3)


@leaf
class LayerNorm(Layer):
    """Mean 0 and variance 1 over the last axes, of shape `normalized_shape`, times weight, plus bias.

    Ba, Kiros and Hinton, 2016, https://arxiv.org/abs/1607.06450.
    """

    def __init__(self, normalized_shape: int | tuple[int, ...], eps: float = 1e-5) -> None:
        sizes = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        if not sizes:
            raise InvalidArgument("expected at least one axis in normalized_shape, got none")
        self.normalized_shape = tuple(count("normalized_shape", n) for n in sizes)
        self.eps = positive("eps", eps)
        self.weight, self.bias = _scale_and_shift(self.normalized_shape)

    def forward(self, x: Tensor) -> Tensor:
        """(..., *normalized_shape) -> the same shape."""
        k = len(self.normalized_shape)
        if x.shape[-k:] != self.normalized_shape:
            raise InvalidArgument(
                f"LayerNorm expects the last axes to be {self.normalized_shape}, got {describe('x', x)}"
            )
        return norm.layer_norm(x, self.weight, self.bias, tuple(range(-k, 0)), self.eps)


@leaf
class GroupNorm(Layer):
    """Mean 0 and variance 1 over each of `num_groups` groups of channels, times weight (c,), plus bias (c,).

    Wu and He, 2018, https://arxiv.org/abs/1803.08494.
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5) -> None:
        self.num_groups, self.num_channels = (
            count("num_groups", num_groups),
            count("num_channels", num_channels),
        )
        if self.num_channels % self.num_groups:
            raise InvalidArgument(
                f"expected num_groups={num_groups} to divide num_channels, got {num_channels} channels"
            )
        self.eps = positive("eps", eps)
        self.weight, self.bias = _scale_and_shift((self.num_channels,))

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, ...) -> the same shape."""
        return norm.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


def _constant(shape: tuple[int, ...], value: float) -> Array:
    return initial(shape, lambda: np.full(shape, value, np.float32))


def _scale_and_shift(shape: tuple[int, ...]) -> tuple[Parameter, Parameter]:
    return Parameter(_constant(shape, 1.0)), Parameter(_constant(shape, 0.0))
