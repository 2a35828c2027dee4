"""The networks for photographs: torchvision's number of parameters, its names, any size they promise."""

import numpy as np
import pytest

from armour.errors import InvalidArgument
from armour.tensor import Tensor, cross_entropy, nn, no_grad, zoo

PARAMETERS = {
    "alexnet": 61_100_840,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_for_1000_classes(name: str) -> None:
    with nn.skip_init():
        net = zoo.build(name, (3, 224, 224), 1000)
    assert sum(p.size for p in net.parameters()) == PARAMETERS[name]


def test_names_and_shapes_are_torchvisions() -> None:
    with nn.skip_init():
        alexnet, resnet = (
            dict(zoo.build(n, (3, 224, 224), 1000).named_tensors()) for n in ("alexnet", "resnet50")
        )
    assert sorted(alexnet) == sorted(
        f"{name}.{part}"
        for name in (*(f"features.{i}" for i in (0, 3, 6, 8, 10)), *(f"classifier.{i}" for i in (1, 4, 6)))
        for part in ("weight", "bias")
    )
    assert alexnet["features.0.weight"].shape == (64, 3, 11, 11)
    assert alexnet["classifier.1.weight"].shape == (4096, 9216)
    assert resnet["conv1.weight"].shape == (64, 3, 7, 7)
    assert resnet["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert resnet["layer3.5.conv2.weight"].shape == (256, 256, 3, 3)
    assert resnet["layer4.2.bn3.running_var"].shape == (2048,)
    assert resnet["fc.weight"].shape == (1000, 2048)
    assert "layer1.1.downsample.0.weight" not in resnet and "conv1.bias" not in resnet
    assert len(resnet) == 53 * 5 + 2


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("resnet18", (3, 8, 9)),
        ("resnet50", (1, 28, 28)),
        ("resnet34", (3, 33, 40)),
        ("resnet50", (3, 64, 64)),
    ],
)
def test_any_size_from_8(name: str, shape: tuple[int, int, int]) -> None:
    net = zoo.build(name, shape, 7, rng=1).eval()
    x = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    leaf = Tensor(x, requires_grad=True)
    logits = net(leaf)
    assert logits.shape == (2, 7) and logits.dtype == np.float32
    cross_entropy(logits, np.array([0, 6])).mean().backward()
    assert leaf.grad is not None and leaf.grad.shape == x.shape and np.abs(leaf.grad.numpy()).max() > 0


@pytest.mark.parametrize("size", [63, 70])
def test_alexnet_from_63(size: int) -> None:
    with nn.skip_init():
        net = zoo.build("alexnet", (3, size, size), 5)
    rng = np.random.default_rng(0)
    for p in net.parameters():
        p.data = np.broadcast_to(rng.standard_normal(p.shape[-1:]).astype(np.float32), p.shape)
    with no_grad():
        out = net.eval()(Tensor(rng.random((1, 3, size, size), dtype=np.float32)))
    assert out.shape == (1, 5) and np.isfinite(out.numpy()).all()


def test_alexnet_needs_63() -> None:
    with pytest.raises(
        InvalidArgument, match=r"alexnet takes images of 63 x 63 pixels or more, got 63 x 62; use resnet18"
    ):
        zoo.build("alexnet", (3, 63, 62))
