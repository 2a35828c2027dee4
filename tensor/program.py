"""A recorded computation as data: values, and the rows of the op table that make them, in order.

Shapes are those of one run. A program says what is computed and nothing about where: passes rewrite it
(armour/tensor/passes.py), and a plan gives its values memory (armour/tensor/plan.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from armour.tensor.op import Op

Origin = Literal["input", "weight", "constant", "step"]


@dataclass(eq=False, slots=True)
class Value:
    """An array of the computation, without its numbers.

    last: True if its memory is (n, h, w, c) although its shape is (n, c, h, w). source: the number of the
    input, the live Tensor of a weight, or the array of a constant.
    """

    shape: tuple[int, ...]
    dtype: Any
    origin: Origin
    last: bool = False
    source: Any = None

    def __repr__(self) -> str:
        return f"<{self.origin} {self.shape} {self.dtype}{' nhwc' if self.last else ''}>"


@dataclass(eq=False, slots=True)
class Step:
    """One application of a row, or of a unit that does the work of several; an effect makes no value."""

    row: Op
    inputs: tuple[Value, ...]
    attrs: dict[str, Any]
    outs: tuple[Value, ...]

    @property
    def out(self) -> Value:
        """The first value that it makes."""
        return self.outs[0]

    def __repr__(self) -> str:
        return f"{', '.join(map(repr, self.outs))} = {self.row.name}({', '.join(map(repr, self.inputs))})"


@dataclass(eq=False, slots=True)
class Program:
    """Steps in the order they run, and what goes in and comes out.

    prepared: steps that need weights and constants alone; they run when weights change and not at each call.
    late: inputs that are known only when the steps that do without them have run.
    """

    inputs: list[Value]
    steps: list[Step]
    outputs: list[Value]
    prepared: list[Step] = field(default_factory=list)
    late: list[Value] = field(default_factory=list)

    def stages(self) -> tuple[list[Step], list[Step]]:
        """The steps that do without the late inputs, and the rest; effects come in the second."""
        waiting = {id(v) for v in self.late}
        first, second = [], []
        for step in self.steps:
            if not step.outs or any(id(v) in waiting for v in step.inputs):
                waiting.update(id(v) for v in step.outs)
                second.append(step)
            else:
                first.append(step)
        return first, second

    def uses(self) -> Counter[int]:
        """id of a value -> how many inputs of steps and outputs refer to it."""
        found = Counter(id(v) for step in (*self.prepared, *self.steps) for v in step.inputs)
        found.update(id(v) for v in self.outputs)
        return found

    def makers(self) -> dict[int, Step]:
        """id of a value -> the step that makes it."""
        return {id(v): s for s in (*self.prepared, *self.steps) for v in s.outs}

    def weights(self) -> Iterator[Value]:
        """Every weight that some step or output refers to, once."""
        seen: set[int] = set()
        for value in (*(v for s in (*self.prepared, *self.steps) for v in s.inputs), *self.outputs):
            if value.origin == "weight" and id(value) not in seen:
                seen.add(id(value))
                yield value

    def replace(self, old: Value, new: Value) -> None:
        """Let everything that refers to `old` refer to `new`."""
        for step in (*self.prepared, *self.steps):
            if old in step.inputs:
                step.inputs = tuple(new if v is old else v for v in step.inputs)
        self.outputs[:] = [new if v is old else v for v in self.outputs]


def needed(steps: Iterable[Step], outputs: Iterable[Value]) -> list[Step]:
    """The steps that effects and outputs depend on, in their order."""
    wanted = {id(v) for v in outputs}
    kept: list[Step] = []
    for step in reversed(list(steps)):
        if not step.outs or any(id(v) in wanted for v in step.outs):
            kept.append(step)
            wanted.update(id(v) for v in step.inputs)
    return kept[::-1]


def effect_row(function: Callable[..., None]) -> Op:
    """The row of an effect: `function` called with the arrays of its inputs at each run."""
    return Op(
        f"effect {getattr(function, '__qualname__', 'function')}", lambda xp, *a, **k: function(*a, **k)
    )
