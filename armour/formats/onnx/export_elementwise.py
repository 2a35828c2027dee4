"""Rows that work element by element: arithmetic, comparisons, logic, exponentials, rounding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from armour.formats.onnx.export_rules import ROW_RULES, row
from armour.formats.onnx.export_values import Step, Value
from armour.formats.onnx.export_writer import Writer

# Dtypes that runtimes do arithmetic in; the narrow ones go through the next wider, and wrap on the way back.
_WIDER = {
    **dict.fromkeys(("int8", "int16", "uint8", "uint16", "bool"), "int32"),
    **dict.fromkeys(("uint32", "uint64"), "int64"),
}


def working(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that arithmetic on values of `dtype` is done in."""
    return np.dtype(_WIDER.get(dtype.name, dtype.name))


def common(inputs: Sequence[Value]) -> np.dtype[Any]:
    """The dtype two operands meet in: the engine's rule, by which floats win over integers."""
    kinds = [v.dtype for v in inputs if v.floating]
    return np.result_type(*(kinds or [v.dtype for v in inputs]))


def arithmetic(w: Writer, kind: str, step: Step) -> str:
    """A node on all inputs in the output's dtype."""
    dtype = working(step.out.dtype)
    names = [w.as_(value, dtype) for value in step.inputs]
    return w.cast(w.add(kind, names), dtype, step.out.dtype)


def _binary(name: str, kind: str) -> None:
    ROW_RULES[name] = lambda w, step: arithmetic(w, kind, step)


for _name, _kind in (("add", "Add"), ("subtract", "Sub"), ("multiply", "Mul"), ("divide", "Div")):
    _binary(_name, _kind)
for _name, _kind in (("power", "Pow"), ("maximum", "Max"), ("minimum", "Min")):
    _binary(_name, _kind)


@row("add_n")
def _add_n(w: Writer, step: Step) -> str:
    if len(step.inputs) == 2:
        return arithmetic(w, "Add", step)
    return arithmetic(w, "Sum", step) if step.out.floating else _folded(w, step)


def _folded(w: Writer, step: Step) -> str:
    dtype = working(step.out.dtype)
    total, *rest = [w.as_(value, dtype) for value in step.inputs]
    for name in rest:
        total = w.add("Add", [total, name])
    return w.cast(total, dtype, step.out.dtype)


# -- comparisons and logic ----------------


def _compare(kind: str, negated: bool = False) -> Any:
    def rule(w: Writer, step: Step) -> str:
        # NumPy compares numbers of any two dtypes; narrow integers are compared as wider ones.
        dtype = working(np.result_type(*(v.dtype for v in step.inputs)))
        found = w.add(kind, [w.as_(v, dtype) for v in step.inputs])
        return w.add("Not", [found]) if negated else found

    return rule


ROW_RULES["less"], ROW_RULES["less_equal"] = _compare("Less"), _compare("LessOrEqual")
ROW_RULES["greater"], ROW_RULES["greater_equal"] = _compare("Greater"), _compare("GreaterOrEqual")
ROW_RULES["equal"], ROW_RULES["not_equal"] = _compare("Equal"), _compare("Equal", negated=True)


def _logic(kind: str) -> Any:
    return lambda w, step: w.add(kind, [w.as_(v, bool) for v in step.inputs])


ROW_RULES["logical_and"], ROW_RULES["logical_or"] = _logic("And"), _logic("Or")
ROW_RULES["logical_xor"], ROW_RULES["logical_not"] = _logic("Xor"), _logic("Not")


@row("isnan")
def _isnan(w: Writer, step: Step) -> str:
    x = step.x
    return w.add("IsNaN", [x.name]) if x.floating else _none(w, x)


@row("isinf")
def _isinf(w: Writer, step: Step) -> str:
    x = step.x
    return w.add("IsInf", [x.name]) if x.floating else _none(w, x)


@row("isfinite")
def _isfinite(w: Writer, step: Step) -> str:
    x = step.x
    if not x.floating:
        return w.add("Not", [_none(w, x)])
    return w.add("Less", [w.add("Abs", [x.name]), w.scalar(np.inf, x.dtype)])


def _none(w: Writer, x: Value) -> str:
    """False for each element."""
    name = w.as_(x, bool)
    return w.add("Xor", [name, name])


