"""Passes over a program: leave out, share, move to load time, fold batch norms, join neighbours into units.

Each pass takes a program and changes it in place; the numbers stay the same up to rounding. A value that is
an output is never joined away, so whoever asks for all activations pays for them and nobody else does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from armour.tensor.backend import asnumpy
from armour.tensor.op import OPS
from armour.tensor.passes_means import join_means
from armour.tensor.passes_norm import join_norms
from armour.tensor.program import Program, Step, Value, needed
from armour.tensor.units import (
    CONV,
    CONV_ATTRS,
    CONV_INPUT_GRAD,
    CROSS_ENTROPY_PAIR,
    FOLDED_BIAS,
    FOLDED_WEIGHT,
    LINEAR,
    MATMUL_MASKED,
    NORM_SCALE,
)


def optimise(program: Program) -> Program:
    """All passes, in the order in which they help each other."""
    leave_out(program)
    share(program)
    prepare(program)
    for rewrite in (
        join_means, _fold_norms, join_norms, _pool_before_relu, _join_conv, _join_linear, _mask_before_unpool,
        _join_gradients, _join_loss,
    ):  # fmt: skip
        rewrite(program)
        leave_out(program)
    return program


def leave_out(program: Program) -> None:
    """Steps that nothing needs."""
    program.steps = needed(program.steps, program.outputs)
    wanted = [v for step in program.steps for v in step.inputs]
    program.prepared = needed(program.prepared, [*wanted, *program.outputs])


def share(program: Program) -> None:
    """One step for each computation, however often it was written down."""
    known: dict[Any, Step] = {}
    kept = []
    for step in program.steps:
        key = _key(step)
        first = None if key is None else known.setdefault(key, step)
        if first is None or first is step:
            kept.append(step)
            continue
        for mine, theirs in zip(step.outs, first.outs, strict=True):
            program.replace(mine, theirs)
    program.steps = kept


def prepare(program: Program) -> None:
    """Steps of weights and constants alone go to load time."""
    fixed: set[int] = set()
    rest = []
    for step in program.steps:
        pure = step.outs and not any(isinstance(v, np.random.Generator) for v in step.attrs.values())
        if pure and all(v.origin in ("weight", "constant") or id(v) in fixed for v in step.inputs):
            program.prepared.append(step)
            fixed.update(id(v) for v in step.outs)
        else:
            rest.append(step)
    program.steps = rest


def _key(step: Step) -> Any:
    try:
        attrs = tuple(sorted((k, _hashable(v)) for k, v in step.attrs.items()))
        key = (step.row.name, tuple(id(v) for v in step.inputs), attrs)
        hash(key)
    except TypeError:
        return None
    return key if step.outs else None


def _hashable(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(_hashable(v) for v in value)
    if isinstance(value, slice):
        return ("slice", value.start, value.stop, value.step)
    if isinstance(value, (np.ndarray, np.random.Generator)):
        raise TypeError
    return (type(value).__name__, value)


# -- batch norms in evaluation mode ----------------


def _fold_norms(program: Program) -> None:
    made = {id(v) for s in program.prepared for v in s.outs}

    def fixed(value: Value) -> bool:
        return value.origin in ("weight", "constant") or id(value) in made

    def add(row: Any, inputs: tuple[Value, ...], like: Value, dtype: Any, **attrs: Any) -> Value:
        step = Step(row, inputs, attrs, (Value(like.shape, dtype, "step"),))
        for other in program.prepared:  # the gradient's weights are often the forward pass's own
            if other.row is row and other.inputs == inputs and other.attrs == attrs:
                return other.out
        program.prepared.append(step)
        made.add(id(step.out))
        return step.out

    uses, makers = program.uses(), program.makers()
    for step in list(program.steps):
        if step.row.name == "batch_norm_eval" and all(fixed(v) for v in step.inputs[1:]):
            conv = makers.get(id(step.inputs[0]))
            if conv is None or conv.row.name != "conv2d" or uses[id(conv.out)] != 1:
                continue
            if not all(fixed(v) for v in conv.inputs[1:]):
                continue
            x, w, *bias = conv.inputs
            weight, shift, mean, var = step.inputs[1:]
            scale = add(NORM_SCALE, (weight, var), weight, np.dtype("float64"), eps=step.attrs["eps"])
            folded = add(FOLDED_WEIGHT, (w, scale), w, w.dtype)
            level = add(FOLDED_BIAS, (scale, shift, mean, *bias), shift, shift.dtype)
            step.row, step.inputs, step.attrs = OPS["conv2d"], (x, folded, level), conv.attrs
            makers[id(step.out)] = step
        elif step.row.name == "conv2d_input_grad":
            scaled = makers.get(id(step.inputs[0]))
            w = step.inputs[1]
            if scaled is None or scaled.row.name != "scale_channels" or not fixed(w):
                continue
            if uses[id(scaled.out)] == 1 and fixed(scaled.inputs[1]):
                folded = add(FOLDED_WEIGHT, (w, scaled.inputs[1]), w, w.dtype)
                step.inputs = (scaled.inputs[0], folded)


# -- convolutions and linear layers with what follows them ----------------


def _pool_before_relu(program: Program) -> None:
    # The largest of relus is the relu of the largest, NaN and all; and there are fewer of those.
    uses, makers = program.uses(), program.makers()
    position = {id(s): i for i, s in enumerate(program.steps)}
    for i, step in enumerate(program.steps):
        if step.row.name != "max_pool2d":
            continue
        relu = makers.get(id(step.inputs[0]))
        if relu is None or relu.row.name != "relu" or id(relu) not in position or uses[id(relu.out)] != 1:
            continue
        pooled = Value(step.out.shape, step.out.dtype, "step", step.out.last)
        program.steps[position[id(relu)]] = Step(step.row, relu.inputs, step.attrs, (pooled,))
        program.steps[i] = Step(relu.row, (pooled,), relu.attrs, step.outs)


def _join_conv(program: Program) -> None:
    for step in program.steps:
        if step.row.name == "conv2d":
            attrs = {key: step.attrs[key] for key in CONV_ATTRS}
            step.row = CONV
            step.attrs = attrs | {"bias": len(step.inputs) == 3, "residual": False, "relu": False}
    _join(program, "add", _take_residual)
    _join(program, "relu", _take_relu)


def _take_residual(step: Step, maker: Step, other: tuple[Value, ...]) -> bool:
    if maker.row is not CONV or maker.attrs["residual"] or maker.attrs["relu"]:
        return False
    if len(other) != 1 or other[0].shape != maker.out.shape or other[0].dtype != maker.out.dtype:
        return False
    step.row, step.inputs = CONV, (*maker.inputs, other[0])
    step.attrs = maker.attrs | {"residual": True}
    return True


def _take_relu(step: Step, maker: Step, other: tuple[Value, ...]) -> bool:
    if maker.row is not CONV or maker.attrs["relu"]:
        return False
    step.row, step.inputs, step.attrs = CONV, maker.inputs, maker.attrs | {"relu": True}
    return True


def _join_linear(program: Program) -> None:
    def take(step: Step, maker: Step, other: tuple[Value, ...]) -> bool:
        if maker.row.name != "linear":
            return False
        step.row, step.inputs, step.attrs = LINEAR, maker.inputs, {"relu": True}
        return True

    _join(program, "relu", take)


def _join(program: Program, row: str, take: Callable[[Step, Step, tuple[Value, ...]], bool]) -> None:
    """For each step of `row`: the step that made one of its inputs, for it alone, may become part of it.

    The later of the two places in the program is kept: whatever else the joined step needs is there by then.
    """
    uses, makers = program.uses(), program.makers()
    position = {id(s): i for i, s in enumerate(program.steps)}
    for step in program.steps:
        if step.row.name != row:
            continue
        # Of two candidates the one made last: the other one is then the residual.
        order = sorted(
            range(len(step.inputs)), key=lambda i: -position.get(id(makers.get(id(step.inputs[i]))), -1)
        )
        for i in order:
            maker = makers.get(id(step.inputs[i]))
            if maker is None or id(maker) not in position or uses[id(step.inputs[i])] != 1:
                continue
            if take(step, maker, (*step.inputs[:i], *step.inputs[i + 1 :])):
                makers[id(step.out)] = step
                break


# -- gradients ----------------


def _mask_before_unpool(program: Program) -> None:
    # A pooled relu: the mask of the small array does for the large one, since a window whose maximum is not
    # above zero passes nothing.
    uses, makers = program.uses(), program.makers()
    for i, step in enumerate(program.steps):
        if step.row.name != "relu_grad":
            continue
        unpool = makers.get(id(step.inputs[0]))
        if unpool is None or unpool.row.name != "max_unpool2d" or uses[id(unpool.out)] != 1:
            continue
        g, x, y = unpool.inputs
        if x is not step.inputs[1]:
            continue
        masked = Value(g.shape, g.dtype, "step", g.last)
        at = next(j for j, s in enumerate(program.steps) if s is unpool)
        program.steps[at] = Step(OPS["relu_grad"], (g, y), {}, (masked,))
        program.steps[i] = Step(unpool.row, (masked, x, y), unpool.attrs, step.outs)
        makers[id(step.out)] = program.steps[i]


def _join_gradients(program: Program) -> None:
    for step in program.steps:
        if step.row.name == "conv2d_input_grad":
            step.row, step.attrs = CONV_INPUT_GRAD, step.attrs | {"add": False, "mask": False}
    _join(program, "add", _take_sum)
    _join(program, "relu_grad", _take_mask)


def _take_sum(step: Step, maker: Step, other: tuple[Value, ...]) -> bool:
    if maker.row is not CONV_INPUT_GRAD or maker.attrs["add"] or maker.attrs["mask"]:
        return False
    if len(other) != 1 or other[0].shape != maker.out.shape or other[0].dtype != maker.out.dtype:
        return False
    step.row, step.inputs, step.attrs = (
        CONV_INPUT_GRAD,
        (*maker.inputs, other[0]),
        maker.attrs | {"add": True},
    )
    return True


def _take_mask(step: Step, maker: Step, other: tuple[Value, ...]) -> bool:
    if step.inputs[0] is not maker.out:
        return False
    if maker.row is CONV_INPUT_GRAD and not maker.attrs["mask"]:
        step.row, step.inputs = CONV_INPUT_GRAD, (*maker.inputs, other[0])
        step.attrs = maker.attrs | {"mask": True}
        return True
    if maker.row.name == "matmul" and len(maker.out.shape) == 2:
        step.row, step.inputs, step.attrs = MATMUL_MASKED, (*maker.inputs, other[0]), {}
        return True
    return False


def _join_loss(program: Program) -> None:
    """Cross-entropy and its gradient share their exponentials."""
    losses = {tuple(id(v) for v in s.inputs): s for s in program.steps if s.row.name == "cross_entropy"}
    for i, step in enumerate(program.steps):
        if step.row.name != "cross_entropy_grad":
            continue
        g, logits, labels = step.inputs
        loss = losses.pop((id(logits), id(labels)), None)
        if loss is None:
            continue
        slope = Value(step.out.shape, step.out.dtype, "step")
        pair = Step(CROSS_ENTROPY_PAIR, (logits, labels), {}, (loss.out, slope))
        program.steps[next(j for j, s in enumerate(program.steps) if s is loss)] = pair
        if g.origin == "constant" and bool((asnumpy(g.source) == 1).all()):
            program.steps[i] = Step(OPS["alias"], (slope,), {}, step.outs)
            continue
        column = Value((*g.shape, 1), g.dtype, "step")
        program.steps[i] = Step(OPS["multiply"], (slope, column), {}, step.outs)
        program.steps.insert(i, Step(OPS["reshape"], (g,), {"shape": column.shape}, (column,)))
        return _join_loss(program)
