"""Recording a function of tensors: it runs once on examples, and the rows it applies become a program.

What a recording cannot see is refused where it shows: a number that decides the path (`if x.sum() > 0`), an
array worked out beside the tensor operations, an index that depends on values. The second run, on other
examples of the same shapes, finds what the first one alone cannot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from armour.errors import CaptureError
from armour.tensor.backend import asnumpy
from armour.tensor.core import Tensor
from armour.tensor.op import Op
from armour.tensor.program import Program, Step, Value, effect_row
from armour.tensor.tape import state


class Recorder:
    """One run of a function, with the rows it applied. `keep` holds every array alive, so that ids stay."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.steps: list[Step] = []
        self.tensors: dict[int, Value] = {}
        self.arrays: dict[int, Value] = {}
        self.captured: list[tuple[Value, Tensor]] = []
        self.keep: list[Any] = []
        self.streams: dict[int, tuple[np.random.Generator, Any]] = {}
        self.late: list[tuple[Value, Tensor]] = []
        self.inputs = [
            self._know(t, Value(t.shape, t.dtype, "input", source=i)) for i, t in enumerate(inputs)
        ]

    def run(self, function: Callable[..., Any], inputs: Sequence[Tensor]) -> Any:
        """Call it; gives its result. Random streams are put back to where they were."""
        state.guards.append(self._guard)
        state.observers.append(self._observe)
        state.readers.append(self._read)
        state.effects.append(self._effect)
        state.later.append(self._later)
        try:
            return function(*inputs)
        finally:
            state.guards.remove(self._guard)
            state.observers.remove(self._observe)
            state.readers.remove(self._read)
            state.effects.remove(self._effect)
            state.later.remove(self._later)
            for stream, before in self.streams.values():
                stream.bit_generator.state = before

    def program(self, outputs: Sequence[Tensor]) -> Program:
        """What was recorded, from the inputs to these outputs."""
        late = [value for value, _ in self.late]
        return Program([*self.inputs, *late], self.steps, [self._value(t) for t in outputs], late=late)

    # -- what happens while it runs ----------------

    def _guard(self, row: Op, arrays: Sequence[Any], attrs: dict[str, Any]) -> None:
        for value in attrs.values():
            if isinstance(value, np.random.Generator) and id(value) not in self.streams:
                self.streams[id(value)] = (value, value.bit_generator.state)

    def _observe(self, row: Op, inputs: Sequence[Tensor], attrs: dict[str, Any], out: Tensor) -> None:
        for name, value in attrs.items():
            self._refuse_values(row, name, value)
        sources = tuple(self._value(t) for t in inputs)
        made = Value(out.shape, out.dtype, "step", channels_last(out.data))
        # A dict among the attributes is a cache between gradients, not part of what is computed.
        plain = {key: value for key, value in attrs.items() if not isinstance(value, dict)}
        self.steps.append(Step(row, sources, plain, (self._know(out, made),)))
        moving = [v.dtype for v in sources if v.origin in ("input", "step")]
        asked = "float64" in str(attrs.get("dtype", ""))
        if out.dtype == np.float64 and moving and np.float64 not in moving and not asked:
            raise CaptureError(
                f"op {row.name} makes float64 of {[str(v.dtype) for v in sources]}; a captured plan keeps "
                "float32: cast the constant or array that is float64"
            )

    def _effect(self, function: Callable[..., None], tensors: Sequence[Tensor]) -> None:
        self.steps.append(Step(effect_row(function), tuple(self._value(t) for t in tensors), {}, ()))

    def _later(self, like: Tensor) -> Tensor:
        made = Tensor(_other_numbers(like.data))
        value = Value(made.shape, made.dtype, "input")
        self.late.append((self._know(made, value), made))
        return made

    def _read(self, tensor: Tensor) -> None:
        known = self.tensors.get(id(tensor)) or self.arrays.get(id(tensor.data))
        if known is not None and known.origin in ("input", "step"):
            raise CaptureError(
                f"the function reads the numbers of a tensor of shape {tensor.shape} while it is captured, "
                "so its path may depend on values; use where(), a mask or a comparison of tensors, or run "
                "it without compile"
            )

    # -- which value a tensor is ----------------

    def _know(self, tensor: Tensor, value: Value) -> Value:
        self.keep.append((tensor, tensor.data))
        self.tensors[id(tensor)] = value
        self.arrays.setdefault(id(tensor.data), value)
        return value

    def _value(self, tensor: Tensor) -> Value:
        known = self.tensors.get(id(tensor)) or self.arrays.get(id(tensor.data))
        if known is None:
            known = Value(tensor.shape, tensor.dtype, "weight", channels_last(tensor.data), tensor)
            self.captured.append((self._know(tensor, known), tensor))
        return known

    def _refuse_values(self, row: Op, name: str, value: Any) -> None:
        if isinstance(value, (tuple, list)):
            for part in value:
                self._refuse_values(row, name, part)
        known = self.arrays.get(id(value)) if hasattr(value, "dtype") else None
        if known is not None and known.origin in ("input", "step"):
            raise CaptureError(
                f"op {row.name} has an attribute {name} that was computed from values; a captured plan would "
                "keep the first one: use take_along_axis or gather, which take indices as an input"
            )


