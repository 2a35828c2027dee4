"""Thousands of damaged model files of every kind: each loads, or ends in one line, and nothing runs.

Payloads and bombs that are made on purpose are in the tests of each reader; here valid files are mutated.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras_made
import mindspore_made
import numpy as np
import onnx
import pytest
import sources
import torch_made
from onnx import TensorProto, helper

import armour
from armour.formats import kinds, onnx_import, safetensors
from armour.tensor import nn

CASES = 1_400  # of each kind, so that all together are above 10,000
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


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and RLIMIT_AS")
@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("kind", FILES)
def test_mutations_load_or_end_in_one_line(tmp_path: Path, kind: str, part: int) -> None:
    if kind == "onnx" and not hasattr(onnx_import, "load"):
        pytest.skip("armour.load does not read ONNX yet")
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
