"""An example of every leaf layer, for the tests that walk over LAYERS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from armour.tensor import nn


@dataclass(frozen=True)
class Example:
    """A layer and the shapes of one sample of its inputs.

    integers: an integer layer's inputs are drawn from range(integers). smooth: False where the layer jumps or
    bends too often for central differences.
    """

    layer: nn.Layer
    shapes: tuple[tuple[int, ...], ...]
    integers: int = 0
    smooth: bool = True
    settings: dict[str, Any] = field(default_factory=dict)


IMAGE, SIGNAL, VOLUME = (4, 6, 5), (4, 9), (2, 4, 5, 6)

EXAMPLES: dict[str, list[Example]] = {}


def example(layer: nn.Layer, *shapes: tuple[int, ...], **settings: Any) -> None:
    """Add one."""
    EXAMPLES.setdefault(type(layer).__name__, []).append(Example(layer, shapes or (IMAGE,), **settings))


# -- what there was first ----------------

example(nn.Linear(3, 2, bias=False), (3,))
example(nn.Linear(3, 2), (4, 3))
example(nn.Conv2d(4, 6, (3, 1), 2, (1, 0), groups=2))
example(nn.Conv2d(4, 3, 4, padding="same", bias=False))
example(nn.Conv2d(4, 3, 3, 2, padding=((1, 0), (0, 2))))
example(nn.Conv2d(4, 4, 3, padding=1, groups=4))
example(nn.MaxPool2d(3, 2, 1))
example(nn.AvgPool2d(2))
example(nn.BatchNorm2d(4, eps=1e-3))
example(nn.BatchNorm1d(4), (4,))
example(nn.LayerNorm((6, 5)))
example(nn.GroupNorm(2, 4))
example(nn.Dropout(0.3))
example(nn.Flatten(2))
example(nn.Identity())
example(nn.Add(), (3,), (3,))
example(nn.GlobalAvgPool2d())
example(nn.GlobalMaxPool2d())
for plain in (
    *(
        nn.ReLU(),
        nn.LeakyReLU(0.2),
        nn.ELU(2.0),
        nn.GELU(),
        nn.SiLU(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.Softplus(),
    ),
    *(nn.Softmax(1), nn.LogSoftmax(1)),
):
    example(plain)

# -- convolution ----------------

example(nn.Conv1d(4, 6, 3, 2, 1, 2, 2), SIGNAL)
example(nn.Conv1d(4, 2, 4, padding="same", bias=False), SIGNAL)
example(nn.Conv3d(2, 4, (2, 3, 1), (1, 2, 1), (1, 0, 2), (2, 1, 1), 2), VOLUME)
example(nn.Conv3d(2, 3, 2, padding="same", bias=False), VOLUME)
example(nn.ConvTranspose1d(4, 6, 3, 2, 1, 1, 2), SIGNAL)
example(nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, dilation=(1, 2)))
example(nn.ConvTranspose2d(4, 1, 2, bias=False))
example(nn.ConvTranspose3d(2, 4, (2, 3, 1), (1, 2, 1), (1, 0, 0), (0, 1, 0), 2, dilation=(2, 1, 1)), VOLUME)

# -- activations ----------------

for plain in (
    *(nn.GELU("tanh"), nn.ReLU6(), nn.Hardsigmoid(), nn.Hardswish(), nn.SELU(), nn.CELU(0.5)),
    *(nn.PReLU(), nn.PReLU(4, 0.1), nn.Mish(), nn.Softsign(), nn.LogSigmoid(), nn.GLU(1)),
):
    example(plain)

example(nn.Hardtanh(-0.5, 0.8), smooth=False)
example(nn.Threshold(0.2, -1.5), smooth=False)

# -- normalisation ----------------

example(nn.BatchNorm3d(2), VOLUME)
example(nn.InstanceNorm1d(4, affine=True), SIGNAL)
example(nn.InstanceNorm2d(4))
example(nn.InstanceNorm3d(2, 1e-3, True), VOLUME)
example(nn.RMSNorm(5, 1e-3))
example(nn.RMSNorm((6, 5), elementwise_affine=False))
example(nn.LocalResponseNorm(3, 0.5, 0.6, 2.0))

# -- pooling ----------------

example(nn.MaxPool2d(3, 2, 1, ceil_mode=True))
example(nn.AvgPool2d(3, (2, 3), 1, ceil_mode=True, count_include_pad=False))
example(nn.MaxPool1d(3, 2, 1), SIGNAL)
example(nn.MaxPool3d((2, 3, 2), (1, 2, 3), (1, 0, 1), True), VOLUME)
example(nn.AvgPool1d(2, None, 1, True), SIGNAL)
example(nn.AvgPool3d((2, 3, 2), (1, 2, 3), (1, 0, 1), True, False), VOLUME)
example(nn.LPPool1d(2.0, 3, 2, True), SIGNAL)
example(nn.LPPool2d(4.0, (2, 3)))
example(nn.AdaptiveAvgPool1d(4), SIGNAL)
example(nn.AdaptiveAvgPool2d((3, None)))
example(nn.AdaptiveAvgPool2d((4, 3)))
example(nn.AdaptiveAvgPool3d((3, 2, 4)), VOLUME)
example(nn.AdaptiveMaxPool1d(4), SIGNAL)
example(nn.AdaptiveMaxPool2d((4, None)))
example(nn.AdaptiveMaxPool2d(1))
example(nn.AdaptiveMaxPool3d((3, 2, 4)), VOLUME, smooth=False)
example(nn.GlobalAvgPool1d(), SIGNAL)
example(nn.GlobalAvgPool3d(), VOLUME)
example(nn.GlobalMaxPool1d(), SIGNAL)
example(nn.GlobalMaxPool3d(), VOLUME)

# -- sequences ----------------

SEQUENCE = (3, 4)  # positions, features

example(nn.Embedding(7, 3), (5,), integers=7)
example(nn.Embedding(7, 3, 2), (5,), integers=7, smooth=False)  # no gradient where there would be one
example(nn.PositionalEncoding(), SEQUENCE)
example(nn.MultiheadAttention(4, 2, batch_first=True), SEQUENCE)
example(nn.MultiheadAttention(4, 1, 0.5, False, True, True), SEQUENCE)
example(nn.MultiheadAttention(4, 2, batch_first=True), SEQUENCE, (2, 4), (2, 4))
example(nn.RNN(4, 3, 2, "relu", batch_first=True), SEQUENCE, smooth=False)
example(nn.RNN(4, 3, bias=False, batch_first=True), SEQUENCE)
example(nn.LSTM(4, 3, 2, True, True, 0.5, True), SEQUENCE)
example(nn.LSTM(4, 3, bias=False, batch_first=True), SEQUENCE)
example(nn.GRU(4, 3, 2, True, True, 0.0, True), SEQUENCE)

# -- moving pixels ----------------

example(nn.Upsample((9, 3), None, "nearest"))
example(nn.Upsample(None, 2.0, "nearest"))
example(nn.Upsample((9, 3), None, "bilinear"))
example(nn.Upsample(None, (1.5, 2.2), "bicubic", True))
example(nn.Upsample(7, None, "linear"), SIGNAL)
example(nn.Upsample(3, None, "trilinear", True), VOLUME)
example(nn.PixelShuffle(2))
example(nn.PixelUnshuffle(2), (2, 4, 6))
example(nn.Unfold((3, 2), 1, (1, 0), 2))
example(nn.Fold((4, 3), 2), (8, 6))
example(nn.ZeroPad2d((1, 0, 2, 3)))
example(nn.ReflectionPad2d((1, 2, 3, 0)))
example(nn.ReplicationPad2d(2))
