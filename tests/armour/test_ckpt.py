"""Checkpoints: what is written is read again to the bit; any other file ends as one clear line."""

from __future__ import annotations

import json
import pickle
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
import small_models
from hypothesis import given
from hypothesis import strategies as st

import armour
from armour.errors import ArmourError, CheckpointError, InvalidArgument, UnsupportedError
from armour.formats import ckpt
from armour.model import CallableModel, ModuleModel
from armour.tensor import Tensor, nn, zoo
from armour.tensor.tape import state

SECONDS = 10  # of processor time that a hostile file may take: a bound of the product, not a benchmark


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("valid") / "m.ckpt"
    armour.save(small_models.centroids(*small_models.digits()), path)
    return path.read_bytes()


def refused(path: Path, **options: Any) -> str:
    """The message of the CheckpointError, which names the file and is one line."""
    with pytest.raises(CheckpointError) as caught:
        armour.load(path, **options)
    text = str(caught.value)
    assert text.startswith(str(path)) and "\n" not in text and text.isprintable()
    assert len(text) - len(str(path)) < 500
    return text


# -- there and back ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", zoo.SMALL)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)], ids=str)
def test_every_network_comes_back_to_the_bit(tmp_path: Path, arch: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    net = zoo.build(arch, shape, 7, rng=1)
    for _, buffer in net.named_buffers():  # running statistics of a trained network
        buffer.data = buffer.data + rng.uniform(0.1, 0.2, buffer.shape).astype(buffer.dtype)
    model = ModuleModel(
        net,
        bounds=(-1, 2),
        input_shape=shape,
        num_classes=7,
        class_names=[f"class {i}" for i in range(7)],
        mean=[0.25, 0.5, 0.125][: shape[0]],
        std=[0.5, 0.3, 0.2][: shape[0]],
        name=f"{arch}-test",
        provenance={"data": {"name": "digits"}, "training": {"seed": 3, "accuracy": 0.1}, "née": "é ☃ 漢"},
    )
    path = tmp_path / "m.ckpt"
    armour.save(model, path)
    again = armour.load(path)
    x = rng.uniform(-1, 2, (5, *shape)).astype(np.float32)
    np.testing.assert_array_equal(again.logits(x), model.logits(x), strict=True)
    for name in ("bounds", "input_shape", "num_classes", "class_names", "name", "provenance", "fingerprint"):
        assert getattr(again, name) == getattr(model, name), name
    assert isinstance(again, ModuleModel) and (again.mean, again.std) == (model.mean, model.std)
    np.testing.assert_array_equal(
        again.loss_gradient(x, np.arange(5))[1], model.loss_gradient(x, np.arange(5))[1]
    )
    armour.save(again, tmp_path / "again.ckpt")
    armour.save(model, tmp_path / "twice.ckpt")
    assert (
        path.read_bytes() == (tmp_path / "again.ckpt").read_bytes() == (tmp_path / "twice.ckpt").read_bytes()
    )


def test_the_file_is_a_plain_zip_that_other_tools_read(tmp_path: Path, valid: bytes) -> None:
    load_file = pytest.importorskip("safetensors.numpy").load
    manifest, weights = hostile.members(valid)
    assert manifest["format"] == "armour-ckpt/1" and manifest["bounds"] == [0.0, 1.0]
    (tmp_path / "m.ckpt").write_bytes(valid)
    model = armour.load(tmp_path / "m.ckpt")
    assert isinstance(model, ModuleModel)
    theirs = load_file(weights)
    assert theirs.keys() == model.state_dict().keys()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(theirs[name], array, strict=True)


def test_the_name_of_the_file_says_nothing(tmp_path: Path, valid: bytes) -> None:
    for name in ("model.pt", "model.npz", "model"):
        (tmp_path / name).write_bytes(valid)
        assert armour.load(tmp_path / name).num_classes == 10
    assert armour.load(str(tmp_path / "model")).num_classes == 10


def test_a_network_that_ends_in_softmax_keeps_giving_logarithms(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Softmax())
    model = ModuleModel(net, input_shape=(1, 2, 2), num_classes=3)
    armour.save(model, tmp_path / "m.ckpt")
    x = np.full((2, 1, 2, 2), 0.5, np.float32)
    np.testing.assert_array_equal(armour.load(tmp_path / "m.ckpt").logits(x), model.logits(x))
    assert (model.logits(x) < 0).all()


# -- what is not written -----------------------------------------------------------------------------------


def small(**options: Any) -> ModuleModel:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    return ModuleModel(net, **({"input_shape": (1, 2, 2), "num_classes": 3} | options))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_not_written(tmp_path: Path, value: float) -> None:
    model = small()
    next(iter(model.module.parameters())).data[0, 0] = value
    with pytest.raises(CheckpointError, match=r"'1\.weight' has 1 values that are NaN or infinite"):
        armour.save(model, tmp_path / "m.ckpt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"provenance": {"when": {1, 2}}}, "plain JSON"),
        ({"provenance": {"accuracy": float("nan")}}, "plain JSON"),
        ({"provenance": {"data": "mnist"}}, "provenance"),
        ({"provenance": {1: 2, "1": 3}}, "plain JSON"),
        ({"name": "two\nlines"}, "name"),
        ({"std": 1e-12}, "std"),
        ({"bounds": (0, 1e12)}, "bounds"),
    ],
    ids=str,
)
def test_what_could_not_be_read_again_is_not_written(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        armour.save(small(**options), tmp_path / "m.ckpt")
    assert not list(tmp_path.iterdir())


def test_a_network_of_another_precision_is_not_written(tmp_path: Path) -> None:
    model = small()
    model.module.astype("float64")
    with pytest.raises(InvalidArgument, match="float64, the graph says"):
        armour.save(model, tmp_path / "m.ckpt")


def test_black_boxes_and_other_suffixes_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="black box"):
        armour.save(CallableModel(lambda x: x, name="f"), tmp_path / "m.ckpt")
    with pytest.raises(UnsupportedError, match=r"\.ckpt"):
        armour.save(small(), tmp_path / "m.pt")
    with pytest.raises(InvalidArgument, match="create it"):
        armour.save(small(), tmp_path / "none" / "m.ckpt")
    assert not list(tmp_path.iterdir())


