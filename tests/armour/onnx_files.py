"""What tests of ONNX files share: run a file elsewhere, and compare by scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

REASONS = ("NOT_IMPLEMENTED", "Could not find an implementation", "not supported", "is not implemented")


def outputs(proto: onnx.ModelProto, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs by onnxruntime, or by ONNX's own slow evaluator where that lacks an operator."""
    onnx.checker.check_model(proto, full_check=True)
    feeds = {v.name: a for v, a in zip(proto.graph.input, inputs, strict=True)}
    session = _session(proto)
    if session is not None:
        found: list[np.ndarray] = session.run(None, feeds)
        return found
    with np.errstate(all="ignore"):
        return [np.asarray(v) for v in ReferenceEvaluator(proto).run(None, feeds)]


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
