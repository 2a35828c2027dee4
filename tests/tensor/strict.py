"""An array type that refuses what CuPy's refuses: becoming a NumPy array unasked, and mixing with one.

Its namespace has the functions that CuPy has, with the parameters that CuPy's take (cupy_api.py), and nothing
else of NumPy's. `transfers` records what would copy between host and device, and wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from armour.tensor.backend import register_namespace
from tests.tensor.cupy_api import METHODS, REDUCTIONS, SIGNATURES, UFUNC_METHODS, check_call

ALLOWED = (int, float, bool, np.generic, str, type(None), slice, type(Ellipsis), np.dtype, type)
_TRANSFERS: list[list[str]] = []


@contextmanager
def transfers() -> Iterator[list[str]]:
    """Collects the names of what copied between host and device inside."""
    found: list[str] = []
    _TRANSFERS.append(found)
    try:
        yield found
    finally:
        _TRANSFERS.pop()


_CAPTURES: list[list[Any]] = []


@contextmanager
def repeating() -> Iterator[list[Any]]:
    """Collects what is computed inside as calls that compute it again into the same memory: a CUDA graph."""
    found: list[Any] = []
    _CAPTURES.append(found)
    try:
        yield found
    finally:
        _CAPTURES.pop()


def perform(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a function of NumPy's arrays; while a graph is captured, what it writes to stays as it was."""
    if not _CAPTURES:
        result = function(*args, **kwargs)
        return np.asarray(result) if isinstance(result, np.generic) else result
    seen = [
        a for a in (getattr(function, "__self__", None), *args, *kwargs.values()) if type(a) is np.ndarray
    ]
    kept = [a.copy() for a in seen]
    result = function(*args, **kwargs)
    for array, before in zip(seen, kept, strict=True):
        if array.flags.writeable:
            array[...] = before
    result = np.asarray(result) if isinstance(result, np.generic) else result
    _CAPTURES[-1].append(lambda: _again(result, function(*args, **kwargs)))
    return result


def launch(function: Any, *args: Any) -> None:
    """Call a kernel, or remember it for the graph that is captured."""
    if _CAPTURES:
        _CAPTURES[-1].append(lambda: function(*args))
    else:
        function(*args)


def _again(result: Any, new: Any) -> None:
    if isinstance(result, np.ndarray):
        np.copyto(result, new)
    elif isinstance(result, tuple):
        for one, other in zip(result, new, strict=True):
            _again(one, other)


def _moved(what: str) -> None:
    for found in _TRANSFERS:
        found.append(what)


def unwrap(value: Any) -> Any:
    """The NumPy value inside; TypeError for a NumPy array, which must not be mixed in."""
    if isinstance(value, StrictArray):
        return value.inner
    if isinstance(value, (tuple, list)):
        return type(value)(unwrap(v) for v in value)
    if isinstance(value, dict):
        return {k: unwrap(v) for k, v in value.items()}
    if isinstance(value, ALLOWED):
        return value
    raise TypeError(f"a NumPy array or another stranger beside a strict array: {type(value)}")


def wrap(value: Any) -> Any:
    """Arrays as strict arrays; 0-d results stay arrays, as in CuPy."""
    if isinstance(value, (np.ndarray, np.generic)):
        return StrictArray(value)
    if isinstance(value, tuple):  # a plain one, also for NumPy's named tuples
        return tuple(wrap(v) for v in value)
    return [wrap(v) for v in value] if isinstance(value, list) else value


class StrictArray:
    """Holds a NumPy array and passes everything on, but never becomes one by itself."""

    __array_ufunc__ = None  # NumPy's ufuncs refuse it
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, inner: Any) -> None:
        self.inner = np.asarray(inner)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("implicit conversion of a strict array to NumPy")

    def __float__(self) -> float:
        raise TypeError("implicit conversion of a strict array to a number")

    __int__ = __index__ = __bool__ = __float__  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.inner)

    def __iter__(self) -> Iterator[Any]:
        return (wrap(v) for v in self.inner)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # __array_interface__ and its kind are conversions too
            raise AttributeError(name)
        if name not in METHODS:
            raise AttributeError(f"cupy.ndarray has no {name}")
        if name in ("item", "tolist", "tobytes", "nonzero", "get", "set"):
            _moved(name)
        if name == "flags":
            return Flags(self.inner.flags)
        value = getattr(self.inner, name)
        if not callable(value) or isinstance(value, type):
            return wrap(value)
        return _reduction(name, forwarded(value)) if name in REDUCTIONS else forwarded(value)

    def __getitem__(self, index: Any) -> Any:
        _look(index)
        return wrap(perform(self.inner.__getitem__, unwrap(index)))

    def __setitem__(self, index: Any, value: Any) -> None:
        _look(index)
        perform(self.inner.__setitem__, unwrap(index), unwrap(value))


