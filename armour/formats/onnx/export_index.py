"""Rows that read and write elements at positions: indexing, gathering, scattering, sampling."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any

import numpy as np

from armour.errors import UnsupportedError
from armour.formats.onnx.export_rules import layer, row
from armour.formats.onnx.export_shaping import expanded
from armour.formats.onnx.export_values import Size, Step, Value
from armour.formats.onnx.export_writer import END, Writer
from armour.tensor.batching import has_batch

# -- x[index] ----------------


@dataclass
class _Index:
    """An index as NumPy reads it: slices of axes, new axes, and arrays of places (whole numbers beside them
    count as such)."""

    cuts: dict[int, tuple[Any, Any, int]] = field(default_factory=dict)  # axis of x -> start, stop, step
    dropped: list[int] = field(default_factory=list)  # axes of x that a whole number takes, without arrays
    arrays: dict[int, np.ndarray] = field(default_factory=dict)  # axis of x -> places
    order: list[int | None] = field(default_factory=list)  # axes of x, and None for a new one, as written
    apart: bool = False  # arrays with something else between them: their axes come first


def _parse(index: Any, sizes: tuple[Size, ...]) -> _Index:
    ndim = len(sizes)
    items = list(index) if isinstance(index, tuple) else [index]
    taken = sum(_axes(i) for i in items)
    dots = [i for i, item in enumerate(items) if isinstance(item, EllipsisType)]
    place = dots[0] if dots else len(items)
    # Three dots part arrays of places even where they stand for no axis.
    whole_axes: list[Any] = [slice(None)] * (ndim - taken)
    items[place : place + 1] = whole_axes or [...]
    found, numbers, axis, groups, inside = _Index(), dict[int, int](), 0, 0, False
    for item in items:
        if isinstance(item, EllipsisType):
            inside = False
            continue
        if item is None:
            found.order.append(None)
            inside = False
            continue
        if isinstance(item, slice):
            _cut(found, axis, item, sizes[axis].fixed)
            inside = False
        elif has_batch(item):
            raise UnsupportedError("one place of the batch that depends on its size")
        else:
            array = np.asarray(item)
            places = list(array.nonzero()) if array.dtype.kind == "b" else [array]
            for k, each in enumerate(places):
                if each.ndim:
                    found.arrays[axis + k] = each
                else:
                    numbers[axis + k] = int(each)
            groups, inside = groups + (not inside), True
            for k in range(len(places)):
                found.order.append(axis + k)
            axis += len(places)
            continue
        found.order.append(axis)
        axis += 1
    if found.arrays:
        for a, number in numbers.items():
            found.arrays[a] = np.asarray(number)
        found.apart = groups > 1
    else:
        for a, number in numbers.items():
            found.cuts[a] = (number, number + 1 if number != -1 else END, 1)
            found.dropped.append(a)
    return found


def _axes(item: Any) -> int:
    if item is None or isinstance(item, EllipsisType):
        return 0
    array = np.asarray(item) if not isinstance(item, slice) else None
    return array.ndim if array is not None and array.dtype.kind == "b" else 1


def _cut(found: _Index, axis: int, part: slice, length: int | None) -> None:
    if part == slice(None):
        return
    step = 1 if part.step is None else int(part.step)
    start = part.start if part.start is not None else (0 if step > 0 else -1)
    stop = part.stop if part.stop is not None else (END if step > 0 else -END)
    if length is not None and not has_batch(
        part
    ):  # ends beyond the axis are not read by all as NumPy reads them
        start, stop, step = part.indices(length)
        if not range(start, stop, step):
            start, stop, step = 0, 0, 1
        stop = -END if stop < 0 else stop
    found.cuts[axis] = (start, stop, step)


@row("getitem")
def _getitem(w: Writer, step: Step) -> str:
    x, index = step.x, _parse(step.attrs["index"], step.x.sizes)
    name = w.slice(x.name, index.cuts)
    if not index.arrays:
        name = w.squeeze(name, index.dropped)
        kept = [a for a in index.order if a is None or a not in index.dropped]
        return w.unsqueeze(name, [i for i, a in enumerate(kept) if a is None])
    picked = sorted(index.arrays)
    if any(x.sizes[a].per and (index.arrays[a] < 0).any() for a in picked) and len(picked) > 1:
        raise UnsupportedError("several arrays of places that count from the end of the batch")
    places = np.broadcast_arrays(*(index.arrays[a] for a in picked))
    if len(picked) == 1:
        name = w.add("Gather", [name, w.const(places[0].astype(np.int64))], axis=picked[0])
    else:
        rest = [a for a in range(x.ndim) if a not in picked]
        name = w.transpose(name, [*picked, *rest])
        name = w.add("GatherND", [name, w.const(np.stack(places, -1).astype(np.int64))])
    return _arranged(w, name, index, picked, places[0].ndim, x.ndim)


def _arranged(w: Writer, name: str, index: _Index, picked: list[int], wide: int, ndim: int) -> str:
    """The axes of the places and the others in NumPy's order, and new axes."""
    rest = [a for a in range(ndim) if a not in picked]
    # Where the axes of places stand now among the others, and where NumPy puts them.
    now = picked[0] if len(picked) == 1 else 0
    wanted = 0 if index.apart else sum(a < picked[0] for a in rest)
    if now != wanted:
        spots = list(range(wide))
        others = list(range(wide, wide + len(rest)))
        name = w.transpose(name, [*others[:wanted], *spots, *others[wanted:]])
    new: list[int] = []
    position, seen = (wide if index.apart else 0), False
    for a in index.order:
        if a is None:
            new.append(position)
            position += 1
        elif a not in index.arrays:
            position += 1
        elif not seen and not index.apart:
            position, seen = position + wide, True
    return w.unsqueeze(name, new)


