"""Rows of several nodes each: division with a remainder, angles, and the inverse of erf."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from armour.formats.onnx.export_elementwise import common, working
from armour.formats.onnx.export_rules import row
from armour.formats.onnx.export_values import Step
from armour.formats.onnx.export_writer import Writer


@row("mod", "floor_divide")
def _mod(w: Writer, step: Step) -> str:
    """The remainder has the divisor's sign; the quotient is what is left without it, so both agree."""
    dtype = working(common(step.inputs))
    a, b = (w.as_(v, dtype) for v in step.inputs)
    quotient = step.node.type == "floor_divide"
    if dtype.kind != "f":
        rest = w.add("Mod", [a, b])
        found = w.add("Div", [w.add("Sub", [a, rest]), b]) if quotient else rest
        return w.cast(found, dtype, step.out.dtype)
    rest, zero = w.add("Mod", [a, b], fmod=1), w.scalar(0, dtype)
    other = w.add("Xor", [w.add("Less", [rest, zero]), w.add("Less", [b, zero])])
    turned = w.add("And", [other, w.add("Not", [w.add("Equal", [rest, zero])])])
    if not quotient:
        return w.add("Add", [rest, w.add("Where", [turned, b, zero])])
    whole = w.add("Round", [w.add("Div", [w.add("Sub", [a, rest]), b])])
    return w.add("Sub", [whole, w.cast(turned, np.dtype(bool), dtype)])


@row("atan2")
def _atan2(w: Writer, step: Step) -> str:
    dtype = step.out.dtype
    y, x = (w.as_(v, dtype) for v in step.inputs)
    zero = w.scalar(0, dtype)
    right = w.add("Atan", [w.add("Div", [y, x])])
    turn = w.add("Where", [w.add("Less", [y, zero]), w.scalar(-math.pi, dtype), w.scalar(math.pi, dtype)])
    found = w.add("Add", [right, w.add("Where", [w.add("Less", [x, zero]), turn, zero])])
    origin = w.add("And", [w.add("Equal", [x, zero]), w.add("Equal", [y, zero])])
    return w.add("Where", [origin, zero, found])


@row("erfinv")
def _erfinv(w: Writer, step: Step) -> str:
    """Winitzki's approximation, 2008, then two steps of Halley's method on Erf; for |x| < 0.999."""
    dtype: Any = step.out.dtype

    def number(value: float) -> str:
        return w.scalar(value, dtype)

    x = w.as_(step.x, dtype)
    one = number(1.0)
    inside = w.add("Sub", [one, w.add("Mul", [x, x])])
    gap = w.add("Mul", [w.add("Log", [inside]), number(1.0 / 0.147)])
    b = w.add("Add", [w.add("Mul", [gap, number(0.147 / 2)]), number(2.0 / (math.pi * 0.147))])
    root = w.add("Sqrt", [w.add("Sub", [w.add("Mul", [b, b]), gap])])
    size = w.add("Sqrt", [w.add("Neg", [w.add("Div", [gap, w.add("Add", [root, b])])])])
    y = w.add("Mul", [size, w.add("Sign", [x])])
    for _ in range(2):
        slope = w.add("Mul", [w.add("Exp", [w.add("Mul", [y, y])]), number(math.sqrt(math.pi) / 2)])
        move = w.add("Mul", [w.add("Sub", [w.add("Erf", [y]), x]), slope])
        bend = w.add("Add", [one, w.add("Mul", [y, move])])
        y = w.add("Sub", [y, w.add("Div", [move, bend])])
    return y
