"""The tests in an unpacked onnx wheel: a model, inputs, and the outputs that somebody stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from conformance.tiers import operators, subject, tier

SUITES = ("node", "simple", "pytorch-converted", "pytorch-operator", "light")
LIGHT_MODELS = 9
# Types of values that NumPy has by itself.
_PLAIN = {
    *(TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BOOL),
    *(TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64),
    *(TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64),
}
_RANDOM = ("Random", "Bernoulli", "Multinomial")
Data = tuple[list[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True, slots=True)
class Case:
    """One test. skipped: why it cannot be run by anybody, or "". sets: (inputs, wanted outputs)."""

    suite: str
    name: str
    subject: str
    tier: int
    model: bytes
    sets: tuple[Data, ...]
    skipped: str
    rtol: float = 1e-3
    atol: float = 1e-7


def cases(root: Path) -> Iterator[Case]:
    """All tests below a folder that an onnx wheel was unpacked to, one after the other."""
    data = root / "onnx" / "backend" / "test" / "data"
    for suite in SUITES:
        for path in sorted((data / suite).iterdir()) if (data / suite).is_dir() else ():
            if suite == "light" and path.suffix == ".onnx":
                yield _light(path)
            elif (path / "model.onnx").is_file():
                yield _folder(suite, path)


def _folder(suite: str, path: Path) -> Case:
    model = onnx.load(path / "model.onnx")
    names = list(operators(model.graph))
    why = _reason(path.name, model, names)
    sets: list[Data] = []
    folders = sorted(path.glob("test_data_set_*"))
    if not why and not folders:
        why = "no data"
    if not why:
        sets = [(_tensors(f, "input"), _tensors(f, "output")) for f in folders]
    rank = tier(set(names))
    row = subject(suite, path.name, names)
    return Case(suite, path.name, row, rank, model.SerializeToString(), tuple(sets), why)


def _light(path: Path) -> Case:
    """A whole classifier with constant weights; its input is a ramp, as onnx's own runner has it."""
    model = onnx.load(path)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = []
    for value in model.graph.input:
        if value.name not in weights:
            shape = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
            size = int(np.prod(shape))
            inputs.append((np.arange(size) / size).reshape(shape).astype(np.float32))
    wanted = _tensor(path.with_name(f"{path.stem}_output_0.pb"))
    row = subject("light", path.stem, [])
    raw = model.SerializeToString()
    return Case("light", path.stem, row, 1, raw, ((inputs, [wanted]),), "", atol=1e-5)


def _reason(name: str, model: Any, names: list[str]) -> str:
    if any(n.startswith(_RANDOM) for n in names) or name.startswith("test_training_dropout"):
        return "random numbers"
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type
        if not kind.HasField("tensor_type"):
            return "sequences and optional values"
        if kind.tensor_type.elem_type not in _PLAIN:
            return "types that NumPy lacks, and text"
    return ""


def _tensors(folder: Path, kind: str) -> list[np.ndarray]:
    files = sorted(folder.glob(f"{kind}_*.pb"), key=lambda p: int(p.stem.rpartition("_")[2]))
    return [_tensor(path) for path in files]


def _tensor(path: Path) -> np.ndarray:
    array: np.ndarray = numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))
    return array