# -- places that are inputs ----------------


def whole(w: Writer, value: Value) -> str:
    """Places as int64."""
    return w.as_(value, "int64")


@row("gather")
def _gather(w: Writer, step: Step) -> str:
    return w.add("Gather", [step.x.name, whole(w, step.inputs[1])], axis=int(step.attrs["axis"]))


@layer("Embedding")
def _embedding(w: Writer, step: Step) -> str:
    return w.add("Gather", [w.own(step, "weight"), whole(w, step.x)], axis=0)


@row("take_along_axis")
def _take_along_axis(w: Writer, step: Step) -> str:
    x, indices = step.inputs
    axis, places = int(step.attrs["axis"]) % x.ndim, whole(w, indices)
    name = x.name
    for i, (a, b, out) in enumerate(zip(x.sizes, indices.sizes, step.out.sizes, strict=True)):
        if i != axis and (a != out or b != out):  # NumPy lets lengths of 1 broadcast
            name = w.add(
                "Expand",
                [name, w.lengths([Size(0, 1) if j == axis else s for j, s in enumerate(step.out.sizes)])],
            )
            places = w.add("Expand", [places, w.lengths(expanded(indices.sizes, step.out.sizes))])
            break
    return w.add("GatherElements", [name, places], axis=axis)


@row("gather_nd")
def _gather_nd(w: Writer, step: Step) -> str:
    return w.add("GatherND", [step.x.name, whole(w, step.inputs[1])])


def _zeros(w: Writer, step: Step) -> str:
    return w.add("Expand", [w.scalar(0, step.out.dtype), w.lengths(step.out.sizes)])


@row("scatter_nd")
def _scatter_nd(w: Writer, step: Step) -> str:
    values, indices = step.inputs
    names = [_zeros(w, step), whole(w, indices), values.name]
    return w.add("ScatterND", names, reduction="add")


@row("scatter_nd_add")
def _scatter_nd_add(w: Writer, step: Step) -> str:
    x, values, indices = step.inputs
    return w.add("ScatterND", [x.name, whole(w, indices), w.as_(values, x.dtype)], reduction="add")


