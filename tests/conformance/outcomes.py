"""What became of a test: run by the importer and compared with the stored outputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from armour.errors import UnsupportedError
from conformance.cases import Case

Runner = Callable[[bytes, Sequence[np.ndarray]], list[np.ndarray]]
STATUSES = ("passed", "failed", "unsupported", "skipped", "disputed")
# Stored outputs that contradict the operator's own text, and were corrected in a later release of onnx.
DISPUTED = {
    f"test_qlinearmatmul_{n}D_int8_{kind}": "wraps around at 8 bits where the operator saturates"
    for n in (2, 3)
    for kind in ("float16", "float32")
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """status: one of STATUSES. why: for those that did not pass."""

    suite: str
    name: str
    subject: str
    tier: int
    status: str
    why: str = ""


def outcome(case: Case, run: Runner) -> Outcome:
    """Run one test. An UnsupportedError is "unsupported", any other exception "failed"."""

    def found(status: str, why: str = "") -> Outcome:
        return Outcome(case.suite, case.name, case.subject, case.tier, status, " ".join(why.split())[:300])

    if case.skipped:
        return found("skipped", case.skipped)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for inputs, wanted in case.sets:
                got = run(case.model, inputs)
                why = difference(got, wanted, case.rtol, case.atol)
                if why and case.name in DISPUTED and saturated(got, wanted):
                    return found("disputed", DISPUTED[case.name])
                if why:
                    return found("failed", why)
    except UnsupportedError as error:
        return found("unsupported", str(error))
    except Exception as error:  # whatever it is, the test failed and the others go on
        return found("failed", f"{type(error).__name__}: {error}")
    return found("passed")


def difference(got: Sequence[np.ndarray], wanted: Sequence[np.ndarray], rtol: float, atol: float) -> str:
    """The first difference in number, shape, type or values of outputs; "" if there is none."""
    if len(got) < len(wanted):
        return f"{len(got)} outputs, {len(wanted)} wanted"
    for i, (a, b) in enumerate(zip(got, wanted, strict=False)):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            return f"output {i} is {a.dtype} {a.shape}, {b.dtype} {b.shape} wanted"
        if b.dtype.kind in "fc":
            wide = np.result_type(b.dtype, np.float64)
            x, y = a.astype(wide), b.astype(wide)
            if not np.allclose(x, y, rtol=rtol, atol=atol, equal_nan=True):
                with np.errstate(invalid="ignore"):
                    apart = np.where(np.isnan(x) & np.isnan(y), 0.0, np.abs(x - y))
                return f"output {i} is off by up to {apart.max():.3g}"
        elif not np.array_equal(a, b):
            return f"output {i} has {np.count_nonzero(a != b)} of {b.size} values that differ"
    return ""


def saturated(got: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> bool:
    """True if we differ only where our number is the smallest or largest of its type."""
    for a, b in zip(got, wanted, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype or a.dtype.kind not in "iu":
            return False
        info = np.iinfo(a.dtype)
        if not ((a == b) | (a == info.min) | (a == info.max)).all():
            return False
    return True
