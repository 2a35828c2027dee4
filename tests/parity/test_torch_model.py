"""PyTorch networks as models: the contract, and the same numbers as the same weights in armour."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import model_contract
import numpy as np
import pytest
import torch
from model_contract import Example
from torch import nn as tnn

import armour
from armour import attacks
from armour.contract import Model
from armour.errors import InvalidArgument, UnsupportedError
from armour.preprocessing import Preprocessing
from armour.tensor import nn
from armour.torch_model import TorchModel
from tests.parity.test_torch_weights import lenet, trained
from tests.parity.test_torch_zoo import torch_resnet

SHAPE, K = (3, 8, 8), 5
NORMAL: dict[str, Any] = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25)}


def torch_net(seed: int, end: Callable[[], tnn.Module] | None = None, out: int = K) -> tnn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [
            tnn.Conv2d(3, 6, 3, padding=1),
            tnn.BatchNorm2d(6),
            tnn.ReLU(),
            tnn.MaxPool2d(2),
            tnn.Conv2d(6, 8, 3),
            tnn.ReLU(),
            tnn.Dropout(0.5),
            tnn.Flatten(),
            tnn.Linear(32, out),
        ]
        net = tnn.Sequential(*layers, *([] if end is None else [end()]))
        net(torch.randn(64, *SHAPE))  # running statistics that are not 0 and 1
    return net


def our_net(theirs: tnn.Module) -> nn.Module:
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(32, K),
    )
    state = {k: v.numpy() for k, v in theirs.state_dict().items() if "num_batches" not in k}
    net.load_state_dict(state)
    return net


class LastChannel(tnn.Module):
    """Takes (n, h, w, c), in place, and answers with an object that has `logits`."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.net = torch_net(seed)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        assert x.shape[1:] == (8, 8, 3)
        x.sub_(0.5)
        return {"loss": x.sum(), "logits": self.net(x.permute(0, 3, 1, 2))}


def plain(seed: int) -> Model:
    return armour.wrap(torch_net(seed), input_shape=SHAPE, **NORMAL)


def steps(seed: int) -> Model:
    done = Preprocessing(scale=1 / 255, mean=0.5, std=0.25, channels="bgr", resize=(8, 8), layout="NHWC")
    return armour.wrap(
        LastChannel(seed), input_shape=(3, 12, 9), bounds=(0, 255), num_classes=K, preprocessing=done
    )


def ending(end: Callable[[], tnn.Module], out: int, seed: int) -> Model:
    net = torch_net(seed, end, out).eval()
    if out == 1:  # both classes shall occur
        with torch.no_grad():
            net[8].bias -= net[:9](torch.from_numpy(sample(100))).median()
    return armour.wrap(net, input_shape=SHAPE)


def sample(n: int) -> np.ndarray:
    return np.random.default_rng(0).random((n, *SHAPE), dtype=np.float32)


def double(seed: int) -> Model:
    return armour.wrap(torch_net(seed).double(), input_shape=SHAPE)