@row("where")
def _where(w: Writer, step: Step) -> str:
    condition, a, b = step.inputs
    dtype = working(step.out.dtype)
    found = w.add("Where", [w.as_(condition, bool), w.as_(a, dtype), w.as_(b, dtype)])
    return w.cast(found, dtype, step.out.dtype)


# -- one argument ----------------


def _unary(kind: str) -> Any:
    """An operator on the input in the output's dtype."""

    def rule(w: Writer, step: Step) -> str:
        dtype = working(step.out.dtype)
        return w.cast(w.add(kind, [w.as_(step.x, dtype)]), dtype, step.out.dtype)

    return rule


for _name, _kind in (
    *(("negative", "Neg"), ("abs", "Abs"), ("sign", "Sign"), ("exp", "Exp"), ("log", "Log")),
    *(("sqrt", "Sqrt"), ("sin", "Sin"), ("cos", "Cos"), ("tan", "Tan"), ("tanh", "Tanh"), ("erf", "Erf")),
    *(("sinh", "Sinh"), ("cosh", "Cosh"), ("asin", "Asin"), ("acos", "Acos"), ("atan", "Atan")),
    *(("asinh", "Asinh"), ("acosh", "Acosh"), ("atanh", "Atanh"), ("reciprocal", "Reciprocal")),
):
    ROW_RULES[_name] = _unary(_kind)


def _whole(kind: str) -> Any:
    """Rounding, which leaves integers alone."""

    def rule(w: Writer, step: Step) -> str:
        return w.add(kind, [step.x.name]) if step.x.floating else w.as_(step.x, step.out.dtype)

    return rule


ROW_RULES["floor"], ROW_RULES["ceil"], ROW_RULES["round"] = _whole("Floor"), _whole("Ceil"), _whole("Round")


@row("trunc")
def _trunc(w: Writer, step: Step) -> str:
    x = step.x
    if not x.floating:
        return x.name
    below = w.add("Less", [x.name, w.scalar(0, x.dtype)])
    return w.add("Where", [below, w.add("Ceil", [x.name]), w.add("Floor", [x.name])])


@row("cast")
def _cast(w: Writer, step: Step) -> str:
    return w.as_(step.x, step.out.dtype)


@row("alias", "stop_gradient")
def _same(w: Writer, step: Step) -> str:
    return w.add("Identity", [step.x.name])


@row("square")
def _square(w: Writer, step: Step) -> str:
    dtype = working(step.out.dtype)
    x = w.as_(step.x, dtype)
    return w.cast(w.add("Mul", [x, x]), dtype, step.out.dtype)


@row("rsqrt")
def _rsqrt(w: Writer, step: Step) -> str:
    return w.add("Reciprocal", [w.add("Sqrt", [w.as_(step.x, step.out.dtype)])])


@row("log1p")
def _log1p(w: Writer, step: Step) -> str:
    dtype = step.out.dtype
    return w.add("Log", [w.add("Add", [w.as_(step.x, dtype), w.scalar(1, dtype)])])


@row("expm1")
def _expm1(w: Writer, step: Step) -> str:
    dtype = step.out.dtype
    return w.add("Sub", [w.add("Exp", [w.as_(step.x, dtype)]), w.scalar(1, dtype)])


@row("exp2")
def _exp2(w: Writer, step: Step) -> str:
    return w.add("Pow", [w.scalar(2, step.out.dtype), w.as_(step.x, step.out.dtype)])


@row("log2", "log10")
def _log(w: Writer, step: Step) -> str:
    dtype, base = step.out.dtype, 2.0 if step.node.type == "log2" else 10.0
    natural = w.add("Log", [w.as_(step.x, dtype)])
    return w.add("Mul", [natural, w.scalar(1.0 / math.log(base), dtype)])


@row("logaddexp")
def _logaddexp(w: Writer, step: Step) -> str:
    dtype = step.out.dtype
    a, b = (w.as_(v, dtype) for v in step.inputs)
    apart = w.add("Neg", [w.add("Abs", [w.add("Sub", [a, b])])])
    return w.add("Add", [w.add("Max", [a, b]), w.add("Softplus", [apart])])


@row("erfc")
def _erfc(w: Writer, step: Step) -> str:
    dtype = step.out.dtype
    return w.add("Sub", [w.scalar(1, dtype), w.add("Erf", [w.as_(step.x, dtype)])])
