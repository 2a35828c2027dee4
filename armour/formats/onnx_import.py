"""Reading ONNX models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from armour.errors import InvalidArgument
from armour.formats.onnx.interpreter import Interpreter
from armour.formats.onnx.proto import read
from armour.tensor.backend import asnumpy
from armour.tensor.core import Tensor, no_grad


def run_model(model: str | Path | bytes, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Outputs of an ONNX model, a path or its bytes, for inputs in the order of the graph.

    Raises UnsupportedError with all operators that are not known, CheckpointError for a damaged or hostile
    file, InvalidArgument for another number of inputs.
    """
    parsed = read(model)
    names = [name for name, _, _ in parsed.graph.inputs]
    if len(inputs) > len(names):
        names = [*names, *parsed.graph.weights]
    if len(inputs) > len(names):
        raise InvalidArgument(f"expected {len(names)} inputs ({', '.join(names)[:200]}), got {len(inputs)}")
    values = {name: Tensor(np.asarray(x)) for name, x in zip(names, inputs, strict=False)}
    with no_grad(), np.errstate(all="ignore"):
        found = Interpreter(parsed)(values)
    return [np.array(asnumpy(v.data) if isinstance(v, Tensor) else v) for v in found]
