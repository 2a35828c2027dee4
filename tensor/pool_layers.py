"""Leaf layers for pooling along one and three axes, adaptive, and by other means than mean and maximum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from armour.checks import positive
from armour.errors import InvalidArgument
from armour.tensor import poolnd
from armour.tensor.conv_layers import Size3
from armour.tensor.core import Tensor
from armour.tensor.layers import Layer, Size, leaf
from armour.tensor.padding import sizes

Size1 = int | tuple[int]
Out = int | tuple[int | None, ...] | None


class _PoolNd(Layer):
    axes: int

    def _set_up(self, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool) -> None:
        self.kernel_size = sizes("kernel_size", kernel_size, self.axes, 1)
        self.stride = self.kernel_size if stride is None else sizes("stride", stride, self.axes, 1)
        self.padding = sizes("padding", padding, self.axes, 0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise InvalidArgument(
                f"expected padding of at most half the window {self.kernel_size}, got {self.padding}"
            )
        self.ceil_mode = bool(ceil_mode)


@leaf
class MaxPool1d(_PoolNd):
    """MaxPool2d for x (n, c, l)."""

    axes = 1

    def __init__(
        self, kernel_size: Size1, stride: Size1 | None = None, padding: Size1 = 0, ceil_mode: bool = False
    ) -> None:
        self._set_up(kernel_size, stride, padding, ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, l) -> (n, c, ol)."""
        return poolnd.max_pool1d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode)


@leaf
class MaxPool3d(_PoolNd):
    """MaxPool2d for x (n, c, d, h, w)."""

    axes = 3

    def __init__(
        self, kernel_size: Size3, stride: Size3 | None = None, padding: Size3 = 0, ceil_mode: bool = False
    ) -> None:
        self._set_up(kernel_size, stride, padding, ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, d, h, w) -> (n, c, od, oh, ow)."""
        return poolnd.max_pool3d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode)


@leaf
class AvgPool1d(_PoolNd):
    """AvgPool2d for x (n, c, l)."""

    axes = 1

    def __init__(
        self,
        kernel_size: Size1,
        stride: Size1 | None = None,
        padding: Size1 = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self._set_up(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = bool(count_include_pad)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, l) -> (n, c, ol)."""
        settings = (self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        return poolnd.avg_pool1d(x, self.kernel_size, *settings)


@leaf
class AvgPool3d(_PoolNd):
    """AvgPool2d for x (n, c, d, h, w)."""

    axes = 3

    def __init__(
        self,
        kernel_size: Size3,
        stride: Size3 | None = None,
        padding: Size3 = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self._set_up(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = bool(count_include_pad)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, d, h, w) -> (n, c, od, oh, ow)."""
        settings = (self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        return poolnd.avg_pool3d(x, self.kernel_size, *settings)


class _LPPool(_PoolNd):
    function: Callable[..., Tensor]

    def _power(self, norm_type: float) -> None:
        self.norm_type = positive("norm_type", norm_type)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, ...) -> (n, c, ...)."""
        return type(self).function(x, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


@leaf
class LPPool1d(_LPPool):
    """LPPool2d for x (n, c, l)."""

    axes, function = 1, staticmethod(poolnd.lp_pool1d)

    def __init__(
        self, norm_type: float, kernel_size: Size1, stride: Size1 | None = None, ceil_mode: bool = False
    ) -> None:
        self._power(norm_type)
        self._set_up(kernel_size, stride, 0, ceil_mode)


@leaf
class LPPool2d(_LPPool):
    """(sum of x ** norm_type) ** (1 / norm_type) over each window; for inputs at or above 0, or an even
    power."""

    axes, function = 2, staticmethod(poolnd.lp_pool2d)

    def __init__(
        self, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
    ) -> None:
        self._power(norm_type)
        self._set_up(kernel_size, stride, 0, ceil_mode)


# -- adaptive ----------------


class _Adaptive(Layer):
    axes: int
    function: Callable[..., Tensor]

    def __init__(self, output_size: Out) -> None:
        self.output_size = poolnd.output_sizes(output_size, self.axes)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, ...) -> (n, c, *output_size)."""
        return type(self).function(x, self.output_size)


@leaf
class AdaptiveAvgPool1d(_Adaptive):
    """AdaptiveAvgPool2d for x (n, c, l)."""

    axes, function = 1, staticmethod(poolnd.adaptive_avg_pool1d)


@leaf
class AdaptiveAvgPool2d(_Adaptive):
    """Means over windows chosen such that the output is (n, c, *output_size); None keeps a length."""

    axes, function = 2, staticmethod(poolnd.adaptive_avg_pool2d)


@leaf
class AdaptiveAvgPool3d(_Adaptive):
    """AdaptiveAvgPool2d for x (n, c, d, h, w)."""

    axes, function = 3, staticmethod(poolnd.adaptive_avg_pool3d)


@leaf
class AdaptiveMaxPool1d(_Adaptive):
    """AdaptiveMaxPool2d for x (n, c, l)."""

    axes, function = 1, staticmethod(poolnd.adaptive_max_pool1d)


@leaf
class AdaptiveMaxPool2d(_Adaptive):
    """Largest values over windows chosen such that the output is (n, c, *output_size); None keeps a
    length."""

    axes, function = 2, staticmethod(poolnd.adaptive_max_pool2d)


@leaf
class AdaptiveMaxPool3d(_Adaptive):
    """AdaptiveMaxPool2d for x (n, c, d, h, w)."""

    axes, function = 3, staticmethod(poolnd.adaptive_max_pool3d)


# -- the whole image ----------------


@leaf
class GlobalAvgPool1d(Layer):
    """Mean over positions."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, l) -> (n, c)."""
        return poolnd.global_avg_pool1d(x)


@leaf
class GlobalAvgPool3d(Layer):
    """Mean over positions."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, d, h, w) -> (n, c)."""
        return poolnd.global_avg_pool3d(x)


@leaf
class GlobalMaxPool1d(Layer):
    """Largest value of all positions."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, l) -> (n, c)."""
        return poolnd.global_max_pool1d(x)


@leaf
class GlobalMaxPool3d(Layer):
    """Largest value of all positions."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, d, h, w) -> (n, c)."""
        return poolnd.global_max_pool3d(x)
