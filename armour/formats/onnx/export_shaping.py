"""Rows that move elements: reshape, transpose, join, pad, repeat, triangles, windows."""

from __future__ import annotations

import numpy as np

from armour.errors import UnsupportedError
from armour.formats.onnx.export_elementwise import working
from armour.formats.onnx.export_rules import layer, row
from armour.formats.onnx.export_values import Size, Step, size_of
from armour.formats.onnx.export_writer import END, Writer

ONE = Size(0, 1)


@row("reshape")
def _reshape(w: Writer, step: Step) -> str:
    """Reshape, or what says more where only axes of length 1 come or go, or all but the first are merged."""
    x, before, after = step.x.name, step.x.sizes, step.out.sizes
    for wide, narrow, act in ((before, after, w.squeeze), (after, before, w.unsqueeze)):
        gone = _ones(wide, narrow)
        if gone:
            return act(x, gone)
    if len(after) == 2 and len(before) > 2 and before[0] == after[0]:
        return w.add("Flatten", [x], axis=1)
    return w.reshape(x, after, before)


def _ones(wide: tuple[Size, ...], narrow: tuple[Size, ...]) -> list[int]:
    """Axes of length 1 of `wide` that `narrow` is without, if that is all between them."""
    gone: list[int] = []
    place = 0
    for i, size in enumerate(wide):
        if place < len(narrow) and narrow[place] == size:
            place += 1
        elif size == ONE:
            gone.append(i)
        else:
            return []
    return gone if place == len(narrow) else []


@layer("Flatten")
def _flatten(w: Writer, step: Step) -> str:
    if step.layer.start_axis == 1 and step.x.ndim > 1:
        return w.add("Flatten", [step.x.name], axis=1)
    return w.reshape(step.x.name, step.out.sizes, step.x.sizes)


@row("transpose")
def _transpose(w: Writer, step: Step) -> str:
    return w.add("Transpose", [step.x.name], perm=[int(a) % step.x.ndim for a in step.attrs["axes"]])


@row("broadcast_to")
def _broadcast_to(w: Writer, step: Step) -> str:
    return w.add("Expand", [step.x.name, w.lengths(expanded(step.x.sizes, step.out.sizes))])


def expanded(sizes: tuple[Size, ...], target: tuple[Size, ...]) -> list[Size]:
    """What Expand is told to bring `sizes` to `target`: 1 where a length that depends on the batch stays."""
    before = (*(ONE,) * (len(target) - len(sizes)), *sizes)
    return [ONE if a == b and b.per else b for a, b in zip(before, target, strict=True)]


@row("flip")
def _flip(w: Writer, step: Step) -> str:
    axis = step.attrs["axis"]
    axes = [int(a) % step.x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))]
    # Not where nothing is: some read a slice backwards of no elements as one element.
    turned = [a for a in axes if step.x.sizes[a].fixed != 0]
    return w.slice(step.x.name, dict.fromkeys(turned, (-1, -END, -1)))


@row("concat")
def _concat(w: Writer, step: Step) -> str:
    axis = int(step.attrs.get("axis", 0)) % step.out.ndim
    return w.add("Concat", [w.as_(v, step.out.dtype) for v in step.inputs], axis=axis)


@row("stack")
def _stack(w: Writer, step: Step) -> str:
    axis = int(step.attrs.get("axis", 0)) % step.out.ndim
    parts = [w.unsqueeze(w.as_(v, step.out.dtype), [axis]) for v in step.inputs]
    return w.add("Concat", parts, axis=axis)


@row("pad")
def _pad(w: Writer, step: Step) -> str:
    value, widths = step.attrs.get("value", 0.0), step.attrs["widths"]
    return w.pad(step.x.name, widths, w.scalar(value, step.x.dtype) if value else "")


@layer("ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d")
def _pad2d(w: Writer, step: Step) -> str:
    modes = {"ZeroPad2d": "constant", "ReflectionPad2d": "reflect", "ReplicationPad2d": "edge"}
    return w.pad(step.x.name, step.layer.widths(), mode=modes[step.node.type])


@layer("Identity")
def _identity(w: Writer, step: Step) -> str:
    return w.add("Identity", [step.x.name])


@layer("Dropout")
def _dropout(w: Writer, step: Step) -> str:
    return w.add("Dropout", [step.x.name, w.scalar(step.layer.p, "float32")])


@layer("Add")
def _add(w: Writer, step: Step) -> str:
    names = [w.as_(v, step.out.dtype) for v in step.inputs]
    return names[0] if len(names) == 1 else w.add("Add" if len(names) == 2 else "Sum", names)


# -- repeating ----------------


