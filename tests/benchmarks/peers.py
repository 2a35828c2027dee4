"""The zoo's networks in PyTorch, with the zoo's names, so that one state dict serves both."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def build(name: str, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """mlp, lenet5 or resnet8, in evaluation mode and with parameters that ask for no gradient."""
    made: nn.Module = {"mlp": _mlp, "lenet5": _lenet5, "resnet8": ResNet8}[name](input_shape, classes)
    return made.eval().requires_grad_(False)


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
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out:
            projection = nn.Conv2d(channels, out, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet8(nn.Module):
    """Three stages of one block: 16, 32 and 64 channels."""

    def __init__(self, input_shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2))
        self.layer3 = nn.Sequential(Block(32, 64, 2))
        self.fc = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits
