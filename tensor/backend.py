"""Where arrays live: their namespace, moves between host and device, and the few differences between them.

This is the only module that imports cupy, on first use. Code below Tensor is written to `xp = get_xp(array)`
and never names numpy for arrays that may be on a device.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from armour.checks import one_of
from armour.errors import BackendUnavailable, InvalidArgument, UnsupportedError

Array: TypeAlias = Any  # numpy.ndarray or cupy.ndarray; CuPy ships no types
Namespace: TypeAlias = Any

# Array type -> (namespace, copy to a NumPy array). Tests register a type that refuses implicit conversion.
_NAMESPACES: dict[type, tuple[Namespace, Callable[[Array], np.ndarray]]] = {
    np.ndarray: (np, lambda a: a),
    np.generic: (np, np.asarray),
}
_default = "numpy"


def register_namespace(
    array_type: type, namespace: Namespace, asnumpy: Callable[[Array], np.ndarray]
) -> None:
    """Make arrays of `array_type` usable as Tensor data: `namespace` has NumPy's functions for them."""
    _NAMESPACES[array_type] = (namespace, asnumpy)


def is_array(value: object) -> bool:
    """True for an array of a known namespace (host or device)."""
    return _entry(type(value)) is not None


def get_xp(*arrays: Array) -> Namespace:
    """The namespace of all arrays given, scalars aside; InvalidArgument if host and device are mixed.

    Without arrays: the namespace of the chosen backend.
    """
    found: Namespace = None
    for array in arrays:
        entry = _entry(type(array))
        if entry is None:
            continue
        if found is not None and entry[0] is not found:
            raise InvalidArgument(
                f"arrays of {found.__name__} and {entry[0].__name__} in one operation; "
                "move one with Tensor.to(device)"
            )
        found = entry[0]
    if found is None:
        return np if arrays else default_namespace()
    return found


def asnumpy(array: Array) -> np.ndarray:
    """The array on the host; no copy if it is there already."""
    entry = _entry(type(array))
    return np.asarray(array) if entry is None else entry[1](array)


def to_device(array: Array, device: str) -> Array:
    """The array on `device` ("cpu" or "cuda"); no copy if it is there already."""
    one_of("device", device, ("cpu", "cuda"))
    if device == "cpu":
        return asnumpy(array)
    cupy = _cupy()
    return array if get_xp(array) is cupy else cupy.asarray(asnumpy(array))


def device_of(array: Array) -> str:
    """ "cpu" or "cuda"."""
    return "cuda" if type(array).__module__.split(".")[0] == "cupy" else "cpu"


def use_backend(name: str) -> None:
    """Choose where new tensors made from lists, scalars and NumPy arrays go: "numpy" (default) or "cupy"."""
    global _default  # noqa: PLW0603 - one choice for the process, made once at its start
    one_of("backend", name, ("numpy", "cupy"))
    if name == "cupy":
        _cupy()
    _default = name


def backend() -> str:
    """The name given to use_backend."""
    return _default


def default_namespace() -> Namespace:
    """The namespace of the chosen backend."""
    return _cupy() if _default == "cupy" else np


def has_cuda() -> bool:
    """True if cupy is installed and sees at least one device."""
    return why_no_cuda() is None


def why_no_cupy() -> str | None:
    """Why arrays of CuPy cannot be, and what to do; None if they can. CuPy itself is not loaded for it."""
    if "cupy" in sys.modules:
        missing = sys.modules["cupy"] is None
    else:
        missing = importlib.util.find_spec("cupy") is None
    return 'cupy is not installed; run: pip install "armour-toolkit[gpu]"' if missing else None


def why_no_cuda() -> str | None:
    """Why there is no device cuda, and what to do; None if there is one."""
    reason = why_no_cupy()
    if reason is not None:
        return reason
    try:
        devices = int(_cupy().cuda.runtime.getDeviceCount())
    except Exception as error:  # whatever the driver says, there is no usable device
        detail = " ".join(str(error).split())[:200]
        return (
            f"cupy sees no device ({detail}); check the driver, and that the CuPy wheel fits its CUDA version"
        )
    return None if devices else "cupy sees no device; check that one is visible (CUDA_VISIBLE_DEVICES)"


def scatter_add(xp: Namespace, target: Array, index: Any, values: Array) -> Array:
    """`target[index] += values` in place with repeated indices added up, which plain indexing does not do."""
    if hasattr(xp, "add") and hasattr(xp.add, "at"):
        xp.add.at(target, index, values)
        return target
    raise UnsupportedError(f"{xp.__name__} has no add.at; expected a namespace with scatter-add")


def add_rows(xp: Namespace, values: Array, indices: Array, count: int, width: int) -> Array:
    """(count, width) zeros with rows of `values` (any shape of rows of that width) added at `indices`.

    Indices count single elements: NumPy adds at places of one axis several times faster than at rows.
    """
    rows = indices.astype("int64").reshape((-1, 1)) * width + xp.arange(width, dtype="int64")
    out = xp.zeros(count * width, values.dtype)
    return scatter_add(xp, out, rows.reshape((-1,)), values.reshape((-1,))).reshape((count, width))


def strided(xp: Namespace, base: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """A view of contiguous `base` with any shape and strides (bytes); the caller keeps inside it."""
    if xp is np:  # as_strided does the same by a detour that costs more than a small convolution
        return np.ndarray(shape, base.dtype, base, 0, strides)
    return xp.lib.stride_tricks.as_strided(base, shape, strides)


def errstate(**kwargs: str) -> AbstractContextManager[Any]:
    """numpy.errstate; CuPy has no floating-point traps, so it needs none."""
    return np.errstate(**kwargs)  # type: ignore[arg-type]


def _entry(kind: type) -> tuple[Namespace, Callable[[Array], np.ndarray]] | None:
    entry = _NAMESPACES.get(kind)
    if entry is not None:
        return entry
    for known, value in list(_NAMESPACES.items()):
        if issubclass(kind, known):
            return value
    if kind.__module__.split(".")[0] == "cupy" and "cupy" in sys.modules:
        _cupy()
        return _NAMESPACES.get(kind)
    return None


def _cupy() -> ModuleType:
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise BackendUnavailable(
            f'cupy could not be imported ({error}); run: pip install "armour-toolkit[gpu]", or use device cpu'
        ) from error
    _NAMESPACES.setdefault(cupy.ndarray, (cupy, cupy.asnumpy))
    return cupy
