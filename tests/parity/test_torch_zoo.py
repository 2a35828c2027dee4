"""AlexNet and ResNets give PyTorch's numbers for the same weights, with torchvision's layout written here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn as theirs

from armour.tensor import Tensor, no_grad, zoo


class Block(theirs.Module):
    """A residual block: a list of (kernel, stride) convolutions, each with batch normalisation."""

    def __init__(self, channels: int, widths: list[int], kernels: list[int], strides: list[int]) -> None:
        super().__init__()
        before, self.depth = channels, len(widths)
        for i, (width, kernel, stride) in enumerate(zip(widths, kernels, strides, strict=True), 1):
            self.add_module(f"conv{i}", theirs.Conv2d(before, width, kernel, stride, kernel // 2, bias=False))
            self.add_module(f"bn{i}", theirs.BatchNorm2d(width))
            before = width
        if max(strides) > 1 or channels != before:
            projection = theirs.Conv2d(channels, before, 1, max(strides), bias=False)
            self.downsample = theirs.Sequential(projection, theirs.BatchNorm2d(before))

    def forward(self, x: Any) -> Any:
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = torch.relu(y) if i < self.depth else y
        return torch.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


def torch_resnet(blocks: tuple[int, ...], deep: bool, channels: int, classes: int) -> Any:
    modules: dict[str, Any] = {
        "conv1": theirs.Conv2d(channels, 64, 7, 2, 3, bias=False),
        "bn1": theirs.BatchNorm2d(64),
        "relu": theirs.ReLU(),
        "maxpool": theirs.MaxPool2d(3, 2, 1),
    }
    before = 64
    for stage, count in enumerate(blocks, 1):
        width, stage_blocks = 32 * 2**stage, []
        for i in range(count):
            stride = 2 if i == 0 and stage > 1 else 1
            if deep:
                block = Block(before, [width, width, 4 * width], [1, 3, 1], [1, stride, 1])
            else:
                block = Block(before, [width, width], [3, 3], [stride, 1])
            stage_blocks.append(block)
            before = 4 * width if deep else width
        modules[f"layer{stage}"] = theirs.Sequential(*stage_blocks)
    modules["avgpool"], modules["flatten"] = theirs.AdaptiveAvgPool2d(1), theirs.Flatten()
    modules["fc"] = theirs.Linear(before, classes)
    net = theirs.Sequential()
    for name, module in modules.items():
        net.add_module(name, module)
    return net


def torch_alexnet(channels: int, classes: int) -> Any:
    conv, relu, pool = theirs.Conv2d, theirs.ReLU, theirs.MaxPool2d
    net = theirs.Sequential()
    net.add_module(
        "features",
        theirs.Sequential(
            *(conv(channels, 64, 11, 4, 2), relu(), pool(3, 2), conv(64, 192, 5, 1, 2), relu(), pool(3, 2)),
            *(conv(192, 384, 3, 1, 1), relu(), conv(384, 256, 3, 1, 1), relu()),
            *(conv(256, 256, 3, 1, 1), relu(), pool(3, 2)),
        ),
    )
    net.add_module("avgpool", theirs.AdaptiveAvgPool2d(6))
    net.add_module("flatten", theirs.Flatten())
    linear = theirs.Linear
    net.add_module(
        "classifier",
        theirs.Sequential(
            *(theirs.Dropout(), linear(9216, 4096), relu(), theirs.Dropout(), linear(4096, 4096), relu()),
            linear(4096, classes),
        ),
    )
    return net


CASES: dict[str, Any] = {
    "alexnet": (lambda: torch_alexnet(3, 9), (3, 71, 80)),
    "resnet18": (lambda: torch_resnet((2, 2, 2, 2), False, 3, 9), (3, 64, 50)),
    "resnet34": (lambda: torch_resnet((3, 4, 6, 3), False, 1, 9), (1, 32, 32)),
    "resnet50": (lambda: torch_resnet((3, 4, 6, 3), True, 3, 9), (3, 70, 64)),
    "resnet101": (lambda: torch_resnet((3, 4, 23, 3), True, 3, 9), (3, 32, 32)),
}


@pytest.mark.parametrize("name", CASES)
def test_same_numbers_for_the_same_weights(name: str) -> None:
    make, shape = CASES[name]
    torch.manual_seed(0)
    peer = make().eval()
    for key, buffer in peer.named_buffers():
        if key.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    state = {k: v.numpy() for k, v in peer.state_dict().items() if not k.endswith("num_batches_tracked")}
    net = zoo.build(name, shape, 9).eval()
    net.load_state_dict(state)  # all names and shapes are the peer's
    x = np.random.default_rng(1).standard_normal((2, *shape)).astype(np.float32)
    with no_grad(), torch.no_grad():
        ours, expected = net(Tensor(x)).numpy(), peer(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
