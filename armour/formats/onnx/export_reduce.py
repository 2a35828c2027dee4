"""Rows that reduce axes or run along one: sums, extremes, products, order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from armour.errors import UnsupportedError
from armour.formats.onnx.export_elementwise import working
from armour.formats.onnx.export_rules import ROW_RULES, row
from armour.formats.onnx.export_values import Size, Step, Value
from armour.formats.onnx.export_writer import END, Writer


def axes_of(step: Step) -> list[int] | None:
    """The axes of a reduction, counted from 0; None for all."""
    axis = step.attrs.get("axis")
    if axis is None:
        return None
    return sorted(int(a) % step.x.ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def _reduction(kind: str) -> Any:
    def rule(w: Writer, step: Step) -> str:
        dtype = working(step.out.dtype)
        x = w.as_(step.x, dtype)
        found = w.reduce(kind, x, axes_of(step), bool(step.attrs.get("keepdims", False)))
        return w.cast(found, dtype, step.out.dtype)

    return rule


for _name, _kind in (
    *(("sum", "ReduceSum"), ("mean", "ReduceMean"), ("max", "ReduceMax"), ("min", "ReduceMin")),
    *(("prod", "ReduceProd"), ("logsumexp", "ReduceLogSumExp")),
):
    ROW_RULES[_name] = _reduction(_kind)


@row("var")
def _var(w: Writer, step: Step) -> str:
    dtype, axes, ddof = step.out.dtype, axes_of(step), int(step.attrs.get("ddof", 0))
    x = w.as_(step.x, dtype)
    apart = w.add("Sub", [x, w.reduce("ReduceMean", x, axes, True)])
    kept = bool(step.attrs.get("keepdims", False))
    squares = w.add("Mul", [apart, apart])
    if not ddof:
        return w.reduce("ReduceMean", squares, axes, kept)
    lengths = [step.x.sizes[a] for a in (range(step.x.ndim) if axes is None else axes)]
    total = w.reduce("ReduceSum", squares, axes, kept)
    if all(size.per == 0 for size in lengths):
        count = math.prod(size.plus for size in lengths)
        return w.add("Div", [total, w.scalar(count - ddof, dtype)])
    whole = w.add("ReduceProd", [w.lengths(lengths)], keepdims=0)
    return w.add(
        "Div", [total, w.cast(w.add("Sub", [whole, w.scalar(ddof, "int64")]), np.dtype("int64"), dtype)]
    )


@row("any", "all")
def _any(w: Writer, step: Step) -> str:
    # By counting, so that of no elements "any" is false and "all" true.
    truth = w.as_(step.x, bool)
    if step.node.type == "all":
        truth = w.add("Not", [truth])
    count = w.reduce(
        "ReduceSum",
        w.cast(truth, np.dtype(bool), "int64"),
        axes_of(step),
        bool(step.attrs.get("keepdims", False)),
    )
    found = w.add("Greater", [count, w.scalar(0, "int64")])
    return w.add("Not", [found]) if step.node.type == "all" else found


@row("argmax", "argmin")
def _argmax(w: Writer, step: Step) -> str:
    kind = "ArgMax" if step.node.type == "argmax" else "ArgMin"
    x, axis = w.as_(step.x, working(step.x.dtype)), step.attrs.get("axis")
    if axis is None:
        x, axis = w.add("Reshape", [x, w.ints([-1])]), 0
    return w.add(kind, [x], axis=int(axis) % max(step.x.ndim, 1), keepdims=0)


@row("argsort")
def _argsort(w: Writer, step: Step) -> str:
    # TopK of all elements; of equal ones it gives the first first, so the order is stable.
    x, axis = step.x, int(step.attrs.get("axis", -1)) % step.x.ndim
    dtype = working(x.dtype)
    largest = int(bool(step.attrs.get("descending", False)))
    names = [w.as_(x, dtype), w.length(x.sizes[axis])]
    return w.add_many("TopK", names, 2, axis=axis, largest=largest, sorted=1)[1]


@row("cumsum")
def _cumsum(w: Writer, step: Step) -> str:
    dtype = working(step.out.dtype)
    axis = w.scalar(int(step.attrs["axis"]) % step.x.ndim, "int64")
    return w.cast(w.add("CumSum", [w.as_(step.x, dtype), axis]), dtype, step.out.dtype)


# -- running products and extremes: after each pass an element knows twice as many of those before it ------


def _line(step: Step) -> tuple[int, int]:
    axis = int(step.attrs["axis"]) % step.x.ndim
    length = step.x.sizes[axis].fixed
    if length is None:
        raise UnsupportedError(f"{step.node.type} along the batch")
    return axis, length


def _moved(w: Writer, name: str, x: Value, axis: int, places: int, fill: str) -> str:
    """Elements moved on by some places along the axis, with `fill` in front."""
    widths = [(places, 0) if i == axis else (0, 0) for i in range(x.ndim)]
    return w.pad(w.slice(name, {axis: (0, -places, 1)}), widths, fill)


@row("cumprod")
def _cumprod(w: Writer, step: Step) -> str:
    axis, length = _line(step)
    dtype, places = working(step.out.dtype), 1
    y = w.as_(step.x, dtype)
    one = w.scalar(1, dtype)
    while places < length:
        y = w.add("Mul", [y, _moved(w, y, step.x, axis, places, one)])
        places *= 2
    return w.cast(y, dtype, step.out.dtype)


@row("cumargmax", "cumargmin")
def _cumargmax(w: Writer, step: Step) -> str:
    axis, length = _line(step)
    x = step.x
    dtype = working(x.dtype)
    better = "GreaterOrEqual" if step.node.type == "cumargmax" else "LessOrEqual"
    values, places = w.as_(x, dtype), 1
    count = w.const(np.arange(length).reshape((length, *(1,) * (x.ndim - axis - 1))))
    index = w.add("Expand", [count, w.lengths(x.sizes)])
    while places < length:
        head, tail = {axis: (0, places, 1)}, {axis: (places, END, 1)}
        before = {axis: (0, -places, 1)}
        late, early = w.slice(values, tail), w.slice(values, before)
        stays = w.add(better, [late, early])
        for_values = w.add("Where", [stays, late, early])
        for_index = w.add("Where", [stays, w.slice(index, tail), w.slice(index, before)])
        values = w.add("Concat", [w.slice(values, head), for_values], axis=axis)
        index = w.add("Concat", [w.slice(index, head), for_index], axis=axis)
        places *= 2
    return index


# -- what normalises the last axis ----------------


@row("standardise")
def _standardise(w: Writer, step: Step) -> str:
    dtype, eps = step.out.dtype, float(step.attrs["eps"])
    x = w.as_(step.x, dtype)
    last: Size = step.x.sizes[-1]
    if step.attrs["centred"] and last.fixed:
        ones = w.const(np.ones(last.plus, dtype))
        return w.add("LayerNormalization", [x, ones], axis=-1, epsilon=eps)
    axes = [step.x.ndim - 1]
    if step.attrs["centred"]:
        x = w.add("Sub", [x, w.reduce("ReduceMean", x, axes, True)])
    mean = w.reduce("ReduceMean", w.add("Mul", [x, x]), axes, True)
    return w.add("Div", [x, w.add("Sqrt", [w.add("Add", [mean, w.scalar(eps, dtype)])])])
