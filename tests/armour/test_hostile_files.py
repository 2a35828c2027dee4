"""Thousands of damaged model files of every kind: each loads, or ends in one line, and nothing runs.

Payloads and bombs that are made on purpose are in the tests of each reader; here valid files are mutated.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import hostile
import hostile_worker
import keras_made
import mindspore_made
import numpy as np
import onnx
import pytest
import sources
import torch_made
from click.testing import CliRunner
from onnx import TensorProto, helper

import armour
from armour.cli.main import main
from armour.errors import CheckpointError
from armour.formats import kinds, safetensors
from armour.tensor import nn

CASES = 1_500  # of each kind, so that all together are above 10,000
STATED = {"bounds": [0, 1], "mean": 0, "std": 1}


def _arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"0.weight": (4, 6), "0.bias": (4,), "2.weight": (3, 4), "2.bias": (3,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def _checkpoint(path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3, rng=0), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3, rng=0))
    armour.save(armour.wrap(net, input_shape=(1, 4, 4), num_classes=3), path)


def _npz(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez_compressed(stream, **_arrays())  # type: ignore[arg-type]


def _mindspore(path: Path) -> None:
    parts = [
        mindspore_made.entry(name.encode(), array.shape, b"Float32", array.tobytes())
        for name, array in _arrays().items()
    ]
    raw = b"".join(parts) + mindspore_made.entry(b"epoch_num", (0,), b"Int32", bytes(4))
    path.write_bytes(mindspore_made.signed(raw))


def _torch(path: Path) -> None:
    path.write_bytes(torch_made.zipped({"epoch": 3, "state_dict": torch_made.tensors(_arrays())}))


def _legacy(path: Path) -> None:
    path.write_bytes(torch_made.legacy({"epoch": 3, "state_dict": torch_made.tensors(_arrays())}))


def _onnx(path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {"w": (2, 1, 3, 3), "b": (2,), "v": (8, 3)}
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["a"], pads=[0, 0, 0, 0]),
        helper.make_node("Relu", ["a"], ["c"]),
        helper.make_node("Reshape", ["c", "shape"], ["d"]),
        helper.make_node("MatMul", ["d", "v"], ["y"]),
    ]
    initial = [
        helper.make_tensor(
            name, TensorProto.FLOAT, shape, rng.normal(size=shape).astype(np.float32).tobytes(), raw=True
        )
        for name, shape in weights.items()
    ]
    initial.append(helper.make_tensor("shape", TensorProto.INT64, (2,), [0, -1]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        initial,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    path.write_bytes(made.SerializeToString())


def _keras(path: Path, write: Callable[[keras_made.Layers], bytes]) -> None:
    pytest.importorskip("h5py", reason="needs the extra keras")
    rng = np.random.default_rng(0)
    layers = {
        name: {"kernel": rng.normal(size=shape).astype(np.float32), "bias": np.zeros(shape[1], np.float32)}
        for name, shape in {"dense": (6, 4), "dense_1": (4, 3)}.items()
    }
    path.write_bytes(write(layers))


# Kind -> (a valid file of it, what is stated when it is loaded).
WEIGHTS: dict[str, Any] = STATED | {"input_shape": [1, 2, 3]}
TURNED: dict[str, Any] = {"bounds": [0, 1], "input_shape": [1, 2, 3], "preprocessing": {"layout": "NHWC"}}
FILES: dict[str, tuple[Callable[[Path], None], dict[str, Any]]] = {
    "armour": (_checkpoint, {}),
    "safetensors": (lambda path: path.write_bytes(safetensors.dump(_arrays())) and None, WEIGHTS),
    "npz": (_npz, WEIGHTS),
    "torch": (_torch, WEIGHTS),
    "torch-legacy": (_legacy, WEIGHTS),
    "mindspore": (_mindspore, WEIGHTS),
    "hdf5": (lambda path: _keras(path, partial(keras_made.h5, compressed=True)), TURNED),
    "keras": (lambda path: _keras(path, keras_made.archive), TURNED),
    "onnx": (_onnx, {"bounds": [0, 1]}),
}


def _header(text: bytes, body: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text + body


def _offsets(first: tuple[int, int], second: tuple[int, int]) -> bytes:
    entry = {"dtype": "F32", "shape": [2]}
    tree = {"a": entry | {"data_offsets": first}, "b": entry | {"data_offsets": second}}
    return _header(json.dumps(tree).encode(), bytes(16))


def _objects() -> bytes:
    out = io.BytesIO()
    np.savez(out, a=np.array([hostile.Trap()], object))
    return out.getvalue()


# Made on purpose; payloads of each reader are in its own tests too.
CODE = b"\x80\x02cos\nsystem\n(X\x08\0\0\0touch itq\0tR."
FORGED: dict[str, tuple[bytes, str]] = {
    "a pickle": (pickle.dumps(hostile.Trap()), "a pickle"),
    "a pickle of protocol 0": (b"cos\nsystem\n(S'touch it'\ntR.", "a pickle"),
    "a pickle in a PyTorch file": (hostile.packed(("a/data.pkl", CODE)), "holds code: os.system"),
    "a pickle in an old PyTorch file": (torch_made.legacy_head() + CODE, "holds code: os.system"),
    "a pickle in an .npz": (_objects(), "Python objects"),
    "TorchScript": (hostile.packed(("a/data.pkl", b"N."), ("a/constants.pkl", CODE)), "TorchScript"),
    "an exported program": (hostile.packed(("a/archive_format", b"pt2")), "exported PyTorch program"),
    "packed": (b"\x1f\x8b\x08\0" + bytes(20), "compressed"),
    "a header of 2 GB": (b"\xff\xff\xff\x7f\0\0\0\0{" + bytes(20), "header states 2,147,483,647"),
    "offsets that overlap": (_offsets((0, 8), (4, 12)), "starts at 4"),
    "offsets with a hole": (_offsets((0, 8), (12, 20)), "starts at 12"),
    "offsets past the end": (_offsets((0, 8), (8, 16))[:-1], "ends at 16"),
    "an absurd shape": (
        _header(b'{"a":{"dtype":"F32","shape":[4611686018427387903,4],"data_offsets":[0,4]}}', bytes(4)),
        "has 4 bytes",
    ),
    "a shape of nothing": (
        _header(b'{"a":{"dtype":"F32","shape":[4611686018427387903,0],"data_offsets":[0,0]}}'), "has 0 bytes"
    ),
    "a Value of 2 GB": (b"\x0a\xff\xff\xff\xff\x07\x0a\x01a\x12\x02\x08\x01", "bytes has only"),
    "an ONNX model of 2 GB": (b"\x08\x08\x3a\xff\xff\xff\xff\x07\x0a\x01", ""),
    "a frozen graph of TensorFlow": (b"\x0a\x10\x0a\x01x\x12\x0bPlaceholder\x1a\0", "other content"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_the_command_line_ends_in_one_line(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, message = FORGED[name]
    monkeypatch.chdir(tmp_path)
    Path("m.ckpt").write_bytes(raw)
    for command in (["info", "m.ckpt", "--bounds", "0,1"], ["convert", "m.ckpt", "m.npz"]):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 2, done.output
        assert done.stdout == "" and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
        assert message in done.stderr, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["m.ckpt"]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (CheckpointError("m: damaged; get it again"), "CheckpointError"),
        (CheckpointError("damaged"), "!message"),  # of which file?
        (CheckpointError("m: two\nlines"), "!message"),
        (CheckpointError("m: \x1b[2J"), "!message"),
        (CheckpointError("m: " + "x" * 2000), "!message"),
        (ValueError("what"), "!ValueError"),
        (MemoryError(), "!MemoryError"),
        (SystemExit(3), "!SystemExit"),
        (RuntimeWarning("invalid value"), "!RuntimeWarning"),
    ],
    ids=str,
)
def test_the_watch_notices(raised: BaseException, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.setattr(armour, "load", load)
    assert hostile_worker.outcome(Path("m"), {}).startswith(expected)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and RLIMIT_AS")
@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("kind", FILES)
def test_mutations_load_or_end_in_one_line(tmp_path: Path, kind: str, part: int) -> None:
    make, options = FILES[kind]
    path = tmp_path / "model.ckpt"
    make(path)
    assert kinds.detect(path).name == kind
    worker = sources.ROOT / "tests" / "hostile_worker.py"
    arguments = [str(path), str(CASES // 2), str(part), json.dumps(options)]
    places = os.pathsep.join(map(str, (sources.ROOT, sources.ROOT / "tests")))
    done = subprocess.run(
        [sys.executable, str(worker), *arguments],
        env=os.environ | {"PYTHONPATH": places, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"the process ended with {done.returncode}: {done.stderr[-800:]}"
    facts = json.loads(done.stdout)
    assert not facts["faults"], "\n".join(facts["faults"])
    assert facts["printed"] == ""
    assert facts["grown_kib"] < 1 << 20
    assert sum(facts["outcomes"].values()) == CASES // 2
    # The mutations reach past the first check: some files still load, most do not.
    assert facts["outcomes"]["loaded"] > 0 and facts["outcomes"]["CheckpointError"] > CASES // 8, facts