@dataclass(frozen=True, slots=True)
class Recording:
    """What recording a function gave: the program, the structure of its result, and a run to check with.

    example, expected: inputs and outputs of the second run. streams: random streams that it draws from.
    """

    program: Program
    result: Any
    example: list[Any]
    expected: list[Any]
    streams: list[np.random.Generator]


def later(like: Tensor) -> Tensor:
    """Inside a function that is captured: an input like this tensor, given between the plan's two stages.

    Whatever does not need it runs in the first stage (Plan.start), the rest in the second (Plan.finish).
    Raises CaptureError outside a capture.
    """
    if not state.later:
        raise CaptureError("later() stands for an input of a captured plan; call it inside compile only")
    made: Tensor = state.later[-1](like)
    return made


def record(function: Callable[..., Any], inputs: Sequence[Tensor]) -> Recording:
    """The program of `function` for inputs like these.

    Tensors made outside the function are weights, read anew at each run; those made inside are constants.
    Raises CaptureError if a second run, on other numbers, differs in anything but numbers.
    """
    others = [Tensor(_other_numbers(t.data)) for t in inputs]
    first, second = Recorder(inputs), Recorder(others)
    result = first.run(function, inputs)
    program = first.program(flat_outputs(result))
    outputs = flat_outputs(second.run(function, others))
    _same_path(first, second, program, second.program(outputs))
    return Recording(
        program,
        result,
        [t.data for t in (*others, *(t for _, t in second.late))],
        [t.data for t in outputs],
        [stream for stream, _ in first.streams.values()],
    )


def _other_numbers(array: Any) -> Any:
    """Numbers of the same kind: smaller ones in another order, whole ones by rows in another order.

    So labels stay labels, and a row of indices goes on fitting together.
    """
    if array.dtype.kind != "f":
        return array[::-1].copy() if array.ndim else array.copy()
    return array.reshape((-1,))[::-1].reshape(array.shape) * array.dtype.type(0.75)


def _same_path(first: Recorder, second: Recorder, program: Program, again: Program) -> None:
    def form(recorder: Recorder, found: Program) -> list[Any]:
        number = {id(v): i for i, v in enumerate(found.inputs)}
        lines: list[Any] = []
        for step in found.steps:
            for v in step.inputs:
                number.setdefault(id(v), len(number))
            shapes = [v.shape for v in step.outs]
            lines.append((step.row.name, [number[id(v)] for v in step.inputs], shapes, step.attrs))
            number.update((id(v), len(number) + i) for i, v in enumerate(step.outs))
        return [*lines, [number.get(id(v), -1) for v in found.outputs]]

    a, b = form(first, program), form(second, again)
    for one, other in zip(a, b, strict=False):
        if not _equal(one, other):
            what = f"op {one[0]}" if isinstance(one, tuple) else "what it returns"
            raise CaptureError(
                f"the function takes another path for other numbers (first difference at {what}); a captured "
                "plan needs one path: use where() or a mask, or run it without compile"
            )
    if len(a) != len(b):
        raise CaptureError("the function applies another number of operations for other numbers")
    for (value, tensor), (_, other) in zip(first.captured, second.captured, strict=True):
        if tensor is other or tensor.data is other.data:
            continue  # it lives outside the function: a weight
        if not _equal(tensor.data, other.data):
            raise CaptureError(
                f"the function makes an array of shape {tensor.shape} from its inputs without tensor "
                "operations; a captured plan would keep the first one: use the operations of armour.tensor"
            )
        value.origin, value.source = "constant", tensor.data


def _equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[k], b[k]) for k in a)
    if hasattr(a, "dtype") and hasattr(b, "dtype"):
        x, y = asnumpy(a), asnumpy(b)
        return x.dtype == y.dtype and np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return bool(type(a) is type(b) and a == b)


def flat_outputs(out: Any) -> list[Tensor]:
    """The tensors in a result: alone, or in tuples, lists and dicts; CaptureError for anything else."""
    if isinstance(out, Tensor):
        return [out]
    if isinstance(out, dict):
        return [t for v in out.values() for t in flat_outputs(v)]
    if isinstance(out, (tuple, list)):
        return [t for v in out for t in flat_outputs(v)]
    if out is None:
        return []
    raise CaptureError(
        f"a captured function returns tensors, or tuples, lists and dicts of them, got {type(out).__name__}"
    )


def channels_last(array: Any) -> bool:
    """True if an array (n, c, h, w) lies in memory as (n, h, w, c), and not also in its own order."""
    if array.ndim != 4 or array.flags.c_contiguous:
        return False
    return bool(array.transpose((0, 2, 3, 1)).flags.c_contiguous)