class Bytes(tnn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        self.net = torch_net(seed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dtype == torch.uint8
        return self.net(x / 255)  # type: ignore[no-any-return]


def of_bytes(seed: int) -> Model:
    return armour.wrap(Bytes(seed), input_shape=SHAPE, preprocessing=Preprocessing(scale=255, dtype="uint8"))


EXAMPLES = [
    Example("network", plain, True),
    Example("network with preprocessing", steps, True),
    Example("softmax", partial(ending, partial(tnn.Softmax, 1), K), True, "probabilities"),
    Example("sigmoid", partial(ending, tnn.Sigmoid, 1), True, "one probability"),
    Example("one score", partial(ending, tnn.Identity, 1), True, "one score"),
    Example("double precision", double, True),
    Example("bytes", of_bytes, False),
]


@pytest.mark.parametrize("check", model_contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_contract(example: Example, check: Callable[[Example], None]) -> None:
    if example.name == "bytes" and check is model_contract.layers_have_names:
        pytest.skip("it has layers, but no gradient")
    check(example)


def pair(seed: int = 0) -> tuple[Model, Model]:
    theirs = torch_net(seed)
    options = {"input_shape": SHAPE, "num_classes": K, **NORMAL}
    return armour.wrap(theirs, **options), armour.wrap(our_net(theirs), **options)


def test_the_same_weights_give_the_same_numbers() -> None:
    theirs, ours = pair()
    x = model_contract.batch(ours, 40)
    y = np.arange(40) % K
    np.testing.assert_allclose(theirs.logits(x), ours.logits(x), atol=1e-5)
    for loss in ("cross_entropy", "margin", "dlr"):
        for a, b in zip(theirs.loss_gradient(x, y, loss), ours.loss_gradient(x, y, loss), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5 * max(1, np.abs(b).max()))
    layers = ours.activations(x)
    for name, values in theirs.activations(x).items():
        np.testing.assert_allclose(values, layers[name], atol=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_same_attack(norm: Any) -> None:
    theirs, ours = pair(3)
    x = model_contract.batch(ours, 60)
    y = ours.predict(x)
    epsilons = [0.01, 0.05] if norm == "linf" else [0.1, 0.5]
    attack = attacks.PGD(norm=norm, steps=20)
    a, b = (attack.attack(model, x, y, epsilons, rng=0) for model in (theirs, ours))
    np.testing.assert_array_equal(a.success, b.success)
    apart = np.abs(a.adv - b.adv).reshape(2, 60, -1)
    # A gradient within rounding of 0 may have another sign, and moves its pixel the other way.
    assert (apart.max(axis=2) < 1e-4).mean() > 0.9 and 0 < a.success.mean() < 1
    assert (apart < 1e-4).mean() > 0.99
    assert (a.queries, a.gradients) == (b.queries, b.gradients)


def test_the_module_is_as_it_was() -> None:
    net = torch_net(0).train()
    net[1].eval()
    net[0].weight.requires_grad_(False)
    net[8].bias.grad = torch.ones(K)
    kept = {key: value.clone() for key, value in net.state_dict().items()}
    flags = [p.requires_grad for p in net.parameters()]
    modes = [m.training for m in net.modules()]
    model = armour.wrap(net, input_shape=SHAPE)
    random = torch.random.get_rng_state()
    x = model_contract.batch(model, 4)
    model.logits(x)
    model.activations(x)
    model.loss_gradient(x, np.zeros(4, np.int64))
    with pytest.raises(RuntimeError, match="of ours"):
        model.gradient(x, _fails)
    assert [p.requires_grad for p in net.parameters()] == flags and not flags[0]
    assert [m.training for m in net.modules()] == modes and modes[0] and not modes[2]
    for key, value in net.state_dict().items():
        assert torch.equal(value, kept[key]), key
    assert torch.equal(torch.random.get_rng_state(), random)
    assert [p.grad is None for p in net.parameters()].count(False) == 1
    assert not any(m._forward_hooks for m in net.modules())


def _fails(logits: Any) -> Any:
    raise RuntimeError("of ours")


def test_a_fingerprint_sees_weights_buffers_and_settings() -> None:
    first = plain(0).fingerprint
    for name in ("0.weight", "1.running_mean", "8.bias"):
        net = torch_net(0)
        with torch.no_grad():
            net.state_dict()[name].view(-1)[0] += 1e-6
        assert armour.wrap(net, input_shape=SHAPE, **NORMAL).fingerprint != first, name
    net = torch_net(0)
    net[3].ceil_mode = True
    assert armour.wrap(net, input_shape=SHAPE, **NORMAL).fingerprint != first
    assert armour.wrap(torch_net(0), input_shape=SHAPE).fingerprint != first
    half = armour.wrap(torch_net(0).to(torch.bfloat16), input_shape=SHAPE, **NORMAL)
    assert half.fingerprint != first
    x = model_contract.batch(half, 8)
    np.testing.assert_allclose(half.logits(x), plain(0).logits(x), atol=0.1)


def test_a_saturated_softmax_hides_no_gradient() -> None:
    net = torch_net(0, partial(tnn.Softmax, 1))
    with torch.no_grad():
        net[8].weight *= 1000
    model, bare = armour.wrap(net, input_shape=SHAPE), armour.wrap(net[:9], input_shape=SHAPE)
    x = model_contract.batch(model, 16)
    y = bare.predict(x)
    assert (torch.softmax(torch.tensor(bare.logits(x)), 1).max(1).values == 1).float().mean() > 0.5
    _, gradient = model.loss_gradient(x, y, "margin")
    expected = bare.loss_gradient(x, y, "margin")[1]
    assert np.abs(gradient).reshape(16, -1).max(axis=1).min() > 0
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_shapes_may_be_learnt_from_the_first_batch() -> None:
    model = armour.wrap(torch_net(0, partial(tnn.Softmax, 1)))
    x = model_contract.batch(plain(0), 3)
    assert model.logits(x).shape == (3, K) and model.input_shape == SHAPE
    assert model.provenance["outputs"].startswith("probabilities")
    assert model.provenance["framework"].startswith("torch ")
    np.testing.assert_allclose(np.exp(model.logits(x)).sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (tnn.Sequential(tnn.Conv2d(3, 2, 1)), "expected logits"),
        (tnn.LSTM(8, 3), "one tensor"),
        (tnn.Linear(9, 2), r"cannot run inputs of shape \(2, 3, 8, 8\), torch.float32"),
    ],
    ids=["pixels", "tuple", "shape"],
)
def test_what_is_no_classifier(module: tnn.Module, message: str) -> None:
    shape = (8,) if isinstance(module, tnn.LSTM) else SHAPE
    with pytest.raises(InvalidArgument, match=message) as error:
        armour.wrap(module, input_shape=shape)
    assert "\n" not in str(error.value)


def test_what_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"a torch\.nn\.Module"):
        armour.wrap(torch.zeros(3))
    with pytest.raises(InvalidArgument, match="labels only"):
        armour.wrap(torch_net(0), outputs="labels")
    with pytest.raises(InvalidArgument, match="no such setting"):
        armour.wrap(torch_net(0), input="x")
    with pytest.raises(InvalidArgument, match="unknown device"):
        armour.wrap(torch_net(0), device="tpu")
    model = of_bytes(0)
    with pytest.raises(UnsupportedError, match="takes uint8, which has no gradient"):
        model.loss_gradient(model_contract.batch(model, 1), np.zeros(1, np.int64))
    assert isinstance(model, TorchModel)


@pytest.mark.parametrize(
    ("name", "shape", "epsilons"),
    [("lenet", (1, 28, 28), [0.001, 0.006]), ("resnet18", (3, 32, 32), [0.0003, 0.002])],
)
def test_known_networks_through_torch_and_from_their_file(
    tmp_path: Path, name: str, shape: tuple[int, int, int], epsilons: list[float]
) -> None:
    """The torch wrapper and armour's own network from the .pt file: logits, gradients and an attack."""
    net = trained(lambda: lenet(2) if name == "lenet" else torch_resnet((2, 2, 2, 2), False, 3, 10))
    x = np.random.default_rng(2).random((12, *shape), dtype=np.float32)
    seen = (torch.from_numpy(x) - 0.4) / 0.25
    with torch.no_grad():  # statistics of these images, and no class that always wins
        for module in net.modules():
            if isinstance(module, tnn.BatchNorm2d):
                module.momentum = 1.0
        net.train()(seen)
        net.eval()[-1].bias -= net(seen).mean(0)
    torch.save(net.state_dict(), tmp_path / "m.pt")
    ours = armour.load(tmp_path / "m.pt", input_shape=shape, bounds=(0, 1), mean=0.4, std=0.25)
    theirs = armour.wrap(net, input_shape=shape, mean=0.4, std=0.25)
    y = ours.predict(x)
    logits = ours.logits(x)
    # Twelve images make statistics of little variance, which enlarge float32's rounding in eighteen layers.
    tolerance = (1e-5 if name == "lenet" else 5e-5) * np.abs(logits).max()
    np.testing.assert_allclose(theirs.logits(x), logits, rtol=1e-5, atol=tolerance)
    a, b = (model.loss_gradient(x, y)[1].reshape(12, -1) for model in (theirs, ours))
    assert (np.linalg.norm(a - b, axis=1) <= 1e-3 * np.linalg.norm(b, axis=1)).mean() > 0.8
    attack = attacks.PGD(norm="linf", steps=10)
    found = [attack.attack(model, x, y, epsilons, rng=0) for model in (theirs, ours)]
    np.testing.assert_array_equal(found[0].success, found[1].success)
    assert found[1].success.any() and not found[1].success.all()
    assert (np.abs(found[0].adv - found[1].adv) < 1e-4).mean() > 0.98
