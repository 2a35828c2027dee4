"""Reductions, arg max and min, top k, cumulative sums, softmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import armour.tensor as T
from armour.tensor.core import Tensor, wrap

from .rules import Call, rule

Reduction = Callable[[Tensor, tuple[int, ...]], Tensor]


def _sum(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return T.sum(x, axis=axes, keepdims=True)


def _largest(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return T.max(x, axis=axes, keepdims=True)


def _smallest(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return T.min(x, axis=axes, keepdims=True)


def _prod(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    for axis in axes:
        x = T.prod(x, axis=axis, keepdims=True)
    return x


REDUCTIONS: dict[str, Reduction] = {
    "ReduceSum": _sum,
    "ReduceMean": lambda x, axes: T.mean(x, axis=axes, keepdims=True),
    "ReduceMax": _largest,
    "ReduceMin": _smallest,
    "ReduceProd": _prod,
    "ReduceL1": lambda x, axes: _sum(T.abs(x), axes),
    "ReduceL2": lambda x, axes: T.sqrt(_sum(x * x, axes)),
    "ReduceSumSquare": lambda x, axes: _sum(x * x, axes),
    "ReduceLogSum": lambda x, axes: T.log(_sum(x, axes)),
    "ReduceLogSumExp": lambda x, axes: T.logsumexp(x, axis=axes, keepdims=True),
}
_OF_NOTHING = {
    "ReduceMax": -math.inf,
    "ReduceMin": math.inf,
    "ReduceLogSumExp": -math.inf,
    "ReduceMean": math.nan,
}


def _reduction(name: str, function: Reduction) -> Callable[[Call], Any]:
    def apply(c: Call) -> Any:
        x = c.x()
        axes = c.axes(since=13 if name == "ReduceSum" else 18)
        if axes is None or not len(axes):
            if c.attr("noop_with_empty_axes", 0):
                return _alone(name, x)
            axes = range(x.ndim)
        over = tuple(sorted({int(a) % max(x.ndim, 1) for a in axes})) if x.ndim else ()
        keep = bool(c.attr("keepdims", 1))
        shape = tuple(1 if i in over else n for i, n in enumerate(x.shape))
        if not x.ndim:
            return x
        if name in _OF_NOTHING and math.prod(x.shape[a] for a in over) == 0:
            out = wrap(_nothing(name, x, shape))
        else:
            # NumPy adds whole numbers in 64 bits; the result has the input's type.
            wide = T.cast(x, "float64") if x.dtype.kind != "f" and name in _FRACTIONS else x
            out = T.cast(function(wide, over), x.dtype.name)
        if keep:
            return out
        return T.reshape(out, tuple(n for i, n in enumerate(x.shape) if i not in over))

    return apply


_FRACTIONS = ("ReduceMean", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp")
for _name, _function in REDUCTIONS.items():
    rule(_name)(_reduction(_name, _function))


def _alone(name: str, x: Tensor) -> Tensor:
    """Over no axis at all: each number is its own sum."""
    if name in ("ReduceL1", "ReduceL2"):
        return T.abs(x)
    if name == "ReduceSumSquare":
        return x * x
    return T.log(x) if name == "ReduceLogSum" else x


def _nothing(name: str, x: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    if x.dtype.kind == "b":
        return np.full(shape, name == "ReduceMin")
    if x.dtype.kind in "iu":
        info = np.iinfo(x.dtype)
        return np.full(shape, info.max if name == "ReduceMin" else info.min, x.dtype)
    return np.full(shape, _OF_NOTHING[name], x.dtype)


@rule("ArgMax", "ArgMin")
def arg_extreme(c: Call) -> Tensor:
    """The first one of equals, or the last one."""
    x, axis = c.x(), int(c.attr("axis", 0)) % max(c.x().ndim, 1)
    find = T.argmax if c.node.op == "ArgMax" else T.argmin
    if c.attr("select_last_index", 0):
        found = T.subtract(x.shape[axis] - 1, find(T.flip(x, axis), axis=axis))
    else:
        found = find(x, axis=axis)
    found = T.cast(found, "int64")
    return T.expand_dims(found, axis) if c.attr("keepdims", 1) else found


@rule("TopK")
def top_k(c: Call) -> tuple[Tensor, Tensor]:
    """Values and places, largest first; of equals the one that comes first."""
    x, axis = c.x(), int(c.attr("axis", -1))
    k = int(c.attr("k")) if c.opset < 10 else c.ints(1)[0]
    largest = bool(c.attr("largest", 1))
    unsigned = x.dtype.kind == "u"
    values, places = T.topk(T.cast(x, "float64") if unsigned else x, k, axis=axis, largest=largest)
    return T.cast(values, x.dtype.name) if unsigned else values, T.cast(places, "int64")


@rule("CumSum")
def cum_sum(c: Call) -> Tensor:
    """Optionally from the other end, and without the element itself."""
    x, axis = c.x(), c.ints(1)[0] % c.x().ndim
    backwards = bool(c.attr("reverse", 0))
    x = T.flip(x, axis) if backwards else x
    out = T.cast(T.cumsum(x, axis), x.dtype.name)
    if c.attr("exclusive", 0):
        out = T.subtract(out, x)
    return T.flip(out, axis) if backwards else out


@rule("Softmax", "LogSoftmax")
def softmax(c: Call) -> Tensor:
    """Along one axis; before opset 13 over all axes from that one on."""
    x = c.x()
    kind = c.node.op
    if c.opset >= 13:
        return _softmax(c, kind, x, int(c.attr("axis", -1)))
    axis = int(c.attr("axis", 1)) % max(x.ndim, 1)
    if axis == x.ndim - 1 or all(n == 1 for n in x.shape[axis + 1 :]):
        return _softmax(c, kind, x, axis)
    flat = T.reshape(x, (*x.shape[:axis], math.prod(x.shape[axis:])))
    return T.reshape(_softmax(c, kind, flat, -1), x.shape)


def _softmax(c: Call, kind: str, x: Tensor, axis: int) -> Tensor:
    layer: Tensor = c.layer("LogSoftmax" if kind == "LogSoftmax" else "Softmax", {"axis": axis})(x)
    return layer


@rule("Hardmax")
def hardmax(c: Call) -> Tensor:
    """1 at the first largest value, 0 elsewhere."""
    x = c.x()
    if c.opset >= 13:
        return _first_largest(x, int(c.attr("axis", -1)) % max(x.ndim, 1))
    axis = int(c.attr("axis", 1)) % max(x.ndim, 1)
    flat = T.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))
    return T.reshape(_first_largest(flat, 1), x.shape)


def _first_largest(x: Tensor, axis: int) -> Tensor:
    places = np.arange(x.shape[axis]).reshape((-1, *(1,) * (x.ndim - 1 - axis)))
    return T.cast(T.equal(T.expand_dims(T.argmax(x, axis=axis), axis), places), x.dtype.name)
