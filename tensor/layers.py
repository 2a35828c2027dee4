"""Leaf layers: modules that a stored network names by type and constructor arguments.

A leaf layer is a class decorated with `@leaf`. Its constructor arguments, but for `rng`, are attributes of
the same name and plain JSON values, so that `config()` and `from_config` follow from the signature alone.
"""

from __future__ import annotations

import functools
import inspect
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Self, TypeVar

import numpy as np

from armour import rng as rngs
from armour.checks import count, describe, fraction, suggest
from armour.errors import InvalidArgument
from armour.registry import Registry
from armour.tensor import conv, init, linalg, norm, pooling, shape
from armour.tensor.core import Tensor
from armour.tensor.module import Module, Parameter, Rng, initial
from armour.tensor.padding import kept_padding

Size = int | tuple[int, int]
L = TypeVar("L", bound="type[Layer]")


class Layer(Module):
    """A module that a stored network names as one node."""

    def config(self) -> dict[str, Any]:
        """Constructor arguments (without rng) that rebuild this layer: JSON values, tuples for lists."""
        return {name: getattr(self, name) for name in _hints(type(self))}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The layer with these constructor arguments; lists stand for tuples.

        Raises InvalidArgument for unknown or missing names, wrong types and values out of range.
        """
        return cls(**check_config(cls, config))

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.config().items())


LAYERS: Registry[type[Layer]] = Registry("layer")
"""Leaf layers by class name: what a network read from a file may consist of."""


def leaf(cls: L) -> L:
    """Class decorator: file a leaf layer in LAYERS under its own name."""
    LAYERS.register(cls.__name__)(cls)
    return cls


def check_config(cls: type[Layer], config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, lists made tuples: all known, none missing, of the types that the signature states."""
    hints, checked = _hints(cls), {}
    for name, value in config.items():
        if name not in hints:
            raise InvalidArgument(
                f"layer {cls.__name__} has no argument {str(name)[:80]!r}{suggest(name, hints)}"
            )
        value = _tuples(value)
        if not _accepts(hints[name], value):
            expected = str(hints[name]).replace("<class '", "").replace("'>", "")
            raise InvalidArgument(
                f"layer {cls.__name__} expects {name} of type {expected}, got {describe(name, value)}"
            )
        checked[name] = value
    for name in _required(cls):
        if name not in checked:
            raise InvalidArgument(f"layer {cls.__name__} needs the argument {name!r}, which is missing")
    return checked


# -- linear and convolution ----------------


@leaf
class Linear(Layer):
    """x (..., in) @ weight (out, in) transposed + bias (out,). He initialisation, bias 0."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, rng: Rng = 0) -> None:
        self.in_features = count("in_features", in_features)
        self.out_features = count("out_features", out_features)
        size, stream = (self.out_features, self.in_features), rngs.generator(rng)
        self.weight = Parameter(initial(size, lambda: init.he(size, rng=stream)))
        self.bias = bias_of(bias, self.out_features)

    def config(self) -> dict[str, Any]:
        return super().config() | {"bias": self.bias is not None}

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return linalg.linear(x, self.weight, self.bias)


@leaf
class Conv2d(Layer):
    """Cross-correlation of x (n, c, h, w) with weight (o, c / groups, kh, kw), plus bias (o,).

    kernel_size, stride, padding (zeros on both sides), dilation: one number or (vertical, horizontal).
    padding may also be ((top, bottom), (left, right)), "same" or "valid"; see tensor.conv2d. He
    initialisation, bias 0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str | tuple[tuple[int, int], tuple[int, int]] = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: Rng = 0,
    ) -> None:
        self.in_channels = count("in_channels", in_channels)
        self.out_channels = count("out_channels", out_channels)
        self.kernel_size = conv.pair("kernel_size", kernel_size, 1)
        self.stride = conv.pair("stride", stride, 1)
        self.dilation = conv.pair("dilation", dilation, 1)
        self.padding = kept_padding(padding, self.kernel_size, self.stride, self.dilation)
        self.groups = count("groups", groups)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise InvalidArgument(
                f"expected groups={groups} to divide the channels in ({in_channels}) and out ({out_channels})"
            )
        size = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        stream = rngs.generator(rng)
        self.weight = Parameter(initial(size, lambda: init.he(size, rng=stream)))
        self.bias = bias_of(bias, self.out_channels)

    def config(self) -> dict[str, Any]:
        return super().config() | {"bias": self.bias is not None}

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, o, oh, ow)."""
        return conv.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


# -- pooling ----------------


class _Pool(Layer):
    def _set_up(self, kernel_size: Size, stride: Size | None, padding: Size, ceil_mode: bool) -> None:
        self.kernel_size = conv.pair("kernel_size", kernel_size, 1)
        self.stride = conv.pair("stride", kernel_size if stride is None else stride, 1)
        self.padding = conv.pair("padding", padding, 0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise InvalidArgument(
                f"expected padding of at most half the window {self.kernel_size}, got {self.padding}"
            )
        self.ceil_mode = bool(ceil_mode)


@leaf
class MaxPool2d(_Pool):
    """Largest value of each window; of equal values the first has the gradient. stride: the window's size.

    ceil_mode: a last window that ends outside the image counts too.
    """

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False
    ) -> None:
        self._set_up(kernel_size, stride, padding, ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, oh, ow)."""
        return pooling.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode)


