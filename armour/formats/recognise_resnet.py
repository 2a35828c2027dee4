"""Residual networks by their names: `layerN.M.convK`, as PyTorch, MindSpore and many others write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from armour.formats.entries import Entries
from armour.formats.matching import alias
from armour.formats.recognise import FAMILIES, Found, Shape, refuse
from armour.tensor import nn
from armour.tensor.core import Tensor
from armour.tensor.zoo import BasicBlock
from armour.tensor.zoo_imagenet import Bottleneck

_BLOCK = re.compile(r"layer([1-9])\.(\d{1,3})\.(.+)")
_DEPTHS: dict[tuple[bool, Shape], str] = {
    (False, (2, 2, 2, 2)): "resnet18", (False, (3, 4, 6, 3)): "resnet34", (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101", (True, (3, 8, 36, 3)): "resnet152",
}  # fmt: skip
_MINDSPORE = ("down_sample_layer", "end_point")


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the names and shapes say. stages: (blocks, channels out) of each."""

    channels: int
    stem: tuple[int, int]
    deep: bool
    stages: tuple[tuple[int, int], ...]
    classes: int


class Residual(nn.Module):
    """A residual network with the stem and the stages that a file of weights has; named as torchvision's.

    He et al., 2016, https://arxiv.org/abs/1512.03385.
    """

    def __init__(self, plan: _Plan) -> None:
        width, kernel = plan.stem
        self.conv1 = nn.Conv2d(plan.channels, width, kernel, 2 if kernel == 7 else 1, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool: nn.Module | None = nn.MaxPool2d(3, 2, 1) if kernel == 7 else None
        block = Bottleneck if plan.deep else BasicBlock
        rng = np.random.default_rng(0)
        before = width
        for i, (count, out) in enumerate(plan.stages):
            first = block(before, out, 1 if i == 0 else 2, rng=rng)
            rest = (block(out, out, 1, rng=rng) for _ in range(count - 1))
            setattr(self, f"layer{i + 1}", nn.Sequential(first, *rest))
            before = out
        self.stages = len(plan.stages)
        self.avgpool = nn.GlobalAvgPool2d()
        self.fc = nn.Linear(before, plan.classes)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, classes)."""
        x = self.relu(self.bn1(self.conv1(x)))
        if self.maxpool is not None:
            x = self.maxpool(x)
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        logits: Tensor = self.fc(self.avgpool(x))
        return logits


@FAMILIES.register("resnet")
def resnet(entries: Entries, input_shape: Shape | None) -> Found | None:
    """Basic or bottleneck blocks in two to four stages, after a 7x7 or a 3x3 convolution."""
    arrays = {alias(name): array for name, array in entries.arrays.items()}
    plan = _plan(arrays) if len(arrays) == len(entries.arrays) else None
    if plan is None:
        return None
    counts = tuple(count for count, _ in plan.stages)
    deep = plan.stem[1] == 7
    layers = 2 + sum(counts) * (3 if plan.deep else 2)
    name = _DEPTHS.get((plan.deep, counts), f"resnet{layers}") if deep else f"resnet{layers} for small images"
    if input_shape is None and not deep:
        raise refuse(name, f"any size fits; state input_shape= such as ({plan.channels}, 32, 32)")
    shape = input_shape or (plan.channels, 224, 224)
    if len(shape) != 3 or shape[0] != plan.channels:
        raise refuse(name, f"they take {plan.channels} channels, got input_shape={shape}")
    module = Residual(plan)
    stem = (
        "7x7 convolution of stride 2 and max pooling" if deep else "3x3 convolution of stride 1, no pooling"
    )
    assumed = [f"{stem} first", "stride 2 in the first block of each later stage, in its 3x3 convolution"]
    if any(part in entry.split(".") for entry in entries.arrays for part in _MINDSPORE):
        assumed.append(_as_mindspore(module, shape, name))
    else:
        assumed.append("padding 1 in 3x3 convolutions, epsilon 1e-5 in batch normalisation")
    if input_shape is None:
        assumed.append(f"inputs of {' x '.join(map(str, shape))}")
    return Found(name, module, tuple(assumed), shape, dict(zip(arrays, entries.arrays, strict=True)))


def _plan(arrays: Mapping[str, np.ndarray]) -> _Plan | None:
    blocks: dict[int, dict[int, set[str]]] = {}
    for name in arrays:
        if match := _BLOCK.fullmatch(name):
            blocks.setdefault(int(match[1]), {}).setdefault(int(match[2]), set()).add(match[3])
    stem, last = arrays.get("conv1.weight"), arrays.get("fc.weight")
    if stem is None or last is None or stem.ndim != 4 or last.ndim != 2 or not 2 <= len(blocks) <= 4:
        return None
    if stem.shape[2:] not in ((7, 7), (3, 3)) or sorted(blocks) != list(range(1, len(blocks) + 1)):
        return None
    deep = "conv3.weight" in blocks[1].get(0, ())
    kernel = "conv3.weight" if deep else "conv2.weight"
    stages = []
    for i, stage in sorted(blocks.items()):
        ends = [arrays.get(f"layer{i}.{j}.{kernel}") for j in sorted(stage)]
        if sorted(stage) != list(range(len(stage))) or any(end is None or end.ndim != 4 for end in ends):
            return None
        stages.append((len(stage), int(ends[0].shape[0])))  # type: ignore[union-attr]
    plan = _Plan(
        int(stem.shape[1]), (int(stem.shape[0]), int(stem.shape[2])), deep, tuple(stages), int(last.shape[0])
    )
    if min(plan.channels, plan.stem[0], plan.classes - 1, *(out for _, out in stages)) < 1 or any(
        deep and out % 4 for _, out in stages
    ):
        return None
    _check_shapes(plan, arrays)
    return plan


def _check_shapes(plan: _Plan, arrays: Mapping[str, np.ndarray]) -> None:
    """Names of a ResNet and shapes of another network are refused with the first that differs."""
    own = {name: tensor.shape for name, tensor in Residual(plan).named_tensors()}
    for name in own.keys() | arrays.keys():
        if name not in own or name not in arrays or arrays[name].shape != own[name]:
            what = (
                f"{name[:80]!r} is missing (shortcuts without weights are not known here)"
                if name not in arrays
                else f"{name[:80]!r} of shape {arrays[name].shape} is not among its weights"
            )
            raise refuse(
                "a residual network of another kind",
                f"{what}; give the network itself as arch=, or export it as ONNX",
            )


def _as_mindspore(module: Residual, shape: Shape, name: str) -> str:
    """Strided layers padded as pad_mode="same" does on even sizes: less at the top and left."""
    if any(size % 32 for size in shape[1:]):
        raise refuse(f"{name} of MindSpore", f"its padding is known for multiples of 32 only, got {shape}")
    for inner in module.modules():
        if isinstance(inner, nn.Conv2d) and inner.stride == (2, 2) and inner.kernel_size[0] > 1:
            small = (inner.kernel_size[0] - 2) // 2
            inner.padding = ((small, small + 1),) * 2
        if isinstance(inner, nn.BatchNorm2d):
            inner.eps = 1e-4
    if module.maxpool is not None:  # after ReLU, zeros outside are as good as nothing
        module.maxpool = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(3, 2))
    return 'as in MindSpore\'s model zoo: pad_mode="same", epsilon 1e-4 in batch normalisation'
