"""Networks for photographs, such as ImageNet's: alexnet and resnet18 to resnet152, named as torchvision's.

Layers and weights have torchvision's names and layout, so that weights trained there fit: `features.0.weight`
and `classifier.6.bias` of AlexNet; `conv1.weight`, `layer1.0.downsample.1.running_var` and `fc.bias` of
ResNets.
"""

from __future__ import annotations

import numpy as np

from armour.tensor import nn
from armour.tensor.core import Tensor
from armour.tensor.zoo import ARCHITECTURES, BasicBlock, Shape


class AlexNet(nn.Module):
    """Five convolutions, three poolings and three linear layers of 4096, 4096 and the classes.

    Krizhevsky, 2014, https://arxiv.org/abs/1404.5997, in torchvision's form: no local normalisation, and
    adaptive pooling to 6 x 6, so that any image of 63 x 63 pixels or more fits.
    """

    def __init__(self, channels: int, num_classes: int, *, rng: np.random.Generator) -> None:
        self.features = nn.Sequential(
            nn.Conv2d(channels, 64, 11, 4, 2, rng=rng),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2, rng=rng),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1, rng=rng),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, rng=rng),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1, rng=rng),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(
            nn.Dropout(0.5, rng=rng),
            nn.Linear(256 * 36, 4096, rng=rng),
            nn.ReLU(),
            nn.Dropout(0.5, rng=rng),
            nn.Linear(4096, 4096, rng=rng),
            nn.ReLU(),
            nn.Linear(4096, num_classes, rng=rng),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, classes)."""
        logits: Tensor = self.classifier(self.flatten(self.avgpool(self.features(x))))
        return logits


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolutions around a shortcut; `out` is 4 times the inner width.

    He et al., 2016, https://arxiv.org/abs/1512.03385; the stride is the 3x3 convolution's, as in torchvision.
    """

    def __init__(self, channels: int, out: int, stride: int, *, rng: np.random.Generator) -> None:
        width = out // 4
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False, rng=rng)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False, rng=rng)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, out, 1, bias=False, rng=rng)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out:
            projection = nn.Conv2d(channels, out, 1, stride, bias=False, rng=rng)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(out))
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, out, h / stride, w / stride), rounded up."""
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.relu2(self.bn2(self.conv2(y)))))
        shortcut = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu3(y + shortcut)
        return out


class DeepResNet(nn.Module):
    """The residual network for photographs: a 7x7 convolution and pooling, then four stages of blocks.

    blocks: how many each stage has. block: BasicBlock (stages of 64 to 512 channels) or Bottleneck (256 to
    2048). He et al., 2016, https://arxiv.org/abs/1512.03385, table 1.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        blocks: tuple[int, int, int, int],
        block: type[BasicBlock] | type[Bottleneck],
        *,
        rng: np.random.Generator,
    ) -> None:
        self.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False, rng=rng)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        factor, channels = (4 if block is Bottleneck else 1), 64
        stages = []
        for i, several in enumerate(blocks):
            out = 64 * 2**i * factor
            first = block(channels, out, 1 if i == 0 else 2, rng=rng)
            rest = (block(out, out, 1, rng=rng) for _ in range(several - 1))
            stages.append(nn.Sequential(first, *rest))
            channels = out
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.GlobalAvgPool2d()
        self.fc = nn.Linear(channels, num_classes, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, classes)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(self.avgpool(x))
        return logits


@ARCHITECTURES.register("alexnet")
def alexnet(input_shape: Shape, num_classes: int, rng: np.random.Generator) -> nn.Module:
    """AlexNet; 61.1 million parameters for 1,000 classes. Images of 63 x 63 pixels or more."""
    return AlexNet(input_shape[0], num_classes, rng=rng)


@ARCHITECTURES.register("resnet18")
def resnet18(input_shape: Shape, num_classes: int, rng: np.random.Generator) -> nn.Module:
    """DeepResNet of 18 layers; 11.7 million parameters for 1,000 classes."""
    return DeepResNet(input_shape[0], num_classes, (2, 2, 2, 2), BasicBlock, rng=rng)


@ARCHITECTURES.register("resnet34")
def resnet34(input_shape: Shape, num_classes: int, rng: np.random.Generator) -> nn.Module:
    """DeepResNet of 34 layers; 21.8 million parameters for 1,000 classes."""
    return DeepResNet(input_shape[0], num_classes, (3, 4, 6, 3), BasicBlock, rng=rng)


@ARCHITECTURES.register("resnet50")
def resnet50(input_shape: Shape, num_classes: int, rng: np.random.Generator) -> nn.Module:
    """DeepResNet of 50 layers; 25.6 million parameters for 1,000 classes."""
    return DeepResNet(input_shape[0], num_classes, (3, 4, 6, 3), Bottleneck, rng=rng)


@ARCHITECTURES.register("resnet101")
def resnet101(input_shape: Shape, num_classes: int, rng: np.random.Generator) -> nn.Module:
    """DeepResNet of 101 layers; 44.5 million parameters for 1,000 classes."""
    return DeepResNet(input_shape[0], num_classes, (3, 4, 23, 3), Bottleneck, rng=rng)


@ARCHITECTURES.register("resnet152")
def resnet152(input_shape: Shape, num_classes: int, rng: np.random.Generator) -> nn.Module:
    """DeepResNet of 152 layers; 60.2 million parameters for 1,000 classes."""
    return DeepResNet(input_shape[0], num_classes, (3, 8, 36, 3), Bottleneck, rng=rng)
