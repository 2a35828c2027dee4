"""Networks recognised from weights alone: what they compute, what is reported, and what must be stated.

Equality with PyTorch's own networks is tested in tests/parity.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import mindspore_made
import numpy as np
import pytest
import torch_made

import armour
from armour.errors import CheckpointError
from armour.formats import mindspore_ckpt, safetensors
from armour.formats.entries import prepare
from armour.formats.recognise import FAMILIES, recognise
from armour.model import ModuleModel

Arrays = dict[str, np.ndarray]
STATED: dict[str, Any] = {"bounds": (0, 1), "mean": 0, "std": 1}


def load(path: Path, arrays: Arrays, **options: Any) -> ModuleModel:
    path.write_bytes(safetensors.dump(arrays))
    model = armour.load(path, **(STATED | options))
    assert isinstance(model, ModuleModel)
    return model


def layers(*shapes: tuple[str, tuple[int, ...]], bias: bool = True) -> Arrays:
    """Weights (and biases) of random numbers by name and shape."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in shapes:
        scale = 1 / np.sqrt(np.prod(shape[1:]))
        arrays[f"{name}.weight"] = rng.normal(0, scale, shape).astype(np.float32)
        if bias:
            arrays[f"{name}.bias"] = rng.normal(0, 0.1, shape[:1]).astype(np.float32)
    return arrays


def lenet(features: int = 400) -> Arrays:
    return layers(
        ("conv1", (6, 1, 5, 5)), ("conv2", (16, 6, 5, 5)),
        ("fc1", (120, features)), ("fc2", (84, 120)), ("fc3", (10, 84)),
    )  # fmt: skip


# -- the network of MindSpore's tutorial -------------------------------------------------------------------


