"""Networks by name: mlp, lenet5, resnet8, resnet20, vgg-small; from images (n, c, h, w) to logits.

Larger ones, for photographs, are in zoo_imagenet.py: alexnet, resnet18 to resnet152.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from armour import rng as rngs
from armour.checks import count, describe
from armour.errors import InvalidArgument
from armour.registry import Registry
from armour.tensor import nn
from armour.tensor.core import Tensor
from armour.tensor.module import Rng

Shape = tuple[int, int, int]
Builder = Callable[[Shape, int, np.random.Generator], nn.Module]

ARCHITECTURES: Registry[Builder] = Registry("architecture")
"""Architectures by name: functions of (input shape (c, h, w), number of classes, generator)."""

MIN_SIZE = 8
"""Smallest height and width that every architecture but alexnet takes."""

SMALL = ("lenet5", "mlp", "resnet20", "resnet8", "vgg-small")
"""The architectures for small images, which train in minutes."""

_SIZES = {"mlp": 1, "alexnet": 63}


def names() -> list[str]:
    """Names that `build` knows, sorted."""
    return ARCHITECTURES.names()


def build(
    name: str, input_shape: Sequence[int] = (1, 28, 28), num_classes: int = 10, rng: Rng = 0
) -> nn.Module:
    """A network with fresh weights.

    name: as in `names()`. input_shape: (c, h, w) with h and w at least 8 (mlp: any; alexnet: 63). rng: seed
    or generator of the weights. Raises InvalidArgument for an unknown name (with the nearest) and shapes that
    are too small.
    """
    make = ARCHITECTURES.get(name)
    if len(input_shape) != 3:
        raise InvalidArgument(
            f"expected an input shape (c, h, w), got {describe('input_shape', input_shape)}"
        )
    c, h, w = (count("input_shape", n) for n in input_shape)
    least = _SIZES.get(name, MIN_SIZE)
    if min(h, w) < least:
        other = "mlp" if least <= MIN_SIZE else "resnet18"
        raise InvalidArgument(
            f"{name} takes images of {least} x {least} pixels or more, got {h} x {w}; use {other}"
        )
    return make((c, h, w), count("num_classes", num_classes, at_least=2), rngs.generator(rng))


@ARCHITECTURES.register("mlp")
def mlp(input_shape: Shape, num_classes: int, rng: np.random.Generator) -> nn.Module:
    """Two hidden layers of 256."""
    c, h, w = input_shape
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(c * h * w, 256, rng=rng),
        nn.ReLU(),
        nn.Linear(256, 256, rng=rng),
        nn.ReLU(),
        nn.Linear(256, num_classes, rng=rng),
    )


@ARCHITECTURES.register("lenet5")
def lenet5(input_shape: Shape, num_classes: int, rng: np.random.Generator) -> nn.Module:
    """5x5 convolutions to 6 and 16 channels, each with ReLU and max pooling, then 120, 84 and the classes.

    The first convolution has padding 2, so that 28 x 28 images give the classic 400 features; below 12
    pixels the second has it too. LeCun et al., 1998, https://doi.org/10.1109/5.726791, with today's ReLU and
    max pooling.
    """
    c, h, w = input_shape
    padding = 0 if min(h, w) >= 12 else 2
    h, w = (((n // 2) + 2 * padding - 4) // 2 for n in (h, w))
    return nn.Sequential(
        nn.Conv2d(c, 6, 5, padding=2, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=padding, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * h * w, 120, rng=rng),
        nn.ReLU(),
        nn.Linear(120, 84, rng=rng),
        nn.ReLU(),
        nn.Linear(84, num_classes, rng=rng),
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation around a shortcut; names as in torchvision."""

    def __init__(self, channels: int, out: int, stride: int, *, rng: np.random.Generator) -> None:
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False, rng=rng)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False, rng=rng)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out:
            projection = nn.Conv2d(channels, out, 1, stride, bias=False, rng=rng)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(out))
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, out, h / stride, w / stride), rounded up."""
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        shortcut = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu2(y + shortcut)
        return out


class ResNet(nn.Module):
    """The residual network for small images: three stages of 16, 32 and 64 channels, `blocks` blocks each.

    It has 6 * blocks + 2 layers with weights. Shortcuts that change the shape are 1x1 projections.
    He et al., 2016, https://arxiv.org/abs/1512.03385, section 4.2.
    """

    def __init__(self, channels: int, num_classes: int, blocks: int, *, rng: np.random.Generator) -> None:
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False, rng=rng)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(16, 16, 1, blocks, rng)
        self.layer2 = _stage(16, 32, 2, blocks, rng)
        self.layer3 = _stage(32, 64, 2, blocks, rng)
        self.pool = nn.GlobalAvgPool2d()
        self.fc = nn.Linear(64, num_classes, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, classes)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.fc(self.pool(x))
        return logits


def _stage(channels: int, out: int, stride: int, blocks: int, rng: np.random.Generator) -> nn.Sequential:
    first = BasicBlock(channels, out, stride, rng=rng)
    return nn.Sequential(first, *(BasicBlock(out, out, 1, rng=rng) for _ in range(blocks - 1)))


@ARCHITECTURES.register("resnet8")
def resnet8(input_shape: Shape, num_classes: int, rng: np.random.Generator) -> nn.Module:
    """ResNet with one block a stage."""
    return ResNet(input_shape[0], num_classes, 1, rng=rng)


@ARCHITECTURES.register("resnet20")
def resnet20(input_shape: Shape, num_classes: int, rng: np.random.Generator) -> nn.Module:
    """ResNet with three blocks a stage."""
    return ResNet(input_shape[0], num_classes, 3, rng=rng)


@ARCHITECTURES.register("vgg-small")
def vgg_small(input_shape: Shape, num_classes: int, rng: np.random.Generator) -> nn.Module:
    """Pairs of 3x3 convolutions with batch normalisation, 32, 64 and 128 channels, then 128 and the classes.

    After Simonyan and Zisserman, 2015, https://arxiv.org/abs/1409.1556, in the size for small images.
    """
    c, h, w = input_shape
    modules: list[nn.Module] = []
    for width in (32, 64, 128):
        for channels in (c, width):
            modules += [
                nn.Conv2d(channels, width, 3, padding=1, bias=False, rng=rng),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
        modules.append(nn.MaxPool2d(2))
        c, h, w = width, h // 2, w // 2
    return nn.Sequential(
        *modules,
        nn.Flatten(),
        nn.Linear(c * h * w, 128, rng=rng),
        nn.ReLU(),
        nn.Linear(128, num_classes, rng=rng),
    )


# It files its networks in the registry above.
from armour.tensor import zoo_imagenet  # noqa: E402, F401