class Flags:
    """cupy.ndarray.flags."""

    def __init__(self, flags: Any) -> None:
        self.c_contiguous, self.f_contiguous = bool(flags.c_contiguous), bool(flags.f_contiguous)
        self.owndata = bool(flags.owndata)


def _look(index: Any) -> None:
    # A list is copied to the device; a mask is counted there, and the host waits for the number.
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, list) or (isinstance(part, StrictArray) and part.inner.dtype == bool):
            _moved(f"an index by {type(part).__name__}")


def _reduction(name: str, method: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        check_call(name, (None, *args), kwargs)
        return method(*args, **kwargs)

    return call


def forwarded(function: Any) -> Any:
    """`function` on strict arrays."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return wrap(perform(function, *unwrap(args), **unwrap(kwargs)))

    return call


def _unary(name: str) -> Any:
    def method(self: StrictArray) -> Any:
        return wrap(perform(getattr(self.inner, name)))

    return method


def _binary(name: str) -> Any:
    def method(self: StrictArray, other: Any) -> Any:
        return wrap(perform(getattr(self.inner, name), unwrap(other)))

    return method


def _in_place(name: str) -> Any:
    def method(self: StrictArray, other: Any) -> StrictArray:
        perform(getattr(self.inner, name), unwrap(other))
        return self

    return method


for _name in (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and",
    "or",
    "xor",
    "rshift",
):
    setattr(StrictArray, f"__{_name}__", _binary(f"__{_name}__"))
    setattr(StrictArray, f"__r{_name}__", _binary(f"__r{_name}__"))
    setattr(StrictArray, f"__i{_name}__", _in_place(f"__i{_name}__"))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(StrictArray, f"__{_name}__", _binary(f"__{_name}__"))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(StrictArray, f"__{_name}__", _unary(f"__{_name}__"))


class Namespace:
    """NumPy's functions for strict arrays, as far as CuPy has them.

    Only `asarray` and `array` may be given NumPy arrays.
    """

    __name__ = "strict"

    def __init__(self, module: Any, prefix: str = "") -> None:
        self._module, self._prefix = module, prefix

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if type(value).__name__ == "module":
            return Namespace(value, f"{self._prefix}{name}.")
        if isinstance(value, type) or not callable(value):
            return value
        full = self._prefix + name
        if full not in SIGNATURES:
            raise AttributeError(f"CuPy has no {full}")
        return Function(value, full)


class Function:
    """A function of the namespace, with a ufunc's methods (`add.at`)."""

    def __init__(self, function: Any, name: str) -> None:
        self._function, self._name = function, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        check_call(self._name, args, kwargs)
        if self._name in ("asarray", "array"):
            first = args[0]
            if not isinstance(first, StrictArray):
                _moved(self._name)
            return wrap(perform(self._function, getattr(first, "inner", first), *args[1:], **kwargs))
        if self._name in ("nonzero", "argwhere", "flatnonzero", "unique"):
            _moved(self._name)
        return wrap(perform(self._function, *unwrap(args), **unwrap(kwargs)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in UFUNC_METHODS or not isinstance(self._function, np.ufunc):
            raise AttributeError(f"CuPy's {self._name} has no {name}")
        return forwarded(getattr(self._function, name))


strict = Namespace(np)


def to_host(array: StrictArray) -> np.ndarray:
    """What cupy.asnumpy does."""
    _moved("asnumpy")
    inner: np.ndarray = array.inner
    return inner


def register() -> None:
    """Make StrictArray usable as Tensor data."""
    register_namespace(StrictArray, strict, to_host)
