"""The zoo's networks in PyTorch, with the zoo's names: one state dict and one set of hooks serve both."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def build(name: str, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """mlp, lenet5, resnet8 or resnet20, in evaluation mode; its parameters ask for no gradient."""
    blocks = {"resnet8": 1, "resnet20": 3}
    if name in blocks:
        made: nn.Module = ResNet(input_shape[0], classes, blocks[name])
    else:
        made = {"mlp": _mlp, "lenet5": _lenet5}[name](input_shape, classes)
    return made.eval().requires_grad_(False)


def has_norms(module: nn.Module) -> bool:
    """True if there is batch normalisation to fold."""
    return any(isinstance(m, nn.BatchNorm2d) for m in module.modules())


def folded(module: nn.Module) -> nn.Module:
    """A copy with batch normalisation folded into the convolutions, and weights in channels_last.

    Where a normalisation was, nn.Identity stays. The strongest eager opponent: give it channels_last inputs.
    """
    made = copy.deepcopy(module)
    for part in made.modules():
        children = list(part.named_children())
        for (conv_name, conv), (norm_name, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(part, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(part, norm_name, nn.Identity())
    if has_norms(made):
        raise ValueError("expected each BatchNorm2d to be defined right after its convolution")
    return made.to(memory_format=torch.channels_last).requires_grad_(False)


def load(module: nn.Module, state: dict[str, Any]) -> None:
    """Take over all weights and running statistics of a network of ours; every name must match."""
    own = module.state_dict()
    given = {name: torch.from_numpy(array.copy()) for name, array in state.items()}
    # PyTorch counts batches, which evaluation does not use.
    counted = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
    module.load_state_dict({**counted, **given}, strict=True)


def _mlp(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    c, h, w = input_shape
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(c * h * w, 256), nn.ReLU(),
        nn.Linear(256, 256), nn.ReLU(),
        nn.Linear(256, classes),
    )  # fmt: skip


def _lenet5(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    c, h, w = input_shape
    features = 16 * ((h // 2 - 4) // 2) * ((w // 2 - 4) // 2)
    return nn.Sequential(
        nn.Conv2d(c, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(features, 120), nn.ReLU(),
        nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, classes),
    )  # fmt: skip


class Block(nn.Module):
    """Two 3x3 convolutions with batch normalisation around a shortcut."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out:
            projection = nn.Conv2d(channels, out, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(out))
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        out: Tensor = self.relu2(y + (x if self.downsample is None else self.downsample(x)))
        return out


class Mean(nn.Module):
    """Global average pooling, (n, c, h, w) -> (n, c)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class ResNet(nn.Module):
    """Three stages of `blocks` blocks: 16, 32 and 64 channels."""

    def __init__(self, channels: int, classes: int, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(16, 16, 1, blocks)
        self.layer2 = _stage(16, 32, 2, blocks)
        self.layer3 = _stage(32, 64, 2, blocks)
        self.pool = Mean()
        self.fc = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.fc(self.pool(x))
        return logits


def _stage(channels: int, out: int, stride: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(Block(channels, out, stride), *(Block(out, out, 1) for _ in range(blocks - 1)))