def test_an_error_in_writing_leaves_the_old_file(
    tmp_path: Path, valid: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.ckpt"
    path.write_bytes(valid)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        armour.save(small(), path)
    assert path.read_bytes() == valid and list(tmp_path.iterdir()) == [path]


# -- what is not read --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", hostile.CASES)
def test_a_hostile_file_is_one_line(tmp_path: Path, valid: bytes, name: str) -> None:
    make, message = hostile.CASES[name]
    path = tmp_path / "m.ckpt"
    raw = make(valid)
    assert raw != valid
    path.write_bytes(raw)
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    text = refused(path)
    assert re.search(message, text), text
    assert time.process_time() - start < SECONDS
    if sys.platform == "linux":  # kilobytes there
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "absent.ckpt")
    assert "folder" in refused(tmp_path)
    assert "cannot be read" in refused(tmp_path / ("x" * 5000))
    (tmp_path / "file").write_bytes(b"x")
    assert "no such file" in refused(tmp_path / "file" / "m.ckpt")


def test_truncated_at_every_place(tmp_path: Path) -> None:
    armour.save(small(), tmp_path / "whole.ckpt")
    raw = (tmp_path / "whole.ckpt").read_bytes()
    path = tmp_path / "m.ckpt"
    for end in range(len(raw)):
        path.write_bytes(raw[:end])
        refused(path)


