"""An array type that refuses what CuPy's refuses: becoming a NumPy array unasked, and mixing with one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from armour.tensor.backend import register_namespace

ALLOWED = (int, float, bool, np.generic, str, type(None), slice, type(Ellipsis), np.dtype, type)


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
        value = getattr(self.inner, name)
        return forwarded(value) if callable(value) and not isinstance(value, type) else wrap(value)

    def __getitem__(self, index: Any) -> Any:
        return wrap(self.inner[unwrap(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.inner[unwrap(index)] = unwrap(value)


def forwarded(function: Any) -> Any:
    """`function` on strict arrays."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return wrap(function(*unwrap(args), **unwrap(kwargs)))

    return call


def _unary(name: str) -> Any:
    def method(self: StrictArray) -> Any:
        return wrap(getattr(self.inner, name)())

    return method


def _binary(name: str) -> Any:
    def method(self: StrictArray, other: Any) -> Any:
        return wrap(getattr(self.inner, name)(unwrap(other)))

    return method


def _in_place(name: str) -> Any:
    def method(self: StrictArray, other: Any) -> StrictArray:
        getattr(self.inner, name)(unwrap(other))
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
    """NumPy's functions for strict arrays. Only `asarray` and `array` may be given NumPy arrays."""

    __name__ = "strict"

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if name in ("asarray", "array"):
            return lambda a, *args, **kw: wrap(
                value(a.inner if isinstance(a, StrictArray) else a, *args, **kw)
            )
        if isinstance(value, type) or not callable(value):
            return Namespace(value) if type(value).__name__ == "module" else value
        return Function(value)


class Function:
    """A function of the namespace, with a ufunc's methods (`add.at`)."""

    def __init__(self, function: Any) -> None:
        self._call = forwarded(function)
        if isinstance(function, np.ufunc):
            self.at = forwarded(function.at)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)


strict = Namespace(np)


def register() -> None:
    """Make StrictArray usable as Tensor data."""
    register_namespace(StrictArray, strict, lambda a: a.inner)
