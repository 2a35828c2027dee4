"""Plan kernels for what is not particular: views, elementwise rows, matrix products, and everything else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from armour.tensor.backend import Array
from armour.tensor.layout import Layout, kernel
from armour.tensor.linalg import FEW_ROWS, LARGE
from armour.tensor.program import Step, Value
from armour.tensor.recording import channels_last
from armour.tensor.stages import needs_host

RUN = 1 << 13  # elements of a run that a bias or zeros are repeated to
BLOCK = 1 << 15  # elements of a block that stays in the cache between two passes over it

VIEWS = ("alias", "broadcast_to", "getitem", "reshape", "transpose")
# Rows that are one function of the array namespace, of arrays of one dtype.
UFUNCS = {
    **{name: name for name in ("add", "subtract", "multiply", "divide", "negative", "abs", "exp", "log")},
    **{name: name for name in ("log1p", "expm1", "sqrt", "sin", "cos", "tanh", "maximum", "minimum", "sign")},
    **{name: name for name in ("floor", "less", "less_equal", "greater", "greater_equal", "equal")},
    **{name: name for name in ("not_equal", "reciprocal", "square")},
}


@kernel(*VIEWS)
def view(layout: Layout, step: Step) -> bool:
    """A view of the source's memory, worked out once; nothing to do at a run."""
    if len(step.inputs) != 1:
        return False
    (source,) = step.inputs
    array = layout.array(source)
    result = step.row.forward(layout.xp, array, **step.attrs)
    if step.row.name == "broadcast_to" and result.size == array.size:
        result = array.reshape(result.shape)  # NumPy's own is read-only, and this memory may be written over
    if not layout.xp.may_share_memory(result, array):
        return False
    layout.alias(step.out, source, result)
    return True


@kernel(*UFUNCS)
def ufunc(layout: Layout, step: Step) -> bool:
    """One call into memory made before, or over an input that nobody reads any more."""
    inputs, out = step.inputs, step.out
    if any(v.dtype != inputs[0].dtype for v in inputs) or inputs[0].dtype.kind != "f":
        return False
    function = getattr(layout.xp, UFUNCS[step.row.name])
    target = over(layout, step)
    if target is None:
        same = [layout.array(v) for v in inputs if v.shape == out.shape]
        last = any(channels_last(a) for a in same)
        target = layout.make(out, last=last) if out.dtype == inputs[0].dtype else layout.make(out)
    flat = layout.flat([*inputs, out])
    *arrays, result = flat or [*(layout.array(v) for v in inputs), target]
    layout.emit(partial(function, *arrays, out=result))
    return True


def over(layout: Layout, step: Step) -> Array | None:
    """The output in the memory of an input of its shape that dies here; None if there is none."""
    out = step.out
    for value in step.inputs:
        if value.shape == out.shape and value.dtype == out.dtype and layout.dying(value):
            return layout.take_over(out, value)
    return None


@kernel("relu")
def relu(layout: Layout, step: Step) -> bool:
    """The larger of x and zeros: NumPy is faster with an array of them than with the number."""
    (x,) = step.inputs
    if x.dtype.kind != "f" or not x.shape or layout.flat([x]) is None:
        return False
    if over(layout, step) is None:
        layout.make(step.out, last=channels_last(layout.array(x)))
    flat = layout.flat([x, step.out])
    if flat is None:
        return False
    if flat[0] is flat[1] or layout.array(x) is layout.array(step.out):
        apply_relu(layout, flat[1])
    elif "numba" in layout.families and x.dtype == step.out.dtype == "float32":
        from armour.tensor.kernels import numba_kernels

        layout.emit(numba_kernels.relu_of.bind(*flat))
    else:
        against_run(layout, "maximum", flat[0], zeros(layout, flat[0].size, x.dtype), flat[1])
    return True


def zeros(layout: Layout, size: int, dtype: Any) -> Array:
    """A run of zeros, no longer than `size`."""
    return layout.kept("zeros", (min(RUN, size),), dtype, lambda a: a.fill(0))


