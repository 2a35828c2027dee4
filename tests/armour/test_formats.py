"""Reading and writing model files: the kind is told by content, and refusals say what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import onnx
import pytest
import small_models

import armour
from armour import formats
from armour.errors import CheckpointError, InvalidArgument, UnsupportedError
from armour.formats import kinds, manifest, safetensors


def test_they_are_the_packages_own_load_and_save() -> None:
    assert armour.load is formats.load and armour.save is formats.save


@pytest.mark.parametrize(
    ("raw", "what", "advice"),
    [
        (b"", "empty", "again"),
        (b"\x80\x02}q\x00.", "pickle", "without pickle"),
        (b"\x80\x05\x95", "pickle", "without pickle"),
        (b"\x93NUMPY\x01\x00", "no .npy array", "numpy"),
        (b"\xd9\x5e\x3a\x7f1234", "encrypted MindSpore", "decrypt"),
        (b"\x02\0\0\0\0\0\0\0{}", "safetensors", "without a network"),
        (b"PK\x05\x06" + bytes(18), ".npz", "network"),
        (hostile.npz(), ".npz", "network"),
        (hostile.packed(("x/data.pkl", b"}."), ("x/byteorder", b"little")), "PyTorch", "arch="),
        (hostile.packed(("x/data.pkl", b"cos\nsystem\n.")), "os.system", "ONNX"),
        (hostile.packed(("a/constants.pkl", b""), ("a/data.pkl", b"")), "TorchScript", "ONNX"),
        (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "PyTorch", "damaged"),
        (b"cos\nsystem\n(S'ls'\ntR.", "pickle", "without pickle"),
        (b"\x0a\x0e\x0a\x01x\x12\x09\x12\x04Int8\x1a\x01\x05", "MindSpore checkpoint", "arch="),
        (b"\x0a\xfd\x04\x0a\x0cconv1.weight\x12\xec\x04\x08\x06\x08\x01", "MindSpore checkpoint", "left"),
        (b"\x0a\x050.1.1\x12\x09MindSpore", "MindIR", "ONNX"),
        (b"\x1c\0\0\0TFL3\x14\0", "TensorFlow Lite", "ONNX"),
        (b"\x1f\x8b\x08\0\0", "compressed", "unpack"),
        (b"\x0a\x10\x0a\x01x\x12\x0bPlaceholder\x1a\0", "other content", "check the path"),  # TensorFlow
        (b"\x08\x01\x12\xaf\x02\x0a\x33\x0a\x05serve", "other content", "check the path"),  # a SavedModel
        (b"hello", "other content", "check the path"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_a_file_is_and_what_to_do(tmp_path: Path, raw: bytes, what: str, advice: str) -> None:
    for name in ("m.ckpt", "m.onnx"):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(CheckpointError) as caught:
            armour.load(tmp_path / name)
        text = str(caught.value)
        assert (
            text.startswith(f"{tmp_path / name}: ") and what in text and advice in text and "\n" not in text
        )


def test_kinds_exclude_one_another(tmp_path: Path) -> None:
    """A model of ONNX is that and nothing else; so is each of ours, whatever its name."""
    graph = onnx.helper.make_graph([], "g", [], [])
    for version, options in ((3, {}), (10, {"producer_name": "pytorch", "doc_string": "two\nlines"})):
        made = onnx.helper.make_model(graph, ir_version=version, **options)
        head = kinds.Head(made.SerializeToString()[:512], 100)
        assert [kind.name for kind in kinds.KINDS if kind.matches(head)] == ["onnx"]
    model = small_models.centroids(*small_models.digits(100))
    raw = safetensors.dump(model.state_dict())
    for filler in range(8, 11):  # lengths whose first byte is the first of ONNX or of MindSpore
        text = raw[8 : 8 + int.from_bytes(raw[:8], "little")].ljust(0x100 * filler + filler)
        head = kinds.Head(len(text).to_bytes(8, "little") + text, len(raw))
        assert [kind.name for kind in kinds.KINDS if kind.matches(head)] == ["safetensors"]
    armour.save(model, tmp_path / "m.ckpt")
    (tmp_path / "m.ckpt").rename(tmp_path / "m.onnx")
    assert kinds.detect(tmp_path / "m.onnx").name == "armour"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="device"):
        armour.load(tmp_path / "pipe")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.ckpt"
    path.write_bytes(b"PK")

    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # permission bits mean nothing to root
    with pytest.raises(CheckpointError, match="Permission denied"):
        armour.load(path)


def test_suffixes_that_save_knows(tmp_path: Path) -> None:
    model = small_models.centroids(*small_models.digits(100))
    for name, kind in (
        ("m.ckpt", "armour"),
        ("m", "armour"),
        ("m.safetensors", "safetensors"),
        ("m.npz", "npz"),
    ):
        armour.save(model, tmp_path / name)
        assert kinds.detect(tmp_path / name).name == kind
    armour.save(model, tmp_path / "m.ms", format="mindspore")
    for name in ("m.safetensors", "m.npz", "m.ms"):
        found = armour.load(tmp_path / name, input_shape=(1, 8, 8), bounds=(0, 1), mean=0, std=1)
        np.testing.assert_array_equal(
            found.logits(small_models.digits(5)[0]), model.logits(small_models.digits(5)[0])
        )
    before = sorted(tmp_path.iterdir())
    for name in ("m.pt", "m.h5", "m.CKPT2"):
        with pytest.raises(UnsupportedError, match=r"\.ckpt, \.npz, \.onnx, \.safetensors"):
            armour.save(model, tmp_path / name)
    with pytest.raises(UnsupportedError, match="only a checkpoint holds everything"):
        formats.check_target(tmp_path / "m.npz")
    with pytest.raises(InvalidArgument, match="unknown format 'mindspor'; did you mean mindspore"):
        armour.save(model, tmp_path / "m.x", format="mindspor")
    with pytest.raises(UnsupportedError, match="black box"):
        armour.save(armour.wrap(lambda x: x), tmp_path / "b.npz")
    assert sorted(tmp_path.iterdir()) == before


def test_a_manifest_that_is_too_long_is_not_written() -> None:
    model = small_models.centroids(*small_models.digits(100))
    tree = manifest.describe(model, model.graph, "0" * 64)
    assert manifest.parse(manifest.dump(tree, 10_000), 10_000)["name"] == "centroids"
    with pytest.raises(CheckpointError, match="at most 100 characters"):
        manifest.dump(tree, 100)


def test_every_field_is_kept_apart_from_unknown_ones() -> None:
    model = small_models.centroids(*small_models.digits(100))
    model.provenance["note"] = "tab\tand\nline"
    tree = manifest.describe(model, model.graph, "0" * 64)
    parsed = manifest.parse(manifest.dump(tree | {"later": 1}, 100_000), 100_000)
    assert "later" not in parsed and parsed == {key: parsed[key] for key in tree}
    assert parsed["provenance"] == model.provenance
    np.testing.assert_array_equal(parsed["bounds"], [0, 1])
