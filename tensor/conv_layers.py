"""Leaf layers for convolution along one and three axes, and for transposed convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from armour import rng as rngs
from armour.checks import count
from armour.errors import InvalidArgument
from armour.tensor import convnd, init
from armour.tensor.core import Tensor
from armour.tensor.layers import Layer, Size, bias_of, leaf
from armour.tensor.module import Parameter, Rng, initial
from armour.tensor.padding import kept_padding, sizes

Size3 = int | tuple[int, int, int]
Pads3 = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


class _ConvNd(Layer):
    """What convolutions of any number of axes share: checked settings, weight, bias."""

    axes: int
    transposed = False

    def _set_up(
        self,
        channels: tuple[int, int],
        kernel_size: Any,
        stride: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        rng: Rng,
    ) -> None:
        self.in_channels, self.out_channels = (
            count("in_channels", channels[0]),
            count("out_channels", channels[1]),
        )
        self.kernel_size = sizes("kernel_size", kernel_size, self.axes, 1)
        self.stride = sizes("stride", stride, self.axes, 1)
        self.dilation = sizes("dilation", dilation, self.axes, 1)
        self.groups = count("groups", groups)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise InvalidArgument(
                f"expected groups={groups} to divide the channels in ({channels[0]}) and out ({channels[1]})"
            )
        two = (self.out_channels, self.in_channels)[:: -1 if self.transposed else 1]
        shape, stream = (two[0], two[1] // self.groups, *self.kernel_size), rngs.generator(rng)
        self.weight = Parameter(initial(shape, lambda: init.he(shape, rng=stream)))
        self.bias = bias_of(bias, self.out_channels)

    def config(self) -> dict[str, Any]:
        return super().config() | {"bias": self.bias is not None}


@leaf
class Conv1d(_ConvNd):
    """Cross-correlation of x (n, c, l) with weight (o, c / groups, k), plus bias (o,).

    padding: zeros on both sides, ((before, after),), "same" or "valid". He initialisation, bias 0.
    """

    axes = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: int | tuple[int] | str | tuple[tuple[int, int]] = 0,
        dilation: int | tuple[int] = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: Rng = 0,
    ) -> None:
        self._set_up((in_channels, out_channels), kernel_size, stride, dilation, groups, bias, rng)
        self.padding = kept_padding(padding, self.kernel_size, self.stride, self.dilation)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, l) -> (n, o, ol)."""
        settings = (self.stride, self.padding, self.dilation, self.groups)
        return convnd.conv1d(x, self.weight, self.bias, *settings)


@leaf
class Conv3d(_ConvNd):
    """Cross-correlation of x (n, c, d, h, w) with weight (o, c / groups, kd, kh, kw), plus bias (o,).

    kernel_size, stride, padding (zeros on both sides), dilation: one number or (depth, vertical, horizontal);
    padding also three pairs, "same" or "valid". He initialisation, bias 0.
    """

    axes = 3

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size3,
        stride: Size3 = 1,
        padding: Size3 | str | Pads3 = 0,
        dilation: Size3 = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: Rng = 0,
    ) -> None:
        self._set_up((in_channels, out_channels), kernel_size, stride, dilation, groups, bias, rng)
        self.padding = kept_padding(padding, self.kernel_size, self.stride, self.dilation)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, d, h, w) -> (n, o, od, oh, ow)."""
        settings = (self.stride, self.padding, self.dilation, self.groups)
        return convnd.conv3d(x, self.weight, self.bias, *settings)


class _ConvTransposeNd(_ConvNd):
    transposed = True
    function: Callable[..., Tensor]

    def _pad(self, padding: Any, output_padding: Any) -> None:
        self.padding = sizes("padding", padding, self.axes, 0)
        self.output_padding = sizes("output_padding", output_padding, self.axes, 0)
        for more, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if more >= max(s, d):
                raise InvalidArgument(
                    f"expected output_padding below the stride {s} or the dilation {d}, got {more}"
                )

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, ...) -> (n, o, ...), larger by about the stride."""
        settings = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return type(self).function(x, self.weight, self.bias, *settings)


@leaf
class ConvTranspose1d(_ConvTransposeNd):
    """ConvTranspose2d along one axis: x (n, c, l), weight (c, o / groups, k), bias (o,)."""

    axes = 1
    function = staticmethod(convnd.conv_transpose1d)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: int | tuple[int] = 0,
        output_padding: int | tuple[int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int] = 1,
        *,
        rng: Rng = 0,
    ) -> None:
        self._set_up((in_channels, out_channels), kernel_size, stride, dilation, groups, bias, rng)
        self._pad(padding, output_padding)


@leaf
class ConvTranspose2d(_ConvTransposeNd):
    """The transpose of a convolution: x (n, c, h, w), weight (c, o / groups, kh, kw), bias (o,).

    oh = (h - 1) * stride - 2 * padding + dilation * (kh - 1) + output_padding + 1. Arguments in PyTorch's
    order. He initialisation, bias 0. Zeiler et al., 2010.
    """

    axes = 2
    function = staticmethod(convnd.conv_transpose2d)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        *,
        rng: Rng = 0,
    ) -> None:
        self._set_up((in_channels, out_channels), kernel_size, stride, dilation, groups, bias, rng)
        self._pad(padding, output_padding)


@leaf
class ConvTranspose3d(_ConvTransposeNd):
    """ConvTranspose2d along three axes: x (n, c, d, h, w), weight (c, o / groups, kd, kh, kw), bias (o,)."""

    axes = 3
    function = staticmethod(convnd.conv_transpose3d)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size3,
        stride: Size3 = 1,
        padding: Size3 = 0,
        output_padding: Size3 = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size3 = 1,
        *,
        rng: Rng = 0,
    ) -> None:
        self._set_up((in_channels, out_channels), kernel_size, stride, dilation, groups, bias, rng)
        self._pad(padding, output_padding)
