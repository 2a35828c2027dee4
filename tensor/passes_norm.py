"""Passes over batch normalisation in training: with the relu after it, and its gradient in one unit."""

from __future__ import annotations

from armour.tensor.program import Program, Step
from armour.tensor.units import NORM_GRAD, NORM_TRAIN


def join_norms(program: Program) -> None:
    """batch_norm_train with the relu that follows, and its sums and input gradient with the mask before."""
    uses, makers = program.uses(), program.makers()
    for step in program.steps:
        if step.row.name == "batch_norm_train" and len(step.inputs) == 4:
            step.row, step.attrs = NORM_TRAIN, {"eps": step.attrs["eps"], "relu": False}
    for step in program.steps:
        if step.row.name == "relu":
            norm = makers.get(id(step.inputs[0]))
            if norm is not None and norm.row is NORM_TRAIN and uses[id(norm.out)] == 1:
                step.row, step.inputs, step.attrs = NORM_TRAIN, norm.inputs, norm.attrs | {"relu": True}
    _join_gradients(program)


def _join_gradients(program: Program) -> None:
    sums = {tuple(map(id, s.inputs)): s for s in program.steps if s.row.name == "batch_norm_sums"}
    for i, step in enumerate(program.steps):
        if step.row.name != "batch_norm_input_grad":
            continue
        g, x, weight, statistics, _ = step.inputs
        first = sums.get((id(g), id(x), id(statistics)))
        if first is None:
            continue
        outs = (step.out, first.out)
        joined = Step(NORM_GRAD, (g, x, weight, statistics), {"eps": step.attrs["eps"], "mask": False}, outs)
        # Where the sums were: weights' gradients are made of them before the input gradient is asked for.
        program.steps[next(j for j, s in enumerate(program.steps) if s is first)] = joined
        program.steps[i] = Step(step.row, step.inputs, step.attrs, ())  # taken out below
    program.steps = [s for s in program.steps if s.outs or s.row.name != "batch_norm_input_grad"]
    uses, makers = program.uses(), program.makers()
    for step in program.steps:
        if step.row is NORM_GRAD and uses[id(step.inputs[0])] == 1:
            mask = makers.get(id(step.inputs[0]))
            if mask is not None and mask.row.name == "relu_grad":
                step.inputs = (mask.inputs[0], *step.inputs[1:], mask.inputs[1])
                step.attrs = step.attrs | {"mask": True}
