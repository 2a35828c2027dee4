"""Networks of PyTorch give the same logits here through every kind of file of weights, without their code."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from benchmarks import peers
from torch import nn

import armour
from armour.attacks import PGD
from armour.model import ModuleModel
from tests.parity.test_torch_zoo import torch_alexnet, torch_resnet


def lenet(padding: int = 0, names: bool = False) -> nn.Module:
    net: Any = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    if not names:
        return net
    names_of = {"0": "conv1", "3": "conv2", "7": "fc1", "9": "fc2", "11": "fc3"}
    named: Any = nn.Sequential()
    for name, module in net.named_children():
        named.add_module(names_of.get(name, f"plain{name}"), module)
    return named


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 20), nn.ReLU(), nn.Linear(20, 7)
    )


def vgg(norm: bool, dense: list[int], channels: int = 3) -> nn.Module:
    layers: list[nn.Module] = []
    before = channels
    for width in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0):
        if not width:
            layers.append(nn.MaxPool2d(2))
            continue
        layers.append(nn.Conv2d(before, width, 3, padding=1))
        layers += [nn.BatchNorm2d(width)] if norm else []
        layers.append(nn.ReLU())
        before = width
    layers.append(nn.AdaptiveAvgPool2d(7) if dense[0] == 25088 else nn.Identity())
    layers.append(nn.Flatten())
    for i, (a, b) in enumerate(pairwise(dense)):
        layers += [nn.ReLU()] * bool(i) + [nn.Linear(a, b)]
    return nn.Sequential(*layers)


class Attention(nn.Module):
    """As timm names it: one linear map to queries, keys and values."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // 64
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, 64).permute(2, 0, 3, 1, 4)
        found = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(found.transpose(1, 2).reshape(n, tokens, width))


class Block(nn.Module):
    """A block of timm's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.attn = Attention(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("fc1", nn.Linear(width, 3 * width))
        self.mlp.add_module("act", nn.GELU())
        self.mlp.add_module("fc2", nn.Linear(3 * width, width))

    def forward(self, x: Any) -> Any:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Encoder(nn.Module):
    """A block of torchvision's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.self_attention = nn.MultiheadAttention(width, width // 64, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, 100), nn.GELU(), nn.Dropout(), nn.Linear(100, width), nn.Dropout()
        )

    def forward(self, x: Any) -> Any:
        y = self.ln_1(x)
        x = x + self.self_attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class Timm(nn.Module):
    """A vision transformer with timm's names."""

    def __init__(self, width: int = 128, patch: int = 8, tokens: int = 16) -> None:
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, patch, patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, tokens + 1, width))
        self.blocks = nn.Sequential(*(Block(width) for _ in range(3)))
        self.norm, self.head = nn.LayerNorm(width, 1e-6), nn.Linear(width, 10)

    def forward(self, x: Any) -> Any:
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


class Torchvision(nn.Module):
    """A vision transformer with torchvision's names."""

    def __init__(self, width: int = 64, patch: int = 4, tokens: int = 49) -> None:
        super().__init__()
        self.conv_proj = nn.Conv2d(1, width, patch, patch)
        self.class_token = nn.Parameter(torch.randn(1, 1, width))
        self.encoder = nn.Module()
        self.encoder.pos_embedding = nn.Parameter(torch.randn(1, tokens + 1, width))
        self.encoder.layers = nn.Sequential()
        for i in range(12):
            self.encoder.layers.add_module(f"encoder_layer_{i}", Encoder(width))
        self.encoder.ln = nn.LayerNorm(width, 1e-6)
        self.heads = nn.Sequential()
        self.heads.add_module("head", nn.Linear(width, 5))

    def forward(self, x: Any) -> Any:
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1) + self.encoder.pos_embedding
        return self.heads(self.encoder.ln(self.encoder.layers(x))[:, 0])


