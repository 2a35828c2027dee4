"""Vision transformers by the names of timm (`blocks.0.attn.qkv`) or torchvision (`encoder_layer_0`)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from armour.formats.entries import Entries
from armour.formats.recognise import FAMILIES, Found, Shape, image, refuse
from armour.tensor import nn
from armour.tensor.core import Tensor
from armour.tensor.module import Parameter, initial
from armour.tensor.shape import flatten, pad, transpose

_HEAD = 64  # features of a head in every published size
_EPSILON = 1e-6  # of layer normalisation, in both libraries
_MAX_DEPTH = 64
# Names of the network here, from those of timm and then from those of torchvision.
_NAMES = (
    (re.compile(r"^patch_embed\.proj\."), "patches."),
    (re.compile(r"^blocks\.(\d+)\.attn\.qkv\.(weight|bias)$"), r"blocks.\1.attention.in_proj_\2"),
    (re.compile(r"^blocks\.(\d+)\.attn\.proj\."), r"blocks.\1.attention.out_proj."),
    (re.compile(r"^blocks\.(\d+)\.mlp\.fc([12])\."), r"blocks.\1.fc\2."),
    (re.compile(r"^class_token$"), "cls_token"),
    (re.compile(r"^conv_proj\."), "patches."),
    (re.compile(r"^encoder\.pos_embedding$"), "pos_embed"),
    (re.compile(r"^encoder\.layers\.encoder_layer_(\d+)\.ln_([12])\."), r"blocks.\1.norm\2."),
    (re.compile(r"^encoder\.layers\.encoder_layer_(\d+)\.self_attention\."), r"blocks.\1.attention."),
    (re.compile(r"^encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:0|linear_1)\."), r"blocks.\1.fc1."),
    (re.compile(r"^encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:3|linear_2)\."), r"blocks.\1.fc2."),
    (re.compile(r"^encoder\.ln\."), "norm."),
    (re.compile(r"^heads\.(?:head|0)\."), "head."),
)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the shapes say. patch: pixels of one side; side: patches of one side."""

    channels: int
    width: int
    patch: int
    side: int
    depth: int
    hidden: int
    classes: int


class Block(nn.Module):
    """Attention and two dense layers, each after layer normalisation and around a shortcut."""

    def __init__(self, width: int, hidden: int) -> None:
        self.norm1 = nn.LayerNorm(width, _EPSILON)
        self.attention = nn.MultiheadAttention(width, width // _HEAD, batch_first=True)
        self.norm2 = nn.LayerNorm(width, _EPSILON)
        self.fc1 = nn.Linear(width, hidden)
        self.gelu = nn.GELU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) -> the same shape."""
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.fc2(self.gelu(self.fc1(self.norm2(x))))
        return out


class VisionTransformer(nn.Module):
    """Square patches and one token for the class, blocks of attention, and a linear map of that token.

    Dosovitskiy et al., 2021, https://arxiv.org/abs/2010.11929.
    """

    def __init__(self, plan: _Plan) -> None:
        tokens = plan.side**2
        self.patches = nn.Conv2d(plan.channels, plan.width, plan.patch, plan.patch)
        self.cls_token = Parameter(initial((1, 1, plan.width), lambda: np.zeros((1, 1, plan.width))))
        places = (1, tokens + 1, plan.width)
        self.pos_embed = Parameter(initial(places, lambda: np.zeros(places)))
        self.blocks = nn.ModuleList([Block(plan.width, plan.hidden) for _ in range(plan.depth)])
        self.norm = nn.LayerNorm(plan.width, _EPSILON)
        self.head = nn.Linear(plan.width, plan.classes)
        self.tokens = tokens

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, classes)."""
        patches = transpose(flatten(self.patches(x), 2), (0, 2, 1))
        # The token of the class stands first in every sample: a row of zeros, and the token added to it.
        first = pad(self.cls_token, ((0, 0), (0, self.tokens), (0, 0)))
        x = pad(patches, ((0, 0), (1, 0), (0, 0))) + (self.pos_embed + first)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x)[:, 0])
        return logits


@FAMILIES.register("vit")
def vit(entries: Entries, input_shape: Shape | None) -> Found | None:
    """A vision transformer of any size whose heads have 64 features each, with a token for the class."""
    arrays = {_own(name): array for name, array in entries.arrays.items()}
    if (
        len(arrays) != len(entries.arrays)
        or not {"cls_token", "pos_embed", "patches.weight"} <= arrays.keys()
    ):
        return None
    plan = _plan(arrays)
    name = f"vit of {plan.depth} blocks"
    side = plan.side * plan.patch
    shape = image(input_shape, plan.channels, {side: ""}, name)
    module = VisionTransformer(plan)
    own = {key: tensor.shape for key, tensor in module.named_tensors()}
    for key in sorted(own.keys() | arrays.keys()):
        if key not in own or key not in arrays or arrays[key].shape != own[key]:
            what = (
                "is missing" if key not in arrays else f"of shape {arrays[key].shape} belongs nowhere in it"
            )
            raise refuse("a vision transformer of another kind", f"{key[:80]!r} {what}; export it as ONNX")
    assumed = [
        f"{plan.width // _HEAD} heads of {_HEAD} features, exact GELU, epsilon {_EPSILON:g} in normalisation"
    ]
    if input_shape is None:
        assumed.append(f"inputs of {' x '.join(map(str, shape))}")
    return Found(name, module, tuple(assumed), shape, dict(zip(arrays, entries.arrays, strict=True)))


def _own(name: str) -> str:
    for pattern, ours in _NAMES:
        name = pattern.sub(ours, name)
    return name


def _plan(arrays: Mapping[str, np.ndarray]) -> _Plan:
    patches, places = arrays["patches.weight"].shape, arrays["pos_embed"].shape
    blocks = {int(m[1]) for name in arrays if (m := re.match(r"blocks\.(\d{1,3})\.", name))}
    fc1, head = arrays.get("blocks.0.fc1.weight"), arrays.get("head.weight")
    other = refuse("a vision transformer of another kind", "its parts are not known; export it as ONNX")
    if (
        fc1 is None
        or head is None
        or fc1.ndim != 2
        or head.ndim != 2
        or len(patches) != 4
        or len(places) != 3
    ):
        raise other
    side = math.isqrt(max(places[1] - 1, 0))
    square = patches[2] == patches[3] and side * side == places[1] - 1
    if not square or blocks != set(range(len(blocks))) or len(blocks) > _MAX_DEPTH or head.shape[0] < 2:
        raise other
    if patches[0] % _HEAD:
        raise refuse(
            "a vision transformer",
            f"the number of heads is not in the shapes of its {patches[0]} features; export it as ONNX",
        )
    return _Plan(patches[1], patches[0], patches[2], side, len(blocks), fc1.shape[0], head.shape[0])