def against_run(layout: Layout, name: str, x: Array, run: Array, out: Array) -> None:
    """Emit out = name(x, run repeated), for flat x and out."""
    function, n = getattr(layout.xp, name), len(run)
    whole = x.size // n * n if n else 0
    if whole:
        shape = (whole // n, n)
        layout.emit(partial(function, x[:whole].reshape(shape), run, out=out[:whole].reshape(shape)))
    if whole < x.size:
        layout.emit(partial(function, x[whole:], run[: x.size - whole], out=out[whole:]))


@kernel("relu_grad")
def relu_grad(layout: Layout, step: Step) -> bool:
    """g where y is not 0: the mask of a block is used while it is in the cache."""
    g, y = step.inputs
    if g.dtype != y.dtype or g.shape != y.shape:
        return False
    if not layout.dying(g) or layout.flat([g, y]) is None:
        layout.make(step.out, last=channels_last(layout.array(y)))
    else:
        layout.take_over(step.out, g)
    flat = layout.flat([g, y, step.out])
    if flat is None:
        out = layout.array(step.out)
        layout.copy(out, layout.array(g))  # to the order of y, if that is one of the usual two
        flat = layout.flat([step.out, y])
        if flat is None:
            seen = layout.scratch(y.shape, y.dtype)
            layout.copy(seen, layout.array(y))
            flat = [out.reshape((-1,)), seen.reshape((-1,))]
        apply_mask(layout, *flat)
        return True
    if layout.array(g) is layout.array(step.out):
        apply_mask(layout, flat[0], flat[1])
    else:
        mask_blocks(layout, *flat)
    return True


def apply_relu(layout: Layout, flat: Array) -> None:
    """Emit flat = relu(flat), by the best kernel there is."""
    if "numba" in layout.families and flat.dtype == "float32":
        from armour.tensor.kernels import numba_kernels

        layout.emit(numba_kernels.relu.bind(flat))
    else:
        against_run(layout, "maximum", flat, zeros(layout, flat.size, flat.dtype), flat)


def apply_mask(layout: Layout, g: Array, y: Array) -> None:
    """Emit g *= y != 0 for flat arrays, by the best kernel there is."""
    if "numba" in layout.families and g.dtype == y.dtype == "float32":
        from armour.tensor.kernels import numba_kernels

        layout.emit(numba_kernels.relu_mask.bind(g, y))
    else:
        mask_blocks(layout, g, y, g)


def mask_blocks(layout: Layout, g: Array, y: Array, out: Array) -> None:
    """Emit out = g * (y != 0) for flat arrays."""
    xp = layout.xp
    block = BLOCK if xp is np else max(1, y.size)
    mask = layout.scratch((min(block, max(1, y.size)),), "bool")
    zero = layout.kept("zeros", (1,), y.dtype, lambda a: a.fill(0))
    for start in range(0, y.size, block):
        part = slice(start, min(start + block, y.size))
        held = mask[: part.stop - start]
        layout.emit(partial(xp.not_equal, y[part], zero, held))
        layout.emit(partial(xp.multiply, g[part], held, out[part]))


# -- matrix products ----------------


@kernel("matmul", "matmul_masked")
def matmul(layout: Layout, step: Step) -> bool:
    """The product into memory made before; masked by a relu's output if the unit says so."""
    a, b, *mask = step.inputs
    if a.dtype != b.dtype or a.dtype.kind != "f" or len(a.shape) < 2 or len(b.shape) < 2:
        return False
    if len(a.shape) > 2 or len(b.shape) > 2:
        if mask:
            return False
        out = layout.make(step.out, last=False)
        layout.emit(partial(layout.xp.matmul, layout.array(a), layout.array(b), out=out))
        return True
    known = layout.flat(mask) if mask else None
    if mask and known is None:
        return False
    out = layout.make(step.out, last=False)
    product(layout, layout.array(a), layout.array(b), out)
    if known is not None:
        apply_mask(layout, out.reshape((-1,)), known[0])
    return True


def product(layout: Layout, a: Array, b: Array, out: Array) -> None:
    """Emit out = a @ b for matrices."""
    xp = layout.xp
    few = 8 <= a.shape[0] <= FEW_ROWS and b.size >= LARGE and b.flags.f_contiguous and xp is np
    if not few:
        layout.emit(partial(xp.matmul, a, b, out=out))
        return
    # A few samples times a transposed weight: OpenBLAS is up to twice as fast with the roles exchanged.
    turned = layout.scratch(out.shape[::-1], out.dtype)
    layout.emit(partial(xp.matmul, b.T, a.T, out=turned))
    layout.copy(out, turned.T)


@kernel("linear", "linear_relu")
def linear(layout: Layout, step: Step) -> bool:
    """x @ w.T + b, and the larger of that and 0."""
    x, w, *bias = step.inputs
    if any(v.dtype != w.dtype for v in step.inputs) or w.dtype.kind != "f" or not all(step.out.shape):
        return False
    if not all(x.shape):
        return False
    out = layout.make(step.out, last=False).reshape((-1, w.shape[0]))
    product(layout, matrix(layout, x), layout.array(w).T, out)
    flat = out.reshape((-1,))
    if bias:
        add_bias(layout, layout.weight(bias[0]) if layout.fixed(bias[0]) else None, bias[0], flat)
    if step.attrs.get("relu"):
        apply_relu(layout, flat)
    return True


def matrix(layout: Layout, x: Value) -> Array:
    """A value (..., k) as a contiguous (m, k)."""
    array = layout.array(x)
    if len(x.shape) != 2 and not array.flags.c_contiguous:
        array = layout.scratch(x.shape, x.dtype)
        layout.copy(array, layout.array(x))
    return array.reshape((-1, x.shape[-1]))


def add_bias(layout: Layout, get: Any, bias: Value, flat: Array) -> None:
    """Emit flat += bias repeated; in runs of several rows, since every run costs a call."""
    width = bias.shape[0]
    if get is None:
        layout.emit(
            partial(layout.xp.add, flat.reshape((-1, width)), layout.array(bias), flat.reshape((-1, width)))
        )
        return
    run = bias_run(layout, bias, max(1, min(RUN // max(1, width), flat.size // max(1, width))))
    against_run(layout, "add", flat, run, flat)


def bias_run(layout: Layout, bias: Value, repeats: int) -> Array:
    """(repeats * c,): a bias (c,) written several times, kept up to date with the weight."""
    get, width = layout.weight(bias), bias.shape[0]
    run = layout.own((repeats, width), bias.dtype)

    def load() -> None:
        run[...] = get()

    layout.on_load(load)
    return run.reshape((repeats * width,))


# -- everything else ----------------


@kernel("*")
def fallback(layout: Layout, step: Step) -> bool:
    """The row's own rule, its result copied to where the others expect it."""
    if layout.xp is not np and needs_host(step):
        layout.host.append(f"op {step.row.name}")
    arrays = [layout.array(v) for v in step.inputs]
    call = partial(step.row.forward, layout.xp, *arrays, **step.attrs)
    targets = [layout.make(v) for v in step.outs]
    layout.emit(_stored(call, targets, layout))
    return True


def _stored(call: Any, targets: Sequence[Array], layout: Layout) -> Any:
    copyto = layout.xp.copyto
    if not targets:
        return lambda: None if layout.muted else call()
    if len(targets) == 1:
        (target,) = targets
        return lambda: copyto(target, call())

    def several() -> None:
        for target, result in zip(targets, call(), strict=True):
            copyto(target, result)

    return several
