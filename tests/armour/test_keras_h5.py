"""Weights of Keras: turned only when that is stated, equal to what Keras's layout computes; forged files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import hostile
import keras_made
import numpy as np
import pytest

import armour
from armour.errors import BackendUnavailable, CheckpointError
from armour.formats import kinds
from armour.model import ModuleModel
from armour.preprocessing import Preprocessing

h5py = pytest.importorskip("h5py", reason="needs the extra keras")
FORMS = {
    "h5": keras_made.h5,
    "h5 of weights": lambda layers: keras_made.h5(layers, root=""),
    "h5, packed": lambda layers: keras_made.h5(layers, compressed=True),
    "keras": keras_made.archive,
}
NHWC = Preprocessing(layout="NHWC", mean=(0.5,), std=(0.5,))


def lenet(channels: int = 1, features: int = 400) -> dict[str, dict[str, np.ndarray]]:
    """LeNet-5 in Keras's layout, under the names that Keras gives."""
    rng = np.random.default_rng(0)
    shapes = {
        "conv2d": (5, 5, channels, 6), "conv2d_1": (5, 5, 6, 16),
        "dense": (features, 120), "dense_1": (120, 84), "dense_2": (84, 10),
    }  # fmt: skip
    return {
        name: {
            "kernel": rng.normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape).astype(np.float32),
            "bias": rng.normal(0, 0.1, shape[-1]).astype(np.float32),
        }
        for name, shape in shapes.items()
    }


