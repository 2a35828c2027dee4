"""Plan kernels for activations and their gradients: one pass, over memory that nobody reads any more.

Numba makes the whole of one in a single pass. NumPy applies the row's own rule to a block at a time, so that
what lies between its steps stays in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from armour.tensor.backend import Array
from armour.tensor.layout import Layout, kernel
from armour.tensor.lower_basic import BLOCK
from armour.tensor.program import Step, Value
from armour.tensor.recording import channels_last

ACTIVATIONS = (
    *("clip", "elu", "gelu", "gelu_tanh", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu"),
    *("mish", "sigmoid", "silu", "softplus"),
)


@kernel(*ACTIVATIONS, family="numba")
def activation(layout: Layout, step: Step) -> bool:
    """In place, after a copy if the input is needed again."""
    from armour.tensor.kernels import numba_activations

    found = getattr(numba_activations, step.row.name, None)
    if found is None or not _fits(step, np.dtype("float32")):
        return False
    layout.emit(found.bind(_started(layout, step), *_numbers(step.attrs)))
    return True


@kernel("activation_grad", family="numba")
def activation_grad(layout: Layout, step: Step) -> bool:
    """g times the derivative, in the memory of g if it can be."""
    from armour.tensor.kernels import numba_activations

    kind, (g, x) = step.attrs["kind"], step.inputs
    found = getattr(numba_activations, f"{kind}_slope", None)
    if found is None or g.shape != x.shape or not _fits(step, np.dtype("float32")):
        return False
    at = _flat(layout, x)
    layout.emit(found.bind(_started(layout, step), at, *_numbers(step.attrs)))
    return True


@kernel(*ACTIVATIONS, "activation_grad")
def blocks(layout: Layout, step: Step) -> bool:
    """The row's own rule, block by block."""
    if layout.xp is not np or any(v.shape != step.out.shape for v in step.inputs):
        return False
    if not _fits(step, step.out.dtype):
        return False
    others = [_flat(layout, v) for v in step.inputs[1:]]
    out = _started(layout, step)
    for start in range(0, out.size, BLOCK):
        part = slice(start, start + BLOCK)
        rule = partial(step.row.forward, np, out[part], *(a[part] for a in others), **step.attrs)
        layout.emit(_written(rule, out[part]))
    return True


def _written(rule: Callable[[], Array], out: Array) -> Callable[[], Any]:
    return lambda: np.copyto(out, rule())


def _fits(step: Step, dtype: Any) -> bool:
    values = (*step.inputs, step.out)
    limited = step.attrs.get("low") is not None or step.attrs.get("high") is not None
    if "clip" in (step.row.name, step.attrs.get("kind")) and not limited:
        return False
    return np.dtype(dtype).kind == "f" and all(v.dtype == dtype and all(v.shape) for v in values)


def _numbers(attrs: dict[str, Any]) -> list[np.float32]:
    """The attributes that are numbers, as kernels take them; no limit is an infinite one."""
    without = {"low": -math.inf, "high": math.inf}
    names = [name for name in ("low", "high", "slope", "alpha") if name in attrs]
    return [np.float32(without[n] if attrs[n] is None else attrs[n]) for n in names]


def _last(layout: Layout, step: Step) -> bool:
    # A gradient lies like the value it is multiplied by, which is what the steps before and after it like.
    return channels_last(layout.array(step.inputs[-1]))


def _started(layout: Layout, step: Step) -> Array:
    """The memory of the output, flat, with the first input in it, in the order of the last one's."""
    first, last = step.inputs[0], _last(layout, step)
    found = layout.array(first)
    alike = channels_last(found) == last
    if alike and layout.dying(first):
        layout.take_over(step.out, first)
    else:
        layout.copy(layout.make(step.out, last=last), found)
    flat = layout.flat([step.out])
    assert flat is not None
    return flat[0]


def _flat(layout: Layout, value: Value) -> Array:
    """A value that is only read, flat in the order of its memory; copied if it lies apart."""
    found = layout.flat([value])
    if found is not None:
        return found[0]
    copied = layout.scratch(value.shape, value.dtype)
    layout.copy(copied, layout.array(value))
    return copied.reshape((-1,))