@row("scatter_update")
def _scatter_update(w: Writer, step: Step) -> str:
    x, values, indices = step.inputs
    last = indices.sizes[-1].plus
    wanted = (*indices.sizes[:-1], *x.sizes[last:])
    name = w.as_(values, x.dtype)
    if values.sizes != wanted:
        name = w.add("Expand", [name, w.lengths(wanted)])
    return w.add("ScatterND", [x.name, whole(w, indices), name])


@row("add_along_axis")
def _add_along_axis(w: Writer, step: Step) -> str:
    x, values, indices = step.inputs
    names = [x.name, whole(w, indices), w.as_(values, x.dtype)]
    return w.add("ScatterElements", names, axis=int(step.attrs["axis"]) % x.ndim, reduction="add")


@row("index_add")
def _index_add(w: Writer, step: Step) -> str:
    x, values, indices = step.inputs
    return _added(w, step, x.name, w.as_(values, x.dtype), indices)


@row("gather_grad")
def _segment_sum(w: Writer, step: Step) -> str:
    values, indices = step.inputs
    return _added(w, step, _zeros(w, step), values.name, indices)


def _added(w: Writer, step: Step, x: str, values: str, indices: Value) -> str:
    """Slices along an axis with values added at the places; ScatterND does it along the first axis."""
    ndim, k = step.out.ndim, indices.ndim
    axis = int(step.attrs["axis"]) % ndim
    front = [axis, *(i for i in range(ndim) if i != axis)]
    spots = list(range(axis, axis + k))
    values = w.transpose(values, [*spots, *(i for i in range(ndim + k - 1) if i not in spots)])
    places = w.unsqueeze(whole(w, indices), [k])
    found = w.add("ScatterND", [w.transpose(x, front), places, values], reduction="add")
    return w.transpose(found, [front.index(i) for i in range(ndim)])


@row("cross_entropy")
def _cross_entropy(w: Writer, step: Step) -> str:
    logits, labels = step.inputs
    logs = w.add("LogSoftmax", [logits.name], axis=1)
    own = w.add("GatherElements", [logs, w.unsqueeze(whole(w, labels), [1])], axis=1)
    return w.add("Neg", [w.squeeze(own, [1])])


# -- images ----------------


@row("read_pixels")
def _read_pixels(w: Writer, step: Step) -> str:
    """Pixels at whole positions, 0 outside: all positions of an image as places in its flattened pixels."""
    x, rows, columns = step.inputs
    n, c, h, width = x.sizes
    if h.fixed is None or width.fixed is None:
        raise UnsupportedError("an image whose sides depend on the batch")
    oh, ow = rows.sizes[1:]
    if oh.per or ow.per:
        raise UnsupportedError("positions whose number depends on the batch")
    inside, flat = [], []
    for value, length in ((rows, h.fixed), (columns, width.fixed)):
        dtype = value.dtype
        low, high = w.scalar(0, dtype), w.scalar(length - 1, dtype)
        name = value.name
        inside += [w.add("GreaterOrEqual", [name, low]), w.add("LessOrEqual", [name, high])]
        flat.append(w.cast(w.add("Clip", [name, low, high]), dtype, "int64"))
    place = w.add("Add", [w.add("Mul", [flat[0], w.scalar(width.fixed, "int64")]), flat[1]])
    seen = inside[0]
    for other in inside[1:]:
        seen = w.add("And", [seen, other])
    count = Size(0, oh.plus * ow.plus)
    line = (n, Size(0, 1), count)
    place, seen = w.reshape(place, line, rows.sizes), w.reshape(seen, line, rows.sizes)
    place = w.add("Expand", [place, w.lengths(expanded(line, (n, c, count)))])
    pixels = w.reshape(x.name, (n, c, Size(0, h.fixed * width.fixed)), x.sizes)
    values = w.add("GatherElements", [pixels, place], axis=2)
    values = w.add("Where", [seen, values, w.scalar(0, x.dtype)])
    return w.reshape(values, step.out.sizes, (n, c, count))