def channels_last(x: np.ndarray, layers: Any) -> np.ndarray:
    """What Keras computes for x (n, h, w, c), in float64: valid convolutions, flattened as (h, w, c)."""
    x = x.astype(np.float64)
    for name in ("conv2d", "conv2d_1"):
        kernel, size = layers[name]["kernel"].astype(np.float64), x.shape[1] - 4
        out = np.zeros((len(x), size, size, kernel.shape[3])) + layers[name]["bias"]
        for i in range(5):
            for j in range(5):
                out += x[:, i : i + size, j : j + size] @ kernel[i, j]
        x = np.maximum(out, 0).reshape(len(x), size // 2, 2, size // 2, 2, -1).max(axis=(2, 4))
    x = x.reshape(len(x), -1)
    for name in ("dense", "dense_1", "dense_2"):
        x = x @ layers[name]["kernel"].astype(np.float64) + layers[name]["bias"]
        x = x if name == "dense_2" else np.maximum(x, 0)
    return x


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("arch", [None, "lenet5"])
def test_lenet_gives_what_keras_computes(tmp_path: Path, form: str, arch: str | None) -> None:
    size = 32 if arch is None else 28
    layers = lenet(3)
    path = tmp_path / "m.keras"
    path.write_bytes(FORMS[form](layers))
    model = armour.load(path, arch=arch, input_shape=(3, size, size), bounds=(0, 1), preprocessing=NHWC)
    x = np.random.default_rng(1).random((4, 3, size, size), dtype=np.float32)
    seen = (x.transpose(0, 2, 3, 1).astype(np.float64) - 0.5) / 0.5
    if size == 28:  # the zoo's has padding 2 in front
        seen = np.pad(seen, ((0, 0), (2, 2), (2, 2), (0, 0)))
    wanted = channels_last(seen, layers)
    np.testing.assert_allclose(model.logits(x), wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
    assert isinstance(model, ModuleModel) and model.preprocessing.layout == "NCHW"
    assert model.provenance["assumed"][:2] == [
        "weights turned from Keras's layout, channels last",
        "dense.weight reordered for flattened maps of 16 x 5 x 5",
    ]
    if form in ("h5", "keras"):
        assert list(model.provenance["left_over"].values()) == ["the state of an optimizer"]


def test_nothing_is_turned_silently(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    path.write_bytes(keras_made.h5(lenet()))
    for stated in ({"mean": 0, "std": 1}, {"preprocessing": Preprocessing(std=(0.5,))}):
        with pytest.raises(CheckpointError, match=r"channels last .*layout='NHWC'"):
            armour.load(path, input_shape=(1, 32, 32), bounds=(0, 1), **stated)  # type: ignore[arg-type]
    _, arrays, _ = kinds.read_arrays(path)
    assert arrays["conv2d.kernel"].shape == (5, 5, 1, 6)  # as it is in the file


def test_flattened_colour_images_of_a_perceptron(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3 * 4 * 5, 7)).astype(np.float32)
    path = tmp_path / "m.h5"
    path.write_bytes(keras_made.h5({"dense": {"kernel": kernel}}))
    steps = Preprocessing(layout="NHWC")
    model = armour.load(path, input_shape=(3, 4, 5), bounds=(0, 1), preprocessing=steps)
    x = rng.random((2, 3, 4, 5), dtype=np.float32)
    wanted = x.transpose(0, 2, 3, 1).reshape(2, -1) @ kernel
    np.testing.assert_allclose(model.logits(x), wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(CheckpointError, match="takes 60 numbers; state input_shape="):
        armour.load(path, bounds=(0, 1), preprocessing=steps)


@pytest.mark.parametrize("form", FORMS)
def test_batch_normalisation_by_name(tmp_path: Path, form: str) -> None:
    rng = np.random.default_rng(0)
    norm = {
        role: rng.random(8, dtype=np.float32) for role in ("gamma", "beta", "moving_mean", "moving_variance")
    }
    layers = {"conv2d": {"kernel": rng.random((3, 3, 2, 8), dtype=np.float32)}, "batch_normalization": norm}
    path = tmp_path / "m"
    path.write_bytes(FORMS[form](layers))
    arrays = kinds.read_arrays(path)[1]
    assert {name.rpartition(".")[2] for name in arrays} == {"kernel", *norm}
    for role, array in norm.items():
        np.testing.assert_array_equal(arrays[f"batch_normalization.{role}"], array, strict=True)


def test_vgg_with_batch_normalisation_has_kerass_epsilon(tmp_path: Path) -> None:
    from armour.tensor import nn

    layers: dict[str, dict[str, np.ndarray]] = {}
    rng, before = np.random.default_rng(0), 3
    for i, width in enumerate((64, 128, 256, 256, 512, 512, 512, 512)):
        kernel = rng.normal(0, 1 / np.sqrt(9 * before), (3, 3, before, width)).astype(np.float32)
        layers[f"conv2d_{i}"] = {"kernel": kernel, "bias": np.zeros(width, np.float32)}
        ones = np.ones(width, np.float32)
        layers[f"norm_{i}"] = {
            "gamma": ones,
            "beta": 0 * ones,
            "moving_mean": 0 * ones,
            "moving_variance": ones,
        }
        before = width
    layers["output"] = {"kernel": rng.normal(0, 0.1, (512, 5)).astype(np.float32)}
    path = tmp_path / "m.keras"
    path.write_bytes(keras_made.archive(layers))
    model = armour.load(path, bounds=(0, 1), preprocessing=Preprocessing(layout="NHWC"))
    assert isinstance(model, ModuleModel) and model.name == "vgg11_bn"
    assert {m.eps for m in model.module.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}
    assert "epsilon 0.001" in model.provenance["assumed"][-1]


# -- forged ------------------------------------------------------------------------------------------------


def forged(change: Any) -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.create_dataset("a/kernel:0", data=np.ones((2, 3), np.float32))
        change(file)
    return out.getvalue()


def _virtual(file: Any) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(4,))
    file.create_virtual_dataset("v", layout)


def _external(file: Any) -> None:
    file.create_dataset("e", shape=(4,), dtype="u1", external=[("/etc/passwd", 0, 4)])


def _deep(file: Any) -> None:
    file.create_group("/".join("x" * 30))


def _cycle(file: Any) -> None:
    group = file.create_group("g")
    group["again"] = group
    group["and again"] = group


FORGED = {
    "a link to a file": (
        lambda f: f.__setitem__("l", h5py.ExternalLink("/etc/passwd", "/x")), "link to another"
    ),
    "a link inside": (lambda f: f.__setitem__("l", h5py.SoftLink("/a/kernel:0")), "link to another"),
    "virtual data": (_virtual, "in another file"),
    "data in another file": (_external, "in another file"),
    "groups nested deep": (_deep, "nested deeper"),
    "a group in itself": (_cycle, "nested deeper|entries"),
    "an array without bytes": (lambda f: f.create_dataset("b", shape=(1 << 40,), dtype="f4"), "has 0 bytes"),
    "chunks without bytes": (
        lambda f: f.create_dataset("b", shape=(1 << 30,), dtype="f4", chunks=(1 << 20,), compression="gzip"),
        "has 0 bytes",
    ),
    "a bomb": (
        lambda f: f.create_dataset("b", data=np.zeros(1 << 22, "f4"), chunks=(1 << 22,), compression="gzip"),
        "bytes in the file",
    ),
    "another filter": (lambda f: f.create_dataset("b", data=np.ones(4), compression="lzf"), "filters"),
}  # fmt: skip


@pytest.mark.parametrize("inside", [False, True], ids=["h5", "keras"])
@pytest.mark.parametrize("name", FORGED)
def test_forged_files_are_one_line(tmp_path: Path, name: str, inside: bool) -> None:
    change, message = FORGED[name]
    raw = forged(change)
    path = tmp_path / "m"
    path.write_bytes(hostile.packed(("model.weights.h5", raw)) if inside else raw)
    with pytest.raises(CheckpointError, match=message) as caught:
        kinds.read_arrays(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and text.isprintable() and len(text) < 400 + len(str(path))


def test_other_types_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    path.write_bytes(forged(lambda f: f.create_dataset("note", data="hello")))
    _, arrays, leftovers = kinds.read_arrays(path)
    assert list(arrays) == ["a.kernel"] and leftovers == {"note": "of type 'object'"}


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    path = tmp_path / "m.h5"
    path.write_bytes(keras_made.h5(lenet()))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(BackendUnavailable, match=r"armour-toolkit\[keras\]") as caught:
        kinds.read_arrays(path)
    assert str(caught.value).startswith(f"{path}: ")
