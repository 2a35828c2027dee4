"""Leaf layers that normalise in further ways; batch, layer and group normalisation are in
normalisation.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from armour.checks import count, describe, positive
from armour.errors import InvalidArgument
from armour.tensor import norm
from armour.tensor.core import Tensor
from armour.tensor.layers import Layer, leaf
from armour.tensor.module import Parameter, initial
from armour.tensor.normalisation import _BatchNorm


@leaf
class BatchNorm3d(_BatchNorm):
    """BatchNorm2d for x (n, c, d, h, w)."""

    axes = (5,)


class _InstanceNorm(Layer):
    axes: int

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = False) -> None:
        self.num_features, self.eps = count("num_features", num_features), positive("eps", eps)
        self.weight = self.bias = None
        if affine:
            self.weight, self.bias = _filled(1.0, self.num_features), _filled(0.0, self.num_features)

    def config(self) -> dict[str, Any]:
        return {"num_features": self.num_features, "eps": self.eps, "affine": self.weight is not None}

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, ...) -> the same shape."""
        if x.ndim != self.axes + 2 or x.shape[1] != self.num_features:
            raise InvalidArgument(
                f"{type(self).__name__} expects {self.num_features} channels and {self.axes} axes of "
                f"positions, "
                f"got shape {x.shape}"
            )
        return norm.instance_norm(x, self.weight, self.bias, self.eps)


@leaf
class InstanceNorm1d(_InstanceNorm):
    """InstanceNorm2d for x (n, c, l)."""

    axes = 1


@leaf
class InstanceNorm2d(_InstanceNorm):
    """Each channel of each sample of x (n, c, h, w) with mean 0 and variance 1, in training and evaluation.

    affine: times weight (c,), plus bias (c,), learned; none by default, as in PyTorch.
    Ulyanov, Vedaldi and Lempitsky, 2016, https://arxiv.org/abs/1607.08022.
    """

    axes = 2


@leaf
class InstanceNorm3d(_InstanceNorm):
    """InstanceNorm2d for x (n, c, d, h, w)."""

    axes = 3


@leaf
class RMSNorm(Layer):
    """Root mean square 1 over the last axes, of shape `normalized_shape`, times weight if
    `elementwise_affine`.

    eps: added to the mean square; None is the smallest step from 1 of x's dtype, as in PyTorch.
    Zhang and Sennrich, 2019, https://arxiv.org/abs/1910.07467.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
    ) -> None:
        sizes = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        if not sizes:
            raise InvalidArgument("expected at least one axis in normalized_shape, got none")
        self.normalized_shape = tuple(count("normalized_shape", n) for n in sizes)
        self.eps = None if eps is None else positive("eps", eps)
        self.weight = _filled(1.0, *self.normalized_shape) if elementwise_affine else None

    def config(self) -> dict[str, Any]:
        return {
            "normalized_shape": self.normalized_shape,
            "eps": self.eps,
            "elementwise_affine": self.weight is not None,
        }

    def forward(self, x: Tensor) -> Tensor:
        """(..., *normalized_shape) -> the same shape."""
        k = len(self.normalized_shape)
        if x.shape[-k:] != self.normalized_shape:
            raise InvalidArgument(
                f"RMSNorm expects the last axes to be {self.normalized_shape}, got {describe('x', x)}"
            )
        return norm.rms_norm(x, self.weight, tuple(range(-k, 0)), self.eps)


@leaf
class LocalResponseNorm(Layer):
    """x divided by (k + alpha * mean of the squares of `size` neighbouring channels) ** beta.

    Krizhevsky, Sutskever and Hinton, 2012.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size, self.alpha, self.beta, self.k = count("size", size), float(alpha), float(beta), float(k)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, ...) -> the same shape."""
        return norm.local_response_norm(x, self.size, self.alpha, self.beta, self.k)


def _filled(value: float, *shape: int) -> Parameter:
    return Parameter(initial(shape, lambda: np.full(shape, value, np.float32)))