def reference(x: np.ndarray, w: Arrays) -> np.ndarray:
    """LeNet-5 as MindSpore's tutorial writes it, in float64: valid convolutions without bias."""
    x = x.astype(np.float64)
    for name in ("conv1.weight", "conv2.weight"):
        kernel = w[name].astype(np.float64)
        size = x.shape[2] - 4
        out = np.zeros((len(x), len(kernel), size, size))
        for i in range(5):
            for j in range(5):
                out += np.einsum("nchw,oc->nohw", x[:, :, i : i + size, j : j + size], kernel[:, :, i, j])
        out = np.maximum(out, 0)
        x = out.reshape(len(x), len(kernel), size // 2, 2, size // 2, 2).max(axis=(3, 5))
    flat = x.reshape(len(x), -1)
    for name in ("fc1", "fc2", "fc3"):
        flat = flat @ w[f"{name}.weight"].T.astype(np.float64) + w[f"{name}.bias"]
        flat = flat if name == "fc3" else np.maximum(flat, 0)
    return flat


@pytest.mark.parametrize("prefix", ["", "network.", "backbone."])
def test_lenet_of_mindspore(tmp_path: Path, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    _, weights = mindspore_made.lenet()
    path = tmp_path / "lenet-10_1875.ckpt"
    scalars = {"learning_rate": np.array(0.01), "momentum": np.array(0.9)}
    moments = {f"moments.{name}": np.zeros_like(array) for name, array in weights.items()}
    named = {prefix + name: array for name, array in weights.items()}
    path.write_bytes(mindspore_ckpt.dump({**named, **scalars, **moments}, crc=True))
    with caplog.at_level(logging.WARNING):
        model = armour.load(path, input_shape=(1, 32, 32), **STATED)
    x = np.random.default_rng(1).random((5, 1, 32, 32), dtype=np.float32)
    wanted = reference(x, weights)
    np.testing.assert_allclose(model.logits(x), wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())
    assert "is taken for lenet5; assumed: padding 0 in the first convolution" in caplog.text
    facts = model.provenance
    assert facts["weights"]["format"] == "mindspore" and facts["weights"]["file"] == path.name
    assert ["0.weight", f"{prefix}conv1.weight", "6x1x5x5 float32", "name and shape"] in facts["matched"]
    assert len(facts["matched"]) == 8
    assert sorted(facts["left_over"]) == sorted([*scalars, *moments])
    assert facts["left_over"]["learning_rate"] == "bookkeeping, scalar float64"
    armour.save(model, tmp_path / "whole.ckpt")  # from now on everything is in one file
    again = armour.load(tmp_path / "whole.ckpt")
    np.testing.assert_array_equal(again.logits(x), model.logits(x))
    assert again.provenance == facts


def test_what_shapes_do_not_say_must_be_stated(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(CheckpointError, match=r"LeNet-5.*\(1, 32, 32\) .*or \(1, 28, 28\)"):
        load(path, lenet())
    with pytest.raises(CheckpointError, match=r"got input_shape=\(1, 30, 30\)"):
        load(path, lenet(), input_shape=(1, 30, 30))
    assert load(path, lenet(256)).input_shape == (1, 28, 28)
    for name in STATED:
        with pytest.raises(CheckpointError, match=f"state {name}= "):
            load(path, lenet(256), **{name: None})
    with pytest.raises(CheckpointError, match=r"takes 65 numbers; state input_shape="):
        load(path, layers(("a", (10, 65))))
    with pytest.raises(CheckpointError, match=r"got input_shape=\(1, 8, 8\)"):
        load(path, layers(("a", (10, 65))), input_shape=(1, 8, 8))


def test_padding_follows_from_the_input(tmp_path: Path) -> None:
    large = load(tmp_path / "a", lenet(), input_shape=(1, 32, 32))
    small = load(tmp_path / "b", lenet(), input_shape=(1, 28, 28))
    x = np.random.default_rng(1).random((3, 1, 28, 28), dtype=np.float32)
    around = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))
    np.testing.assert_allclose(small.logits(x), large.logits(around), rtol=1e-5, atol=1e-6)


def test_dense_layers_in_any_order_of_names(tmp_path: Path) -> None:
    """The file's order need not be the network's: safetensors are sorted by name, layers10 before layers2."""
    shapes = [(f"layers{i}", (5, 5)) for i in range(1, 11)]
    with pytest.raises(CheckpointError, match="takes 5 numbers"):
        load(tmp_path / "m", layers(*shapes))
    shapes = [(f"layers{i}", (i + 5, i + 4)) for i in range(1, 11)]
    arrays = layers(*shapes)
    model = load(tmp_path / "m", arrays, input_shape=(1, 1, 5))
    x = np.random.default_rng(0).random((4, 1, 1, 5), dtype=np.float32)
    y = x.reshape(4, 5).astype(np.float64)
    for i in range(1, 11):
        y = y @ arrays[f"layers{i}.weight"].T + arrays[f"layers{i}.bias"]
        y = np.maximum(y, 0) if i < 10 else y
    np.testing.assert_allclose(model.logits(x), y, rtol=1e-5, atol=1e-6)
    assert model.name == "mlp" and model.num_classes == 15


def test_layers_of_one_shape_need_an_order(tmp_path: Path) -> None:
    """In a file sorted by name, numbers in the names decide, read as numbers; other names decide nothing."""
    shapes = [("fc1", (6, 4)), *((f"fc{i}", (6, 6)) for i in range(2, 12)), ("fc12", (3, 6))]
    arrays = layers(*shapes)
    x = np.random.default_rng(0).random((4, 1, 2, 2), dtype=np.float32)
    y = x.reshape(4, 4).astype(np.float64)
    for i in range(1, 13):
        y = y @ arrays[f"fc{i}.weight"].T + arrays[f"fc{i}.bias"]
        y = np.maximum(y, 0) if i < 12 else y
    np.testing.assert_allclose(
        load(tmp_path / "m", arrays, input_shape=(1, 2, 2)).logits(x), y, rtol=1e-5, atol=1e-6
    )
    named = layers(("first", (6, 4)), ("second", (6, 6)), ("other", (6, 6)), ("zlast", (3, 6)))
    with pytest.raises(
        CheckpointError, match=r"layers of one shape \(other, second\) could stand in any order"
    ):
        load(tmp_path / "m", named, input_shape=(1, 2, 2))
    path = tmp_path / "m.pt"  # PyTorch keeps the order of the network
    path.write_bytes(torch_made.zipped(torch_made.tensors(named)))
    model = armour.load(path, input_shape=(1, 2, 2), **STATED)
    y = x.reshape(4, 4).astype(np.float64)
    for name in ("first", "second", "other", "zlast"):
        y = y @ named[f"{name}.weight"].T + named[f"{name}.bias"]
        y = y if name == "zlast" else np.maximum(y, 0)
    np.testing.assert_allclose(model.logits(x), y, rtol=1e-5, atol=1e-6)


def test_a_linear_classifier(tmp_path: Path) -> None:
    arrays = layers(("fc", (10, 784)))
    model = load(tmp_path / "m", arrays)
    x = np.random.default_rng(0).random((2, 1, 28, 28), dtype=np.float32)
    np.testing.assert_allclose(
        model.logits(x), x.reshape(2, -1) @ arrays["fc.weight"].T + arrays["fc.bias"], rtol=1e-5, atol=1e-6
    )
    assert model.provenance["assumed"] == ["inputs of 1 x 28 x 28"]


@pytest.mark.parametrize("tensor", [False, True])
def test_the_last_layers_bias_may_be_missing(tmp_path: Path, tensor: bool) -> None:
    arrays = layers(("a", (6, 16)), ("b", (4, 6)), bias=False)
    path = tmp_path / "m.pt"
    path.write_bytes(
        torch_made.zipped({"model": torch_made.tensors(arrays)}) if tensor else safetensors.dump(arrays)
    )
    model = armour.load(path, input_shape=(1, 4, 4), **STATED)
    x = np.random.default_rng(0).random((2, 1, 4, 4), dtype=np.float32)
    wanted = np.maximum(x.reshape(2, 16) @ arrays["a.weight"].T, 0) @ arrays["b.weight"].T
    np.testing.assert_allclose(model.logits(x), wanted, rtol=1e-5, atol=1e-6)


def test_a_single_array_is_a_matrix(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    with (tmp_path / "m").open("wb") as stream:
        np.save(stream, np.asfortranarray(matrix))
    model = armour.load(tmp_path / "m", input_shape=(3, 2, 2), **STATED)
    x = np.random.default_rng(1).random((2, 3, 2, 2), dtype=np.float32)
    np.testing.assert_allclose(model.logits(x), x.reshape(2, 12) @ matrix.T, rtol=1e-5, atol=1e-6)
    with (tmp_path / "o").open("wb") as stream:
        np.save(stream, np.array([{}], object))
    with pytest.raises(CheckpointError, match="Python objects"):
        armour.load(tmp_path / "o", **STATED)


# -- residual networks of MindSpore ------------------------------------------------------------------------


def test_a_resnet_of_mindspore_is_padded_as_there() -> None:
    """Strided layers see one more row at the bottom than at the top; epsilon is MindSpore's too."""
    from armour.tensor import nn, zoo

    rng = np.random.default_rng(0)
    arrays: Arrays = {}
    for name, value in zoo.build("resnet18", (3, 64, 64), 5).state_dict().items():
        renamed = name.replace("downsample", "down_sample_layer").replace("fc.", "end_point.")
        if any(part in name for part in ("bn", "downsample.1")):
            for torch, ours in (("running_mean", "moving_mean"), ("running_var", "moving_variance")):
                renamed = renamed.replace(torch, ours)
            renamed = renamed.replace(".weight", ".gamma").replace(".bias", ".beta")
        arrays[renamed] = rng.uniform(0.5, 1.5, value.shape).astype(np.float32) / max(
            1, np.prod(value.shape[1:])
        )
    found = recognise(prepare(arrays, {}), (3, 64, 64))
    assert found is not None and found.name == "resnet18" and "pad_mode" in " ".join(found.assumed)
    strided = {
        (m.kernel_size, m.padding)
        for m in found.module.modules()
        if isinstance(m, nn.Conv2d) and m.stride == (2, 2)
    }
    assert strided == {((7, 7), ((2, 3), (2, 3))), ((3, 3), ((0, 1), (0, 1))), ((1, 1), (0, 0))}
    assert {m.eps for m in found.module.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-4}
    with pytest.raises(CheckpointError, match="multiples of 32"):
        recognise(prepare(arrays, {}), (3, 50, 50))


def transformer(width: int = 64, depth: int = 2, tokens: int = 4) -> Arrays:
    """A small vision transformer with timm's names, for images (1, 8, 8)."""
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width), "pos_embed": (1, tokens + 1, width),
        "patch_embed.proj.weight": (width, 1, 4, 4), "patch_embed.proj.bias": (width,),
        "norm.weight": (width,), "norm.bias": (width,), "head.weight": (3, width), "head.bias": (3,),
    }  # fmt: skip
    for i in range(depth):
        for name, out, given in (("attn.qkv", 3 * width, width), ("attn.proj", width, width),
                                 ("mlp.fc1", 20, width), ("mlp.fc2", width, 20)):  # fmt: skip
            shapes |= {f"blocks.{i}.{name}.weight": (out, given), f"blocks.{i}.{name}.bias": (out,)}
        for name in ("norm1", "norm2"):
            shapes |= {f"blocks.{i}.{name}.weight": (width,), f"blocks.{i}.{name}.bias": (width,)}
    return {name: rng.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}


