"""Leaf layers that move, repeat and mix pixels: resizing, shuffling, windows as columns, padding."""

from __future__ import annotations

from armour.checks import count, one_of, positive
from armour.errors import InvalidArgument
from armour.tensor import conv, edges, resize, shape, windows
from armour.tensor.core import Tensor
from armour.tensor.layers import Layer, Size, leaf
from armour.tensor.padding import sizes

Several = int | tuple[int, ...]
Factors = float | tuple[float, ...]


@leaf
class Upsample(Layer):
    """x (n, c, ...) resized to `size`, or by `scale_factor`; see tensor.interpolate for the modes."""

    def __init__(
        self,
        size: Several | None = None,
        scale_factor: Factors | None = None,
        mode: str = "nearest",
        align_corners: bool = False,
    ) -> None:
        if (size is None) == (scale_factor is None):
            raise InvalidArgument("expected either size or scale_factor, got both or neither")
        self.size, self.scale_factor = size, scale_factor
        for n in (size,) if isinstance(size, int) else size or ():
            count("size", n)
        for s in (scale_factor,) if isinstance(scale_factor, (int, float)) else scale_factor or ():
            positive("scale_factor", s)
        self.mode = one_of("mode", mode, resize.MODES)
        self.align_corners = bool(align_corners)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, ...) -> (n, c, *size)."""
        return resize.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)


@leaf
class PixelShuffle(Layer):
    """Channels become pixels. Shi et al., 2016, https://arxiv.org/abs/1609.05158."""

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = count("upscale_factor", upscale_factor)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c * r * r, h, w) -> (n, c, h * r, w * r)."""
        return resize.pixel_shuffle(x, self.upscale_factor)


@leaf
class PixelUnshuffle(Layer):
    """Pixels become channels: PixelShuffle undone."""

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = count("downscale_factor", downscale_factor)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h * r, w * r) -> (n, c * r * r, h, w)."""
        return resize.pixel_unshuffle(x, self.downscale_factor)


@leaf
class Unfold(Layer):
    """Windows of the image as columns (im2col). Arguments in PyTorch's order."""

    def __init__(self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> None:
        self.kernel_size, self.dilation = (
            conv.pair("kernel_size", kernel_size, 1),
            conv.pair("dilation", dilation, 1),
        )
        self.padding, self.stride = conv.pair("padding", padding, 0), conv.pair("stride", stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c * kh * kw, steps)."""
        return windows.im2col(x, self.kernel_size, self.dilation, self.padding, self.stride)


@leaf
class Fold(Layer):
    """Columns added up at their places of an image of `output_size` (col2im): Unfold transposed."""

    def __init__(
        self, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
    ) -> None:
        self.output_size = conv.pair("output_size", output_size, 1)
        self.kernel_size, self.dilation = (
            conv.pair("kernel_size", kernel_size, 1),
            conv.pair("dilation", dilation, 1),
        )
        self.padding, self.stride = conv.pair("padding", padding, 0), conv.pair("stride", stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c * kh * kw, steps) -> (n, c, *output_size)."""
        settings = (self.kernel_size, self.dilation, self.padding, self.stride)
        return windows.col2im(x, self.output_size, *settings)


class _Pad2d(Layer):
    def __init__(self, padding: int | tuple[int, int, int, int]) -> None:
        self.padding = sizes("padding", padding, 4, 0)

    def widths(self) -> tuple[tuple[int, int], ...]:
        """(before, after) for each of four axes."""
        left, right, top, bottom = self.padding
        return ((0, 0), (0, 0), (top, bottom), (left, right))


@leaf
class ZeroPad2d(_Pad2d):
    """Zeros around the image. padding: one number or (left, right, top, bottom), as in PyTorch."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, top + h + bottom, left + w + right)."""
        return shape.pad(x, self.widths())


@leaf
class ReflectionPad2d(_Pad2d):
    """The image mirrored at its border pixels. padding: one number or (left, right, top, bottom)."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, top + h + bottom, left + w + right)."""
        return edges.pad_edges(x, self.widths(), "reflect")


@leaf
class ReplicationPad2d(_Pad2d):
    """The border pixels repeated. padding: one number or (left, right, top, bottom)."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, top + h + bottom, left + w + right)."""
        return edges.pad_edges(x, self.widths(), "edge")
