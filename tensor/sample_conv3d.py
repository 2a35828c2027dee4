"""Per-sample gradients of convolutions along three axes: a sum over the frames of the output."""

from __future__ import annotations

from armour.tensor.conv_layers import Conv3d
from armour.tensor.core import Tensor
from armour.tensor.padding import margins, padded
from armour.tensor.sample_conv import conv2d_sample_grad, sum_places
from armour.tensor.sample_grads import Dense, SampleGrad, grad_sampler
from armour.tensor.shape import getitem, pad, reshape


@grad_sampler(Conv3d)
def conv3d(layer: Conv3d, x: Tensor, g: Tensor) -> dict[str, SampleGrad]:
    """x (n, c, d, h, w), g (n, o, od, oh, ow): the window of frames is so many more channels of an image."""
    around = margins(layer.padding, layer.kernel_size, layer.stride, layer.dilation)
    x, both = padded(x, ((0, 0), *around[1:]))
    if any(around[0]):
        x = pad(x, ((0, 0), (0, 0), around[0], (0, 0), (0, 0)))
    n, c, _, *size = x.shape
    o, frames = g.shape[1:3]
    depth, *kernel = layer.kernel_size
    step, apart = layer.stride[0], layer.dilation[0]
    attrs = {
        "kernel": tuple(kernel),
        "stride": layer.stride[1:],
        "padding": both[1:],
        "dilation": layer.dilation[1:],
        "groups": layer.groups,
    }
    every = slice(None)
    total: Tensor | None = None
    for i in range(frames):
        window = slice(i * step, i * step + apart * (depth - 1) + 1, apart)
        images = reshape(getitem(x, (every, every, window)), (n, c * depth, *size))
        part = conv2d_sample_grad(images, getitem(g, (every, every, i)), **attrs)
        total = part if total is None else total + part
    assert total is not None  # a convolution has an output
    weight = reshape(total, (n, o, c // layer.groups, depth, *kernel))
    parts: dict[str, SampleGrad] = {"weight": Dense(weight)}
    if layer.bias is not None:
        parts["bias"] = Dense(sum_places(g))
    return parts