def test_a_vision_transformer_is_a_network_like_any_other(tmp_path: Path) -> None:
    """It is saved, comes back, and what it answers for a sample does not depend on the others."""
    model = load(tmp_path / "m", transformer())
    assert model.name == "vit of 2 blocks" and model.input_shape == (1, 8, 8) and model.num_classes == 3
    assert model.provenance["assumed"][0].startswith("1 heads of 64 features, exact GELU")
    x = np.random.default_rng(1).random((5, 1, 8, 8), dtype=np.float32)
    logits = model.logits(x)
    np.testing.assert_allclose(model.logits(x[3:4]), logits[3:4], rtol=1e-5, atol=1e-6)
    armour.save(model, tmp_path / "m.ckpt")
    armour.save(model, tmp_path / "m.onnx")
    for name in ("m.ckpt", "m.onnx"):
        np.testing.assert_allclose(armour.load(tmp_path / name).logits(x), logits, rtol=1e-5, atol=1e-5)


# -- what is not recognised --------------------------------------------------------------------------------


def _without(arrays: Arrays, name: str) -> Arrays:
    return {key: value for key, value in arrays.items() if key != name}


def _zoo(arch: str) -> Arrays:
    from armour.tensor import zoo

    return zoo.build(arch, (3, 32, 32), 10).state_dict()


