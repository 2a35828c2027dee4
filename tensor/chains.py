"""Runs of elementwise steps joined to one, for kernels that make a whole run in a single pass over memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from armour.tensor.backend import Array, Namespace
from armour.tensor.kernels.cupy_source import EXPRESSIONS, Ops
from armour.tensor.op import OPS, Op
from armour.tensor.program import Program, Step, Value

MOST_INPUTS, MOST_OPS = 8, 24


def _forward(xp: Namespace, *arrays: Array, ops: Ops) -> Array:
    values: list[Any] = list(arrays)
    for row, operands in ops:
        values.append(OPS[row].forward(xp, *(values[j] for j in operands)))
    return values[-1]


CHAIN = Op("chain", _forward)
"""ops: (row, operands), where an operand is the number of an input, or after those of an earlier row."""


def join_chains(program: Program) -> Program:
    """Put each elementwise step into the one that alone reads it. Changes the program in place."""
    uses, makers = program.uses(), program.makers()
    gone: set[int] = set()
    for step in program.steps:
        if not chainable(step):
            continue
        inputs: list[Value] = list(dict.fromkeys(step.inputs))
        ops: list[tuple[str, tuple[Value | int, ...]]] = []
        numbers: dict[int, int] = {}

        def take(one: Step, ops: Any = ops, numbers: Any = numbers) -> None:
            parts = one.attrs["ops"] if one.row is CHAIN else ((one.row.name, tuple(range(len(one.inputs)))),)
            start = len(ops)
            for row, operands in parts:
                known = len(one.inputs)
                ops.append((row, tuple(one.inputs[j] if j < known else start + j - known for j in operands)))
            numbers[id(one.out)] = len(ops) - 1

        for value in tuple(inputs):
            maker = makers.get(id(value))
            if maker is None or id(maker) in gone or maker not in program.steps or not chainable(maker):
                continue
            size = len(ops) + len(maker.attrs.get("ops", (0,))) + 1
            wider = list(dict.fromkeys([*(v for v in inputs if v is not value), *maker.inputs]))
            own = step.inputs.count(value)
            if uses[id(value)] != own or value.shape != step.out.shape:
                continue
            if len(wider) > MOST_INPUTS or size > MOST_OPS:
                continue
            take(maker)
            gone.add(id(maker))
            inputs = wider
        if not ops:
            continue
        take(step)
        place = {id(v): i for i, v in enumerate(inputs)}

        def number(operand: Value | int, place: Any = place, numbers: Any = numbers) -> int:
            if isinstance(operand, int):
                return len(place) + operand
            known = place.get(id(operand))
            return len(place) + numbers[id(operand)] if known is None else int(known)

        step.attrs = {"ops": tuple((row, tuple(number(o) for o in operands)) for row, operands in ops)}
        step.row, step.inputs = CHAIN, tuple(inputs)
    program.steps = [step for step in program.steps if id(step) not in gone]
    return program


def chainable(step: Step) -> bool:
    """True for an elementwise step of one floating dtype whose inputs have its shape or a single element."""
    if step.row is CHAIN:
        return True
    if step.row.name not in EXPRESSIONS or len(step.outs) != 1 or step.attrs or not step.inputs:
        return False
    out = step.out
    dtype = np.dtype(out.dtype)
    if dtype.name not in ("float32", "float64") or any(v.dtype != dtype for v in step.inputs):
        return False
    alone = [v.shape == () or (v.shape != out.shape and all(d == 1 for d in v.shape)) for v in step.inputs]
    fit = all(v.shape == out.shape or one for v, one in zip(step.inputs, alone, strict=True))
    return fit and all(out.shape) and any(v.shape == out.shape for v in step.inputs)
