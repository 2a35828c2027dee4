"""Weights without a network: filled into a named architecture, or refused with what must be stated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import armour
from armour.errors import CheckpointError, InvalidArgument
from armour.formats import safetensors
from armour.model import ModuleModel
from armour.preprocessing import Preprocessing
from armour.tensor import Tensor, interpolate, nn, zoo

SHAPE = (1, 12, 12)
STATED: dict[str, Any] = {"input_shape": SHAPE, "bounds": (0, 1), "mean": 0.25, "std": 0.5}


def original(arch: str, classes: int = 7) -> ModuleModel:
    net = zoo.build(arch, SHAPE, classes, 3)
    return ModuleModel(net, input_shape=SHAPE, mean=0.25, std=0.5)


def write(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **arrays)  # type: ignore[arg-type]
    else:
        path.write_bytes(safetensors.dump(arrays))
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".ckpt"])
@pytest.mark.parametrize("arch", zoo.SMALL)
def test_every_architecture(tmp_path: Path, arch: str, suffix: str) -> None:
    model = original(arch)
    path = write(tmp_path / f"weights{suffix}", model.state_dict())
    found = armour.load(path, arch=arch, **STATED)
    x = np.random.default_rng(0).uniform(size=(3, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(found.logits(x), model.logits(x), rtol=1e-5, atol=1e-6)
    assert found.num_classes == 7 and found.name == arch
    assert found.provenance["weights"]["file"] == path.name
    armour.save(found, tmp_path / "whole.ckpt")
    assert armour.load(tmp_path / "whole.ckpt").fingerprint == found.fingerprint


@pytest.mark.parametrize(("name", "arch"), [("lenet5", "lenet5"), ("mlp", None)])
def test_users_may_give_images_of_another_size(tmp_path: Path, name: str, arch: str | None) -> None:
    model = original(name)
    path = write(tmp_path / "w.npz", model.state_dict())
    steps = Preprocessing(resize=SHAPE[1:], scale=2.0, mean=0.25)
    bigger = (SHAPE[0], 2 * SHAPE[1], 3 * SHAPE[2])
    found = armour.load(path, arch=arch, input_shape=bigger, bounds=(0, 0.5), preprocessing=steps)
    x = np.random.default_rng(0).uniform(0, 0.5, (3, *bigger)).astype(np.float32)
    seen = interpolate(Tensor(x), SHAPE[1:], mode="bilinear") * 2 - 0.25
    np.testing.assert_allclose(found.logits(x), model.module(seen * 1.0).numpy(), rtol=1e-4, atol=1e-5)
    assert found.input_shape == bigger and found.loss_gradient(x, np.arange(3))[1].shape == x.shape
    armour.save(found, tmp_path / "m.ckpt")
    again = armour.load(tmp_path / "m.ckpt")
    assert again.preprocessing == steps and again.fingerprint == found.fingerprint
    np.testing.assert_array_equal(again.logits(x), found.logits(x))


def test_a_module_of_ones_own(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(144, 3, rng=5))
    path = write(tmp_path / "w.npz", net.state_dict())
    other = nn.Sequential(nn.Flatten(), nn.Linear(144, 3, rng=6))
    found = armour.load(path, arch=other, **STATED)
    np.testing.assert_array_equal(other.state_dict()["1.weight"], net.state_dict()["1.weight"])
    assert found.num_classes == 3


@pytest.mark.parametrize("name", sorted(STATED))
def test_everything_must_be_stated(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "w.safetensors", original("mlp").state_dict())
    stated = {key: value for key, value in STATED.items() if key != name}
    with pytest.raises(CheckpointError, match=f"state {name}= "):
        armour.load(path, arch="mlp", **stated)


def test_a_checkpoint_states_it_all(tmp_path: Path) -> None:
    armour.save(original("mlp"), tmp_path / "m.ckpt")
    for name, value in ({"arch": "mlp"} | STATED).items():
        if name != "bounds":
            with pytest.raises(InvalidArgument, match=f"leave out {name}="):
                armour.load(tmp_path / "m.ckpt", **{name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("1.weight"), "missing '1.weight'"),
        (lambda a: a.update(extra=np.zeros(3, np.float32)), "unknown 'extra'"),
        (lambda a: a.update({"1.bias": np.zeros(5, np.float32)}), r"expected shape \(256,\)"),
        (lambda a: a.update({"1.bias": np.zeros(256, np.int64)}), "int64"),
        (lambda a: a["3.weight"].__setitem__((0, 0), np.nan), "'3.weight' holds NaN"),
        (lambda a: a.update({"5.weight": np.zeros((1 << 40, 0), np.float32)}), "expected shape"),
        (lambda a: a.update({"5.weight": np.zeros((9, 256), np.float32)}), "expected shape"),
        (lambda a: a.clear(), "missing"),
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_weights_that_do_not_fit(tmp_path: Path, change: Any, message: str, suffix: str) -> None:
    arrays = original("mlp").state_dict()
    change(arrays)
    path = write(tmp_path / f"w{suffix}", arrays)
    with pytest.raises(CheckpointError, match=message) as caught:
        armour.load(path, arch="mlp", **STATED)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("raw", [b"", b"hello", b"\x80\x04.", b"PK\x03\x04", b"\xff" * 8 + b"{}"])
def test_other_files(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "w.npz"
    path.write_bytes(raw)
    with pytest.raises(CheckpointError):
        armour.load(path, arch="mlp", **STATED)
    with pytest.raises(CheckpointError, match="no such file"):
        armour.load(tmp_path / "none.npz", arch="mlp", **STATED)


def test_an_unknown_architecture(tmp_path: Path) -> None:
    path = write(tmp_path / "w.npz", original("mlp").state_dict())
    with pytest.raises(CheckpointError, match="did you mean"):
        armour.load(path, arch="lenet", **STATED)
