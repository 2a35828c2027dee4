"""What a caller may state about a model file, checked once for every reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from armour.bounds import Bounds
from armour.checks import count, describe, one_of
from armour.errors import InvalidArgument
from armour.preprocessing import Preprocessing, joined, numbers

if TYPE_CHECKING:
    from armour.tensor import nn

DEVICES = ("cpu", "cuda")
RUNTIMES = ("armour", "onnxruntime")
REDUCTIONS = ("last", "mean", "max")
MAX_TEXT = 300  # characters of a name


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What is stated about a model file; None: not stated, so the file must say it or a default holds.

    arch: the network of a file of weights, a name of the zoo or a module. bounds: range of the users' inputs.
    input_shape: of one sample as users give it. preprocessing: from users' inputs to the network's; or mean
    and std alone. num_classes, class_names: of the outputs; output_shape: of the answer of an ONNX network
    that is no classifier. device: "cpu" or "cuda". runtime: "armour", or "onnxruntime" for an ONNX file as a
    black box. For ONNX files with several inputs or outputs: input, the name of the one that is attacked;
    output, the name of the value that is the model's answer; fixed, values of the other inputs by name.
    reduce: how the scores for each step of a sequence become one, "last", "mean" or "max". Raises
    InvalidArgument, in one line.
    """

    arch: str | nn.Module | None = None
    bounds: Bounds | Sequence[float] | None = None
    input_shape: Sequence[int] | None = None
    preprocessing: Preprocessing | None = None
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None
    num_classes: int | None = None
    output_shape: Sequence[int] | None = None
    class_names: Sequence[str] | None = None
    device: str = "cpu"
    runtime: str = "armour"
    input: str | None = None
    output: str | None = None
    fixed: Mapping[str, Any] | None = None
    reduce: str | None = None

    def __post_init__(self) -> None:
        self._set("device", one_of("device", self.device, DEVICES))
        self._set("runtime", one_of("runtime", self.runtime, RUNTIMES))
        if self.reduce is not None:
            self._set("reduce", one_of("reduce", self.reduce, REDUCTIONS))
        if self.bounds is not None:
            self._set("bounds", Bounds.of(self.bounds))
        if self.input_shape is not None:
            self._set("input_shape", _shape("input_shape", self.input_shape))
        if self.output_shape is not None:
            self._set("output_shape", _shape("output_shape", self.output_shape))
        if self.num_classes is not None:
            self._set("num_classes", count("num_classes", self.num_classes))
        if self.class_names is not None:
            self._set("class_names", _names(self.class_names, self.num_classes))
        joined(self.preprocessing, self.mean, self.std)
        for name in ("mean", "std"):
            if getattr(self, name) is not None:
                self._set(name, numbers(name, getattr(self, name)))
        for name in ("input", "output"):
            if getattr(self, name) is not None and not _is_name(getattr(self, name)):
                raise InvalidArgument(
                    f"expected {name} to be a name, got {describe(name, getattr(self, name))}"
                )
        if self.fixed is not None:
            self._set("fixed", _fixed(self.fixed))

    @property
    def steps(self) -> Preprocessing | None:
        """The preprocessing that is stated, by itself or as mean and std; None if nothing is."""
        if (self.preprocessing, self.mean, self.std) == (None, None, None):
            return None
        return joined(self.preprocessing, self.mean, self.std)

    def stated(self) -> tuple[str, ...]:
        """Names of what differs from not stated."""
        return tuple(
            field.name for field in fields(self) if _differs(getattr(self, field.name), field.default)
        )

    def refuse(self, what: str, allowed: Sequence[str]) -> None:
        """InvalidArgument if anything but `allowed` is stated: `what` needs no more than those."""
        extra = [f"{name}=" for name in self.stated() if name not in allowed]
        if extra:
            raise InvalidArgument(f"{what}; leave out {', '.join(extra)}")

    def vary(self, **changes: Any) -> LoadOptions:
        """The same with other values."""
        return replace(self, **changes)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _differs(value: Any, default: Any) -> bool:
    return value is not None if default is None else bool(value != default)


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    try:
        found = tuple(count(name, d) for d in shape)
    except TypeError:
        found = ()
    if not found or isinstance(shape, str):
        raise InvalidArgument(f"expected {name} such as (1, 28, 28), got {describe(name, shape)}")
    return found


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable()


def _names(names: Any, num_classes: int | None) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(map(_is_name, names)):
        raise InvalidArgument(
            f"expected class_names as a list of printable names, got {describe('class_names', names)}"
        )
    if names and num_classes is not None and len(names) != num_classes:
        raise InvalidArgument(f"expected {num_classes} class_names, one per class, got {len(names)}")
    return tuple(names)


def _fixed(values: Any) -> dict[str, np.ndarray]:
    if not isinstance(values, Mapping) or not all(map(_is_name, values)):
        raise InvalidArgument(
            f"expected fixed as a mapping of input names to values, got {describe('fixed', values)}"
        )
    found = {name: np.asarray(value) for name, value in values.items()}
    for name, array in found.items():
        if array.dtype.kind not in "fiub":
            raise InvalidArgument(f"expected numbers for the fixed input {name!r}, got dtype {array.dtype}")
    return found
