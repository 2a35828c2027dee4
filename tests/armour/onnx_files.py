"""What tests of ONNX files share: run a file elsewhere, and compare by scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

REASONS = ("NOT_IMPLEMENTED", "Could not find an implementation", "not supported", "is not implemented")


class Elsewhere:
    """A checked file in onnxruntime, or in ONNX's own slow evaluator where that lacks an operator."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        onnx.checker.check_model(proto, full_check=True)
        self.names = [v.name for v in proto.graph.input]
        session = _session(proto)
        self.run: Any = ReferenceEvaluator(proto).run if session is None else session.run

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        with np.errstate(all="ignore"):
            return [np.asarray(v) for v in self.run(None, dict(zip(self.names, inputs, strict=True)))]


def outputs(proto: onnx.ModelProto, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of a file for one set of inputs."""
    return Elsewhere(proto)(*inputs)


def _session(proto: onnx.ModelProto) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(proto.SerializeToString(), options)
    except Exception as error:  # onnxruntime's own classes, which differ between versions
        if not any(reason in str(error) for reason in REASONS):
            raise
        return None


def close(ours: np.ndarray, theirs: np.ndarray, tolerance: float = 1e-5, least: float = 1e-3) -> None:
    """Equal to `tolerance` of the largest value, or of `least`; whole numbers and booleans exactly."""
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, (ours.dtype, theirs.dtype)
    if theirs.dtype.kind != "f":
        np.testing.assert_array_equal(ours, theirs)
        return
    finite = theirs[np.isfinite(theirs)]
    scale = max(float(np.abs(finite).max(initial=0.0)), least)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)
