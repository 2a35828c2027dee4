"""Kernels on a CUDA device: the sources of cupy_source.py made cupy.ElementwiseKernels, each once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from armour.tensor.backend import Array, Namespace
from armour.tensor.kernels.cupy_source import Source

_KERNELS: dict[tuple[Any, str], Any] = {}


def compiled(xp: Namespace, source: Source) -> Any:
    """The kernel of a source; CuPy compiles it for a dtype at its first call and keeps the result on disk."""
    found = _KERNELS.get((xp, source.name))
    if found is None:
        found = _KERNELS[xp, source.name] = xp.ElementwiseKernel(
            source.inputs, source.outputs, source.body, source.name, no_return=True
        )
    return found


def bound(xp: Namespace, source: Source, *arguments: Any, size: int) -> Callable[[], Any]:
    """A call without arguments that runs `size` threads of a kernel on contiguous arrays and numbers."""
    flat = [a.reshape((-1,)) if hasattr(a, "reshape") and a.ndim != 1 else a for a in arguments]
    return partial(compiled(xp, source), *flat, size=size)


def flat_strides(x: Array) -> tuple[Array, tuple[int, int, int, int]] | None:
    """x (n, c, h, w) as one run of memory and its steps along n, h, w, c in elements; None if it is none."""
    c, h, w = x.shape[1:]
    if x.flags.c_contiguous:
        return x.reshape((-1,)), (c * h * w, w, 1, h * w)
    last = x.transpose((0, 2, 3, 1))
    if last.flags.c_contiguous:
        return last.reshape((-1,)), (h * w * c, w * c, c, 1)
    return None