UNKNOWN: dict[str, tuple[Any, str]] = {
    "nothing": (lambda: {}, "0 weights are of none that is recognised"),
    "one vector": (lambda: {"a": np.ones(5, np.float32)}, "none that is recognised"),
    "a chain with a gap": (lambda: layers(("a", (8, 16)), ("b", (4, 9))), "none that is recognised"),
    "an empty layer": (lambda: layers(("a", (8, 16)), ("b", (0, 8))), "none that is recognised"),
    "one class": (lambda: layers(("a", (8, 784)), ("b", (1, 8))), "none that is recognised"),
    "a bias of another length": (
        lambda: layers(("a", (8, 784))) | {"a.bias": np.ones(7, np.float32)}, "none that is recognised"
    ),
    "a LeNet without a layer": (lambda: _without(lenet(), "conv2.weight"), "none that is recognised"),
    "a LeNet and more": (lambda: lenet() | layers(("fc4", (10, 10))), "none that is recognised"),
    "NaN": (lambda: lenet() | {"fc3.bias": np.full(10, np.nan, np.float32)}, "'fc3.bias' holds NaN"),
    "another ResNet": (lambda: _zoo("resnet8") | layers(("se", (4, 4))), "'se.* is not among its weights"),
    "shortcuts without weights": (
        lambda: _without(_zoo("resnet8"), "layer2.0.downsample.0.weight"), "is missing"
    ),
    "a ResNet of other shapes": (
        lambda: _zoo("resnet8") | {"bn1.weight": np.ones(9, np.float32)}, r"'bn1.weight' of shape \(9,\)"
    ),
    "heads of other sizes": (lambda: transformer(width=96), "number of heads is not in the shapes of its 96"),
    "patches in no square": (lambda: transformer(tokens=5), "its parts are not known"),
    "another transformer": (
        lambda: transformer() | layers(("blocks.0.ls1", (64, 1))), "'blocks.0.ls1.bias' of shape .64,. be"
    ),
    "a transformer without a block": (
        lambda: _without(transformer(), "blocks.1.mlp.fc2.bias"), "'blocks.1.fc2.bias' is missing"
    ),
    "another AlexNet": (
        lambda: layers(
            ("c1", (96, 3, 11, 11)), ("c2", (256, 96, 5, 5)), ("c3", (384, 256, 3, 3)),
            ("c4", (384, 384, 3, 3)), ("c5", (256, 384, 3, 3)),
            ("f1", (64, 9216)), ("f2", (64, 64)), ("f3", (10, 64)),
        ),
        "an AlexNet of other widths .96, 256, 384, 384, 256.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_recognised(tmp_path: Path, name: str) -> None:
    make, message = UNKNOWN[name]
    with pytest.raises(CheckpointError, match=message) as caught:
        load(tmp_path / "m", make(), input_shape=(3, 32, 32) if "Res" in name or "short" in name else None)
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()


def test_every_family_is_registered() -> None:
    assert recognise(prepare({}, {}), None) is None
    assert FAMILIES.names() == ["alexnet", "lenet5", "mlp", "resnet", "vgg", "vit"]


# -- names -------------------------------------------------------------------------------------------------


def test_bookkeeping_prefixes_and_groups() -> None:
    one = np.ones(2, np.float32)
    names = [
        "model.module.conv.weight", "model.module.bn.gamma", "model.module.bn.moving_variance",
        "model.module.bn.num_batches_tracked", "ema.module.conv.weight", "optimizer.state.0.exp_avg", "epoch",
        "moments.conv.weight", "lr_scheduler.last_epoch", "optimizer_state_dict.state.0.step",
    ]  # fmt: skip
    entries = prepare(dict.fromkeys(names, one), {"note": "'x'"})
    assert entries.origin == {
        "conv.weight": "model.module.conv.weight",
        "bn.weight": "model.module.bn.gamma",
        "bn.running_var": "model.module.bn.moving_variance",
    }
    assert entries.leftovers["ema.module.conv.weight"] == "beside model, 2 float32"
    assert set(entries.leftovers) == {"note", *names} - set(entries.origin.values())
    plain = prepare({"conv.weight": one, "lr.weight": one}, {})  # a layer may be called anything
    assert list(plain.arrays) == ["conv.weight", "lr.weight"] and not plain.leftovers
    with pytest.raises(CheckpointError, match="have one name"):
        prepare({"bn.gamma": one, "bn.weight": one}, {})


def test_by_shape_only_where_it_is_clear(tmp_path: Path) -> None:
    """Arrays of other names fill a named network in order; if counts differ, the names are at fault."""
    from armour.tensor import nn

    arrays = layers(("x1", (5, 4)), ("x2", (5, 5)), ("x3", (3, 5)))
    net = nn.Sequential(nn.Flatten(), *(nn.Linear(a, b, rng=0) for a, b in ((4, 5), (5, 5), (5, 3))))
    model = load(tmp_path / "m", arrays, arch=net, input_shape=(1, 2, 2))
    assert [row[:2] for row in model.provenance["matched"]][::2] == [
        ["1.weight", "x1.weight"], ["2.weight", "x2.weight"], ["3.weight", "x3.weight"]
    ]  # fmt: skip
    assert {row[3] for row in model.provenance["matched"]} == {"shape"}
    with pytest.raises(CheckpointError, match=r"missing '1\.weight'.*unknown 'x1\.bias'"):
        load(
            tmp_path / "m",
            arrays | {"x1.weight": np.ones((5, 5), np.float32)},
            arch=net,
            input_shape=(1, 2, 2),
        )
    other = {
        f"{'ba'[i]}.{role}": a for i in range(2) for role, a in (("weight", np.eye(4)), ("bias", np.ones(4)))
    }
    same = nn.Sequential(nn.Flatten(), nn.Linear(4, 4, rng=0), nn.Linear(4, 4, rng=0))
    with pytest.raises(CheckpointError, match=r"arrays of one shape \(a\.bias, b\.bias\)"):
        load(tmp_path / "m", other, arch=same, input_shape=(1, 2, 2))
    nameless = {f"{i}": array for i, array in enumerate(arrays.values())}
    with pytest.raises(CheckpointError, match="several vectors of one length"):
        load(tmp_path / "m", nameless, arch=net, input_shape=(1, 2, 2))
