"""Leaf layers that normalise: over the batch, over features, over groups of channels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from armour.checks import count, describe, fraction, positive
from armour.errors import InvalidArgument
from armour.tensor import norm
from armour.tensor.backend import Array
from armour.tensor.core import Tensor, effect
from armour.tensor.fused import batch_norm_eval, batch_norm_train
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
        out, statistics = batch_norm_train(x, self.weight, self.bias, self.eps)
        effect(self._follow(values), statistics)
        return out

    def _evaluate(self, x: Tensor) -> Tensor:
        out: Tensor = batch_norm_eval(
            x, self.weight, self.bias, self.running_mean, self.running_var, eps=self.eps
        )
        return out

    def _follow(self, values: int) -> Callable[[Array], None]:
        # As in PyTorch, the running variance is the unbiased one.
        def update(statistics: Array) -> None:
            for running, new in ((self.running_mean, statistics[0]), (self.running_var, statistics[1])):
                unbiased = (
                    new if running is self.running_mean else new * new.dtype.type(values / (values - 1))
                )
                running.data = running.data + (unbiased - running.data) * running.dtype.type(self.momentum)

        return update


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
