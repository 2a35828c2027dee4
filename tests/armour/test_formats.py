"""Reading and writing model files: the kind is told by content, and refusals say what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
import small_models

import armour
from armour import formats
from armour.errors import CheckpointError, UnsupportedError
from armour.formats import manifest


def test_they_are_the_packages_own_load_and_save() -> None:
    assert armour.load is formats.load and armour.save is formats.save


@pytest.mark.parametrize(
    ("raw", "what", "advice"),
    [
        (b"", "empty", "again"),
        (b"\x80\x02}q\x00.", "pickle", "without pickle"),
        (b"\x80\x05\x95", "pickle", "without pickle"),
        (b"\x93NUMPY\x01\x00", "single NumPy array", "network too"),
        (b"\x89HDF\r\n\x1a\n", "HDF5", "ONNX"),
        (b"\xd9\x5e\x3a\x7f1234", "encrypted MindSpore", "decrypt"),
        (b"\x10\0\0\0\0\0\0\0{}", "safetensors", "without a network"),
        (b"PK\x05\x06" + bytes(18), "exactly", "get it again"),
        (hostile.npz(), ".npz", "network"),
        (hostile.packed(("x/data.pkl", b"."), ("x/byteorder", b"little")), "PyTorch", "ONNX"),
        (hostile.packed(("model.weights.h5", b"")), "Keras", "ONNX"),
        (b"\x08\x07\x12\x04", "other content", "check the path"),
        (b"\x0a\xfd\x04\x0a", "other content", "check the path"),
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
    for name in ("m.ckpt", "m"):
        armour.save(model, tmp_path / name)
    for name in ("m.pt", "m.safetensors", "m.CKPT2"):
        with pytest.raises(UnsupportedError, match=r"\.ckpt"):
            armour.save(model, tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "m.ckpt"]


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
