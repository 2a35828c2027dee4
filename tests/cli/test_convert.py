"""`armour convert`: the same numbers in another format, whole or not there, and what is lost is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mindspore_made
import numpy as np
import pytest
import torch_made
from click.testing import CliRunner, Result

import armour
from armour.cli.main import main
from armour.formats import kinds, safetensors
from armour.model import ModuleModel
from armour.tensor import zoo

SHAPE = (3, 16, 16)


def convert(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["convert", *map(str, arguments)])


def model(arch: str = "resnet8") -> ModuleModel:
    net = zoo.build(arch, SHAPE, 4, rng=0)
    rng = np.random.default_rng(0)
    for _, buffer in net.named_buffers():
        buffer.data = buffer.data + rng.uniform(0.1, 0.2, buffer.shape).astype(np.float32)
    return ModuleModel(net, input_shape=SHAPE, num_classes=4, mean=0.4, std=0.2, class_names=list("abcd"))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    armour.save(model(), tmp_path / "m.ckpt")
    return tmp_path / "m.ckpt"


STATED = ("--bounds", "0,1", "--mean", "0.4", "--std", "0.2", "--input-shape", "3,16,16")


@pytest.mark.parametrize("name", ["w.safetensors", "w.npz", "w.mindspore"])
def test_weights_there_and_back(tmp_path: Path, checkpoint: Path, name: str) -> None:
    """Weights lose the network; stated again, or recognised, it gives the same logits."""
    to = ("--to", "mindspore") if name == "w.mindspore" else ()
    done = convert(checkpoint, tmp_path / name, *to)
    assert done.exit_code == 0 and "not kept    the network, input shape, bounds" in done.stdout
    kind, arrays, _ = kinds.read_arrays(tmp_path / name)
    original = armour.load(checkpoint)
    assert isinstance(original, ModuleModel)
    if name == "w.mindspore":
        assert kind.name == "mindspore" and "bn1.moving_variance" in arrays and "conv1.weight" in arrays
        np.testing.assert_array_equal(arrays["bn1.gamma"], original.state_dict()["bn1.weight"])
    else:
        assert arrays.keys() == original.state_dict().keys()
    x = np.random.default_rng(1).random((3, *SHAPE), dtype=np.float32)
    for i, arch in enumerate([("--arch", "resnet8"), ()]):
        back = tmp_path / f"back{i}.ckpt"
        done = convert(tmp_path / name, back, *STATED, *arch)
        assert done.exit_code == 0, done.stderr
        assert "conv1.weight" in done.stdout and "matched by" in done.stdout
        assert ("assumed     3x3 convolution of stride 1" in done.stdout) == (not arch)
        np.testing.assert_allclose(armour.load(back).logits(x), original.logits(x), rtol=1e-5, atol=1e-5)


def test_onnx_by_its_suffix(tmp_path: Path, checkpoint: Path) -> None:
    done = convert(checkpoint, tmp_path / "m.onnx", "--json")
    facts = json.loads(done.stdout)
    assert done.exit_code == 0 and facts["format"] == "onnx" and facts["bytes"] > 100_000
    assert kinds.detect(tmp_path / "m.onnx").name == "onnx"
    x = np.random.default_rng(1).random((3, *SHAPE), dtype=np.float32)
    again = armour.load(tmp_path / "m.onnx")
    np.testing.assert_allclose(again.logits(x), armour.load(checkpoint).logits(x), rtol=1e-5, atol=1e-5)
    back = convert(tmp_path / "m.onnx", tmp_path / "again.ckpt")
    assert back.exit_code == 0, back.stderr
    np.testing.assert_array_equal(armour.load(tmp_path / "again.ckpt").logits(x), again.logits(x))


def test_weights_keep_their_names_and_lose_the_optimiser(tmp_path: Path) -> None:
    raw, weights = mindspore_made.lenet()
    (tmp_path / "m.ckpt").write_bytes(raw)
    done = convert(tmp_path / "m.ckpt", tmp_path / "w.safetensors", "--json")
    facts: dict[str, Any] = json.loads(done.stdout)
    assert (facts["kind"], facts["format"], facts["arrays"]) == ("mindspore", "safetensors", 8)
    assert facts["numbers"] == sum(array.size for array in weights.values())
    assert len(facts["left_over"]) == 10 and facts["left_over"]["momentum"] == "bookkeeping, scalar float64"
    found = safetensors.parse((tmp_path / "w.safetensors").read_bytes(), "w")
    assert found.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    again = convert(tmp_path / "w.safetensors", tmp_path / "again", "--to", "mindspore")
    assert again.exit_code == 0 and raw.startswith((tmp_path / "again").read_bytes()[:600])


def test_a_training_file_of_pytorch(tmp_path: Path) -> None:
    state = {"fc.weight": np.ones((3, 4), np.float32), "fc.bias": np.zeros(3, np.float32)}
    tree = {"epoch": 3, "state_dict": torch_made.tensors(state)}
    (tmp_path / "m.pt").write_bytes(torch_made.zipped(tree))
    done = convert(tmp_path / "m.pt", tmp_path / "w.npz")
    assert done.exit_code == 0 and "left out    epoch (3)" in done.stdout and "not kept" not in done.stdout
    assert kinds.read_arrays(tmp_path / "w.npz")[1].keys() == {"state_dict.fc.weight", "state_dict.fc.bias"}


def test_nothing_is_printed_if_it_is_quiet(tmp_path: Path, checkpoint: Path) -> None:
    done = convert(checkpoint, tmp_path / "w.npz", "--quiet")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("m.ckpt", "w.pt"), "cannot write w.pt"),
        (("m.ckpt", "none/w.npz"), "there is no folder"),
        (("m.ckpt", "m.ckpt"), "got m.ckpt for both"),
        (("none.ckpt", "w.npz"), "no such file"),
        (("m.ckpt", "w.npz", "--arch", "mlp"), "leave out arch="),
        (("w.npz", "m2.ckpt"), "state input_shape="),
        (("w.npz", "m2.ckpt", "--input-shape", "3,16,16"), "state bounds=, mean=, std="),
        (("w.npz", "w.safetensors", "--bounds", "0,1"), "leave out --bounds, or add --arch"),
        (("w.npz", "m2.ckpt", *STATED, "--arch", "lenet5"), "do not fit lenet5"),
        (("empty.npz", "w.safetensors"), "no weights"),
        (("nan.npz", "w.safetensors"), "NaN or infinity"),
        (("climbing.safetensors", "w2.npz"), "rename it"),
    ],
)
def test_what_cannot_be_converted_is_one_line(
    tmp_path: Path,
    checkpoint: Path,
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    armour.save(model(), "w.npz")
    np.savez("empty.npz")
    np.savez("nan.npz", a=np.full(3, np.nan))
    Path("climbing.safetensors").write_bytes(safetensors.dump({"../a": np.ones(2)}))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = convert(*arguments)
    assert done.exit_code == 2 and message in done.stderr, done.stderr
    assert done.stdout == "" and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_info_shows_how_weights_were_matched(tmp_path: Path) -> None:
    raw, weights = mindspore_made.lenet()
    (tmp_path / "m.ckpt").write_bytes(raw)
    flags = ["--bounds", "0,1", "--mean", "0", "--std", "1", "--input-shape", "1,32,32"]
    done = CliRunner().invoke(main, ["info", str(tmp_path / "m.ckpt"), *flags])
    assert done.exit_code == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    for name, array in weights.items():
        shape = "x".join(map(str, array.shape))
        assert any(row[1:] == [name, shape, "float32", "name", "and", "shape"] for row in rows), name
    assert "assumed     padding 0 in the first convolution, 0 in the second" in done.stdout
    assert "left over   learning_rate (bookkeeping, scalar float64)" in done.stdout
    facts = json.loads(CliRunner().invoke(main, ["info", str(tmp_path / "m.ckpt"), *flags, "--json"]).stdout)
    assert len(facts["provenance"]["matched"]) == 8