@row("tile")
def _tile(w: Writer, step: Step) -> str:
    reps = tuple(step.attrs["reps"])
    ndim = max(len(reps), step.x.ndim)
    x = w.unsqueeze(step.x.name, range(ndim - step.x.ndim))
    return w.add("Tile", [x, w.lengths([size_of(n) for n in (1,) * (ndim - len(reps)) + reps])])


@row("repeat")
def _repeat(w: Writer, step: Step) -> str:
    axis = int(step.attrs["axis"]) % step.x.ndim
    times = [int(step.attrs["repeats"]) if i == axis + 1 else 1 for i in range(step.x.ndim + 1)]
    wide = w.add("Tile", [w.unsqueeze(step.x.name, [axis + 1]), w.ints(times)])
    return w.reshape(wide, step.out.sizes)


@row("roll")
def _roll(w: Writer, step: Step) -> str:
    shift, axis = step.attrs["shift"], step.attrs["axis"]
    shifts = shift if isinstance(shift, tuple) else (shift,)
    axes = axis if isinstance(axis, tuple) else (axis,)
    x = step.x.name
    for places, a in zip(shifts * (len(axes) if len(shifts) == 1 else 1), axes, strict=False):
        a = int(a) % step.x.ndim
        length = step.x.sizes[a].fixed
        if length is None:
            raise UnsupportedError("roll along the batch")
        places = int(places) % length if length else 0
        if places:
            parts = [w.slice(x, {a: (length - places, END, 1)}), w.slice(x, {a: (0, length - places, 1)})]
            x = w.add("Concat", parts, axis=a)
    return x


@row("full_like")
def _full_like(w: Writer, step: Step) -> str:
    value = w.scalar(step.attrs["value"], step.out.dtype)
    return w.add("Expand", [value, w.add("Shape", [step.x.name])])


@row("one_hot")
def _one_hot(w: Writer, step: Step) -> str:
    labels = w.add("Reshape", [w.as_(step.x, "int64"), w.ints([-1, 1])])
    hit = w.add("Equal", [labels, w.const(np.arange(int(step.attrs["classes"])))])
    return w.cast(hit, np.dtype(bool), step.out.dtype)


# -- matrices ----------------


@row("tril", "triu")
def _tril(w: Writer, step: Step) -> str:
    dtype = np.dtype("int64") if step.x.dtype.kind in "iub" else step.x.dtype
    k = w.scalar(int(step.attrs.get("k", 0)), "int64")
    found = w.add("Trilu", [w.as_(step.x, dtype), k], upper=int(step.node.type == "triu"))
    return w.cast(found, dtype, step.out.dtype)


@row("diag_embed")
def _diag_embed(w: Writer, step: Step) -> str:
    offset, size = int(step.attrs["offset"]), step.out.sizes[-1].fixed
    if size is None:
        raise UnsupportedError("diag_embed of a vector along the batch")
    dtype = working(step.x.dtype)
    widths = [*((0, 0),) * (step.x.ndim - 1), (max(0, -offset), max(0, offset)), (0, 0)]
    rows = w.pad(w.unsqueeze(w.as_(step.x, dtype), [step.x.ndim]), widths)
    place = w.const(np.eye(size, k=offset, dtype=bool))
    return w.cast(w.add("Where", [place, rows, w.scalar(0, dtype)]), dtype, step.out.dtype)


# -- windows ----------------


@row("sliding_windows")
def _sliding_windows(w: Writer, step: Step) -> str:
    axis, size, stride, dilation = (int(step.attrs[k]) for k in ("axis", "size", "stride", "dilation"))
    axis %= step.x.ndim
    count = step.out.sizes[axis].fixed
    if count is None:
        raise UnsupportedError("windows along the batch")
    places = np.arange(count)[:, None] * stride + np.arange(size) * dilation
    return w.add("Gather", [step.x.name, w.const(places)], axis=axis)


@row("overlap_add")
def _overlap_add(w: Writer, step: Step) -> str:
    axis, length, stride, dilation = (int(step.attrs[k]) for k in ("axis", "length", "stride", "dilation"))
    axis %= step.x.ndim - 1
    count, size = (s.fixed for s in step.x.sizes[axis : axis + 2])
    if count is None or size is None:
        raise UnsupportedError("windows along the batch")
    places = (np.arange(count)[:, None] * stride + np.arange(size) * dilation).reshape(-1)
    matrix = np.zeros((length, count * size), step.x.dtype)
    matrix[places, np.arange(count * size)] = 1
    flat = (*step.x.sizes[:axis], Size(0, count * size), *step.x.sizes[axis + 2 :])
    return w.along(w.reshape(step.x.name, flat, step.x.sizes), axis, step.x.ndim - 1, matrix)