# Name -> (the network in PyTorch, its input, what of the input must be stated, what it is taken for).
CASES: dict[str, tuple[Callable[[], Any], tuple[int, int, int], bool, str]] = {
    "mlp": (mlp, (1, 28, 28), False, "mlp"),
    "lenet 32": (lambda: lenet(0, names=True), (1, 32, 32), True, "lenet5"),
    "lenet 28": (lambda: lenet(2), (1, 28, 28), True, "lenet5"),
    "resnet8": (
        lambda: peers.build("resnet8", (3, 32, 32), 10),
        (3, 32, 32),
        True,
        "resnet8 for small images",
    ),
    "resnet18 at 224": (lambda: torch_resnet((2, 2, 2, 2), False, 3, 10), (3, 224, 224), False, "resnet18"),
    "resnet50": (lambda: torch_resnet((3, 4, 6, 3), True, 3, 10), (3, 32, 32), True, "resnet50"),
    "vit of timm": (Timm, (3, 32, 32), False, "vit of 3 blocks"),
    "vit of torchvision": (Torchvision, (1, 28, 28), False, "vit of 12 blocks"),
    "alexnet": (lambda: torch_alexnet(3, 10), (3, 224, 224), False, "alexnet"),
    "vgg11": (lambda: vgg(False, [512, 10]), (3, 32, 32), False, "vgg11"),
    "vgg11_bn": (lambda: vgg(True, [512, 512, 10], 1), (1, 32, 32), False, "vgg11_bn"),
    "vgg11 with pooling": (lambda: vgg(False, [25088, 30, 10]), (3, 64, 64), True, "vgg11"),
}
FORMS = {
    ".pt": lambda net, path: torch.save(net.state_dict(), path),
    "legacy.pt": lambda net, path: torch.save(net.state_dict(), path, _use_new_zipfile_serialization=False),
    "checkpoint.pt": lambda net, path: torch.save({"epoch": 3, "state_dict": net.state_dict()}, path),
    "parallel.pt": lambda net, path: torch.save(nn.DataParallel(net).state_dict(), path),
    ".safetensors": lambda net, path: safetensors.torch.save_file(net.state_dict(), path),
    ".npz": lambda net, path: np.savez(path, **{k: v.numpy() for k, v in net.state_dict().items()}),
}  # fmt: skip
STATED: dict[str, Any] = {"bounds": (0, 1), "mean": 0.4, "std": 0.25}


def trained(make: Callable[[], Any]) -> Any:
    """Running statistics as training leaves them."""
    torch.manual_seed(0)
    net = make().eval().requires_grad_(False)
    for key, buffer in net.named_buffers():
        if key.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    return net


def check(net: Any, path: Path, shape: tuple[int, int, int], **options: Any) -> ModuleModel:
    model = armour.load(path, **STATED, **options)
    assert isinstance(model, ModuleModel) and model.input_shape == shape
    x = np.random.default_rng(1).random((2, *shape), dtype=np.float32)
    with torch.no_grad():
        wanted = net((torch.from_numpy(x) - 0.4) / 0.25).numpy()
    np.testing.assert_allclose(model.logits(x), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
    return model


@pytest.mark.parametrize("case", CASES)
def test_recognised_networks_give_the_same_logits(tmp_path: Path, case: str) -> None:
    make, shape, stated, name = CASES[case]
    net = trained(make)
    large = sum(p.numel() for p in net.parameters()) > 1_000_000
    for form in [".pt"] if large else FORMS:
        path = tmp_path / f"m{form}"
        FORMS[form](net, path)
        model = check(net, path, shape, **({"input_shape": shape} if stated else {}))
        assert model.name == name
        matched = model.provenance["matched"]
        own = [key for key in net.state_dict() if not key.endswith("num_batches_tracked")]
        assert len(matched) == len(own) == len({row[0] for row in matched})
        assert {row[1].removeprefix("state_dict.").removeprefix("module.") for row in matched} == set(own)
        assert case == "mlp" or model.provenance["assumed"]


@pytest.mark.parametrize(
    ("arch", "shape"), [("lenet5", (1, 28, 28)), ("resnet8", (3, 32, 32)), ("resnet18", (3, 32, 32))]
)
def test_named_networks_give_the_same_logits(tmp_path: Path, arch: str, shape: tuple[int, int, int]) -> None:
    makes: dict[str, Callable[[], Any]] = {
        "lenet5": lambda: lenet(2, names=True),  # other names: matched by shape
        "resnet8": lambda: peers.build("resnet8", shape, 10),
        "resnet18": lambda: torch_resnet((2, 2, 2, 2), False, 3, 10),
    }
    net = trained(makes[arch])
    for form in [".pt", ".safetensors"] if arch == "resnet18" else FORMS:
        FORMS[form](net, tmp_path / f"m{form}")
        model = check(net, tmp_path / f"m{form}", shape, arch=arch, input_shape=shape)
        assert {row[3] for row in model.provenance["matched"]} == {"shape" if arch == "lenet5" else "name"}


def test_one_attack_through_every_file(tmp_path: Path) -> None:
    """The same weights, so the same adversarial examples, to the bit."""
    net = trained(lambda: lenet(2))
    x = np.random.default_rng(2).random((4, 1, 28, 28), dtype=np.float32)
    found = []
    for form, write in FORMS.items():
        write(net, tmp_path / f"m{form}")
        model = armour.load(tmp_path / f"m{form}", input_shape=(1, 28, 28), **STATED)
        labels = model.logits(x).argmax(axis=1)
        found.append(PGD(norm="linf", steps=5).attack(model, x, labels, 0.1, rng=0).adv)
    assert np.abs(found[0] - x).max() > 0.05
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
