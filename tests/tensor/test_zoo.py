"""Every architecture on every size it promises; sizes known from the papers; the rng alone decides."""

import numpy as np
import pytest

from armour.errors import InvalidArgument
from armour.tensor import Tensor, cross_entropy, no_grad, zoo

NAMES = ["lenet5", "mlp", "resnet20", "resnet8", "vgg-small"]


def parameters(net):
    return sum(p.size for p in net.parameters())


def test_names():
    assert list(zoo.SMALL) == NAMES
    large = ["alexnet", "resnet101", "resnet152", "resnet18", "resnet34", "resnet50"]
    assert zoo.names() == sorted(NAMES + large)
    with pytest.raises(InvalidArgument, match="did you mean resnet20"):
        zoo.build("resnet21")


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 9, 13), (4, 11, 12)])
@pytest.mark.parametrize("name", NAMES)
def test_any_size_from_8(name, shape):
    net = zoo.build(name, shape, 7)
    x = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    leaf = Tensor(x, requires_grad=True)
    logits = net(leaf)
    assert logits.shape == (2, 7) and logits.dtype == np.float32
    cross_entropy(logits, np.array([0, 6])).mean().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in net.parameters())
    assert leaf.grad.shape == x.shape
    with no_grad():
        assert net.eval()(Tensor(x[:0])).shape == (0, 7)
        # In evaluation mode no sample sees its neighbours.
        np.testing.assert_allclose(
            net(Tensor(x[:1])).numpy(), net(Tensor(x)).numpy()[:1], rtol=1e-4, atol=1e-5
        )


def test_known_sizes():
    # LeNet-5 as everyone counts it. The paper's 0.27M for ResNet-20 has shortcuts without parameters; the two
    # projections here, with their norms, add 16*32 + 64 and 32*64 + 128.
    assert parameters(zoo.build("lenet5")) == 61_706
    assert parameters(zoo.build("mlp")) == 784 * 256 + 256 + 256 * 256 + 256 + 2570
    assert parameters(zoo.build("resnet20", (3, 32, 32))) == 269_722 + 16 * 32 + 64 + 32 * 64 + 128
    assert parameters(zoo.build("resnet8", (3, 32, 32))) == 75_290 + 16 * 32 + 64 + 32 * 64 + 128


def test_names_are_torchvisions():
    state = zoo.build("resnet8").state_dict()
    assert {
        "conv1.weight",
        "bn1.running_var",
        "layer2.0.downsample.0.weight",
        "layer3.0.bn2.bias",
        "fc.bias",
    } <= set(state)
    assert "layer1.0.downsample.0.weight" not in state and "conv1.bias" not in state


@pytest.mark.parametrize("name", NAMES)
def test_rng_decides(name):
    a, b, c = (zoo.build(name, (1, 8, 8), rng=r).state_dict() for r in (0, np.random.default_rng(0), 1))
    assert all((a[k] == b[k]).all() for k in a)
    assert any((a[k] != c[k]).any() for k in a)


def test_initial_logits_are_of_order_one():
    x = np.random.default_rng(0).standard_normal((64, 1, 28, 28)).astype(np.float32)
    for name in NAMES:
        with no_grad():
            assert 0.1 < zoo.build(name)(Tensor(x)).numpy().std() < 10, name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (1, 7, 28)}, "8 x 8"),
        ({"input_shape": (28, 28)}, r"\(c, h, w\)"),
        ({"input_shape": (0, 28, 28)}, "input_shape"),
        ({"num_classes": 1}, "num_classes"),
        ({"rng": -1}, "rng"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        zoo.build("lenet5", **arguments)
    assert zoo.build("mlp", (1, 2, 3), 2)(Tensor(np.zeros((1, 1, 2, 3), np.float32))).shape == (1, 2)
