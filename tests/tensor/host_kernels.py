"""cupy.ElementwiseKernel on the host: the kernel's text compiled as C++, one loop over its threads."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.tensor.strict import StrictArray, launch

COMPILER = shutil.which("g++")
TYPES = {"int32": "int", "int64": "long long", "float32": "float", "float64": "double"}


class ElementwiseKernel:
    """Kernels all of whose arrays are raw and contiguous, as cupy_source.py writes them."""

    def __init__(self, inputs: str, outputs: str, body: str, name: str, no_return: bool = False) -> None:
        assert no_return and name.isidentifier()
        self.parameters = [p.split() for p in f"{inputs}, {outputs}".strip(", ").split(",")]
        self.body, self.name = body, name

    def source(self, dtype: str) -> str:
        """The kernel as a C++ function."""
        declared = []
        for *raw, kind, name in self.parameters:
            kind = "T" if kind == "T" else TYPES[kind]
            declared.append(f"{kind}* {name}" if raw else f"{kind} {name}")
        return (
            f"#include <cmath>\nusing namespace std;\ntypedef {TYPES[dtype]} T;\n"
            f'extern "C" void run(long long size, {", ".join(declared)}) {{\n'
            f"for (long long i = 0; i < size; i++) {{ {self.body} }} }}\n"
        )

    def __call__(self, *args: Any, size: int) -> None:
        assert len(args) == len(self.parameters) and size > 0
        dtype = {a.dtype.name for a, p in zip(args, self.parameters, strict=True) if p[:2] == ["raw", "T"]}
        assert len(dtype) == 1, "arrays of several floating types"
        given: list[Any] = [ctypes.c_longlong(size)]
        for arg, (*raw, kind, _) in zip(args, self.parameters, strict=True):
            if raw:
                assert isinstance(arg, StrictArray) and arg.inner.ndim == 1 and arg.flags.c_contiguous
                assert kind == "T" or arg.dtype.name == kind
                given.append(ctypes.c_void_p(arg.inner.ctypes.data))
            else:
                given.append((ctypes.c_int if kind == "int32" else ctypes.c_longlong)(arg))
        launch(_compiled(self.source(dtype.pop())), *given)


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="armour-kernels-"))


@cache
def _compiled(text: str) -> Any:
    name = hashlib.sha256(text.encode()).hexdigest()[:20]
    path, library = _folder() / f"{name}.cpp", _folder() / f"{name}.so"
    path.write_text(text)
    assert COMPILER is not None
    command = [COMPILER, "-O1", "-ffp-contract=off", "-Wall", "-Werror", "-Wno-unused", "-shared", "-fPIC"]
    done = subprocess.run(
        [*command, str(path), "-o", str(library)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stderr}\n{text}"
    run = ctypes.CDLL(str(library)).run
    run.restype = None
    return run


def as_strict(*arrays: np.ndarray) -> list[StrictArray]:
    """Flat contiguous copies for a kernel."""
    return [StrictArray(np.ascontiguousarray(a).reshape(-1).copy()) for a in arrays]
