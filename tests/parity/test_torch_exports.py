"""Networks trained in PyTorch, through each kind of file it writes: the same logits, the same attack."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from benchmarks import peers
from sklearn.datasets import load_digits
from torch import nn

import armour
from armour.attacks import PGD

SHAPES = {"lenet5": (1, 28, 28), "resnet8": (3, 28, 28)}
STEPS = {"lenet5": 400, "resnet8": 100}
EPSILONS = {"lenet5": 0.05, "resnet8": 0.01}
MEAN, STD = 0.3, 0.4


def digits(channels: int) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits as images (n, channels, 28, 28) in 0..1."""
    x, y = load_digits(return_X_y=True)
    small = torch.from_numpy((x / 16).astype(np.float32).reshape(-1, 1, 8, 8))
    large = nn.functional.interpolate(small, (28, 28), mode="bilinear")
    return large.expand(-1, channels, -1, -1).contiguous().numpy(), y


@cache
def trained(arch: str) -> Any:
    """The network after some steps on the digits, in evaluation mode."""
    torch.manual_seed(0)
    net = peers.build(arch, SHAPES[arch], 10).train().requires_grad_(True)
    x, y = digits(SHAPES[arch][0])
    images, labels = (torch.from_numpy(x) - MEAN) / STD, torch.from_numpy(y)
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    for step in range(STEPS[arch]):
        rows = torch.arange(step * 64, step * 64 + 64) % 1500
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(images[rows]), labels[rows]).backward()
        optimiser.step()
    return net.eval()


def write(net: Any, path: Path, shape: tuple[int, ...]) -> None:
    """In the form that the file's name asks for."""
    state = {name: value.contiguous() for name, value in net.state_dict().items()}
    if path.suffix == ".pt":
        torch.save(state, path)
    elif path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    elif path.suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in state.items()})
    else:
        example = (torch.zeros(2 if path.stem == "dynamo" else 1, *shape),)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.stem == "dynamo":
                free = ({0: torch.export.Dim("batch")},)
                torch.onnx.export(net, example, str(path), dynamo=True, dynamic_shapes=free, verbose=False)
            else:
                torch.onnx.export(net, example, str(path), dynamo=False)


FILES = ("weights.pt", "weights.safetensors", "weights.npz", "for_one.onnx", "dynamo.onnx")


@pytest.mark.parametrize("arch", SHAPES)
def test_every_file_gives_the_same_logits_and_the_same_attack(tmp_path: Path, arch: str) -> None:
    net, shape = trained(arch), SHAPES[arch]
    x, y = (part[1600:1640] for part in digits(shape[0]))
    with torch.no_grad():
        wanted = net((torch.from_numpy(x) - MEAN) / STD).numpy()
    assert (wanted.argmax(axis=1) == y).mean() > 0.8
    stated: dict[str, Any] = {"bounds": (0, 1), "input_shape": shape, "mean": MEAN, "std": STD}
    wrapped = armour.wrap(net, **stated)
    attack = PGD(norm="linf", steps=10)
    theirs = attack.attack(wrapped, x, y, [EPSILONS[arch]], rng=0)
    for name in FILES:
        path = tmp_path / name
        write(net, path, shape)
        arches = {} if path.suffix == ".onnx" else {"arch": arch}
        model = armour.load(path, **stated, **arches)
        found = model.logits(x)
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max(), name
        assert model.batch_size > 1 and model.can_grad
        ours = attack.attack(model, x, y, [EPSILONS[arch]], rng=0)
        np.testing.assert_array_equal(ours.success, theirs.success, err_msg=name)
        apart = np.abs(ours.adv - theirs.adv)
        # A gradient within rounding of 0 may have another sign, and moves its pixel the other way.
        assert (apart < 1e-4).mean() > 0.99, name
        assert (ours.queries, ours.gradients) == (theirs.queries, theirs.gradients)
    assert 0 < theirs.success.mean() < 1