@leaf
class AvgPool2d(_Pool):
    """Mean of each window. stride: the window's size. ceil_mode: a last window that ends outside counts too.

    count_include_pad: padded zeros count.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self._set_up(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = bool(count_include_pad)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, oh, ow)."""
        settings = (self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        return pooling.avg_pool2d(x, self.kernel_size, *settings)


@leaf
class GlobalAvgPool2d(Layer):
    """Mean over the image."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c)."""
        return pooling.global_avg_pool2d(x)


@leaf
class GlobalMaxPool2d(Layer):
    """Largest value of the image."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c)."""
        return pooling.global_max_pool2d(x)


# -- moving elements, joining, dropping ----------------


@leaf
class Flatten(Layer):
    """Axes from `start_axis` on merged into one."""

    def __init__(self, start_axis: int = 1) -> None:
        self.start_axis = count("start_axis", start_axis)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c * h * w) with the default."""
        return shape.flatten(x, self.start_axis)


@leaf
class Identity(Layer):
    """The input, unchanged."""

    def forward(self, x: Tensor) -> Tensor:
        """The input itself."""
        return x


@leaf
class Add(Layer):
    """Sum of its inputs, as a layer, so that the sum can be captured."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Inputs of one shape (or shapes that broadcast) -> their sum."""
        return functools.reduce(lambda a, b: a + b, inputs)


@leaf
class Dropout(Layer):
    """In training each element is 0 with probability p, else divided by 1 - p; in evaluation mode the input.

    rng: the stream the masks come from. Give each layer a stream of its own: pass one Generator to all layers
    of a network, or call `network.seed(rng)`.
    """

    def __init__(self, p: float = 0.5, *, rng: Rng = 0) -> None:
        self.p = fraction("p", p)
        self.rng: np.random.Generator = rngs.generator(rng)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return norm.dropout(x, self.p, rng=self.rng) if self.training and self.p else x


# -- configuration ----------------


def bias_of(wanted: bool, size: int) -> Parameter | None:
    return Parameter(initial((size,), lambda: np.zeros(size, np.float32))) if wanted else None


_known_hints: dict[type[Layer], dict[str, Any]] = {}
_known_required: dict[type[Layer], tuple[str, ...]] = {}


def _hints(cls: type[Layer]) -> dict[str, Any]:
    """Types of the constructor's arguments by name, without rng; worked out once for each class."""
    if cls not in _known_hints:
        hints = {} if cls.__init__ is object.__init__ else typing.get_type_hints(cls.__init__)
        names = inspect.signature(cls).parameters if hints else ()
        _known_hints[cls] = {name: hints[name] for name in names if name != "rng"}
    return _known_hints[cls]


def _required(cls: type[Layer]) -> tuple[str, ...]:
    if cls not in _known_required:
        parameters = inspect.signature(cls).parameters
        _known_required[cls] = tuple(
            n for n in _hints(cls) if parameters[n].default is inspect.Parameter.empty
        )
    return _known_required[cls]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value


def _accepts(hint: Any, value: Any) -> bool:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_accepts(part, value) for part in parts)
    if origin is tuple:
        if not isinstance(value, tuple) or len(value) > 64:
            return False
        parts = parts[:1] * len(value) if parts[1:] == (...,) else parts
        return len(parts) == len(value) and all(map(_accepts, parts, value))
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31
    if hint is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and abs(value) < 1e300 and math.isfinite(value)
    if hint is str:
        return isinstance(value, str) and len(value) <= 1000
    return hint is type(None) and value is None