def test_sizes_are_limited_before_anything_is_unpacked(
    tmp_path: Path, valid: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.ckpt"
    path.write_bytes(valid)
    with monkeypatch.context() as patch:
        patch.setattr("armour.formats.kinds.MAX_BYTES", 1000)
        assert "at most 1,000 bytes" in refused(path)
    with monkeypatch.context() as patch:
        patch.setattr(ckpt, "MAX_MANIFEST", 100)
        assert "above the limit of 100" in refused(path)
    with monkeypatch.context() as patch:
        patch.setattr(ckpt, "MAX_WEIGHTS", 100)
        assert "above the limit of 100" in refused(path) or "expand to" in refused(path)
    # More weights than the network has, although the file's size allows it.
    manifest, weights = hostile.members(valid)
    path.write_bytes(hostile.forged(manifest, weights + bytes(10 << 20)))
    assert "above the limit" in refused(path)


def test_memory_and_time_of_the_network_are_limited(
    tmp_path: Path, valid: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.ckpt"
    path.write_bytes(valid)
    with monkeypatch.context() as patch:
        patch.setattr(ckpt, "MAX_MEMORY", 100)
        assert "MiB" in refused(path)
    with monkeypatch.context() as patch:
        patch.setattr(ckpt, "MAX_SECONDS", 1e-9)
        assert "of computation" in refused(path)
    armour.load(path)


def test_bounds_are_stated_by_the_file_or_by_the_caller(tmp_path: Path, valid: bytes) -> None:
    path = tmp_path / "m.ckpt"
    path.write_bytes(hostile.without("bounds")(valid))
    assert "--bounds" in refused(path)
    assert tuple(armour.load(path, bounds=(0, 255)).bounds) == (0, 255)
    with pytest.raises(InvalidArgument):
        armour.load(path, bounds=(1, 0))
    path.write_bytes(valid)
    assert "leave them out" in refused(path, bounds=(0, 255))
    assert tuple(armour.load(path, bounds=(0, 1)).bounds) == (0, 1)


def test_reading_a_pickle_runs_nothing(tmp_path: Path) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path = tmp_path / "m.ckpt"
        path.write_bytes(pickle.dumps(hostile.Trap(), protocol=protocol))
        refused(path)  # else this process would be gone


@given(data=st.data())
def test_bytes_changed_at_random_never_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    raw = bytearray(_tiny(tmp_path_factory))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(raw) - 1))
        kind = data.draw(st.sampled_from(["byte", "cut", "grow", "repeat"]))
        if kind == "byte":
            raw[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del raw[at : at + data.draw(st.integers(1, 64))]
        elif kind == "grow":
            raw[at:at] = data.draw(st.binary(max_size=64))
        else:
            raw[at:at] = raw[at : at + 64]
        if not raw:
            break
    _never_worse(tmp_path_factory, bytes(raw))


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["input", "relu", "Linear", "float32", "0", "1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(data=st.data())
def test_values_changed_at_random_never_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    manifest, weights = hostile.members(_tiny(tmp_path_factory))
    for _ in range(data.draw(st.integers(1, 3))):
        holder: Any = manifest
        while True:  # down to some place in the tree
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if isinstance(holder[key], (dict, list)) and holder[key] and data.draw(st.booleans()):
                holder = holder[key]
                continue
            if data.draw(st.booleans()):
                holder[key] = data.draw(_VALUES)
            elif isinstance(holder, dict):
                del holder[key]
            else:
                holder.append(holder[key])
            break
    _never_worse(tmp_path_factory, hostile.forged(manifest, weights))


def _tiny(factory: pytest.TempPathFactory) -> bytes:
    path = factory.getbasetemp() / "tiny.ckpt"
    if not path.exists():
        net = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2, 3)
        )
        armour.save(ModuleModel(net, input_shape=(1, 2, 2), num_classes=3, class_names="abc"), path)
    return path.read_bytes()


def _never_worse(factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = factory.getbasetemp() / "changed.ckpt"
    path.write_bytes(raw)
    start = time.process_time()
    try:
        model = armour.load(path)
        with np.errstate(all="ignore"):
            model.logits(np.full((1, *model.input_shape), np.mean(tuple(model.bounds)), np.float32))
        json.dumps(model.provenance)
    except ArmourError as error:
        assert "\n" not in str(error)
    assert time.process_time() - start < SECONDS


def test_no_tensor_stays_limited_after_reading(tmp_path: Path, valid: bytes) -> None:
    path = tmp_path / "m.ckpt"
    path.write_bytes(hostile.CASES["padded to a terabyte"][0](valid))
    refused(path)
    assert not state.guards and not state.observers
    assert (Tensor(np.ones(3)) + 1).shape == (3,)
