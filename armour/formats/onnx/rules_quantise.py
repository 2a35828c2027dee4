"""Quantised numbers: to them, from them, and products of them, with gradients straight through the rounding.

A quantised tensor is whole numbers, through which no gradient passes. Each one therefore has a twin: the same
numbers as a floating tensor whose gradient is that of the values before they were rounded, 0 where they were
clipped (Bengio et al., 2013, https://arxiv.org/abs/1308.3432). Rules that take quantised numbers compute with
the twin.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import armour.tensor as T
from armour.tensor.core import Tensor, grad_enabled

from .rules import Call, Rule, Value, rule
from .values import dtype_of

# Operators that only move numbers, so that a twin goes with them.
MOVES = frozenset((
    "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "Reshape",
    "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
))  # fmt: skip


def through(u: Tensor, whole: Tensor) -> Tensor:
    """The whole numbers that u is rounded to, with the gradient of u itself."""
    # Exact: the step to the nearest whole number has no rounding error, nor has taking it.
    return T.add(u, T.stop_gradient(T.subtract(whole, u)))


def quantised(c: Call, y: Tensor, zero: Any, dtype: np.dtype[Any], always: bool = False) -> Tensor:
    """Real values in units of the scale as whole numbers around a zero point, clipped to dtype.

    always: the gradient passes where values are clipped too.
    """
    info = np.iinfo(dtype)
    inside = _clipped(y, float(info.min), float(info.max), zero)
    whole = _clipped(T.round(y), float(info.min), float(info.max), zero) if always else T.round(inside)
    moved = T.add(through(y if always else inside, whole), zero)
    out = T.cast(moved, dtype.name)
    if c.run.building or grad_enabled():
        c.run.twins[out] = moved
    return out


def _clipped(y: Tensor, low: float, high: float, zero: Any) -> Tensor:
    if isinstance(zero, np.ndarray) and zero.size == 1:
        return T.clip(y, low - zero.item(), high - zero.item())
    return T.minimum(T.maximum(y, T.subtract(low, zero)), T.subtract(high, zero))


def real(c: Call, i: int, dtype: str) -> Tensor:
    """Input i, whole numbers, as a floating tensor: its twin if it has one."""
    x = c.x(i)
    twin = c.run.twins.get(x)
    return T.cast(x if twin is None else twin, dtype)


def carry_twins(c: Call, operator: Rule, found: list[Any]) -> None:
    """Give the output of an operator that only moves numbers the moved twin of its input."""
    twins = c.run.twins
    if c.node.op not in MOVES or not any(isinstance(v, Tensor) and v in twins for v in c.inputs):
        return
    inputs: list[Value | None] = [
        twins.get(v) if isinstance(v, Tensor) and v in twins else v for v in c.inputs
    ]
    again = operator(Call(c.node, inputs, c.opsets, c.run))
    for out, twin in zip(found, again if isinstance(again, (list, tuple)) else [again], strict=False):
        if isinstance(out, Tensor) and isinstance(twin, Tensor) and out.shape == twin.shape:
            twins[out] = twin


def beside(c: Call, i: int, dtype: np.dtype[Any] | str, shape: tuple[int, ...]) -> Any:
    """Input i, a scale or zero point, next to an array of this shape: one number, one an index, or blocks."""
    axis, block = int(c.attr("axis", 1)), int(c.attr("block_size", 0))
    value: Any = c.known(i).astype(dtype) if c.fixed(i) else T.cast(c.x(i), np.dtype(dtype).name)
    if value.ndim == 0 or (value.size == 1 and not block):
        return value.reshape(())
    if not -len(shape) <= axis < len(shape):
        raise c.damaged(f"has no axis {axis} in {shape}")
    axis %= len(shape)
    if block and value.ndim == len(shape):
        if block < 1 or value.shape[axis] * block < shape[axis]:
            raise c.damaged(f"has blocks of {block} that do not fill {shape}")
        places = np.arange(shape[axis]) // block
        return (
            np.take(value, places, axis) if isinstance(value, np.ndarray) else T.gather(value, places, axis)
        )
    return value.reshape((-1, *(1,) * (len(shape) - axis - 1)))


@rule("QuantizeLinear")
def quantize(c: Call) -> Tensor:
    """round(x / scale) + zero point; for one scale, one for each index of an axis, or blocks of it."""
    x = c.x(0)
    wanted = int(c.attr("output_dtype", 0))
    if c.has(2):
        dtype = c.dtype(2)
    else:
        dtype = dtype_of(wanted, f"node {c.node.shown}") if wanted else np.dtype(np.uint8)
    if dtype.kind not in "iu":
        raise c.unsupported(f"quantising to {dtype}")
    precision = int(c.attr("precision", 0))
    kind = dtype_of(precision, f"node {c.node.shown}") if precision else c.dtype(1)
    scale = beside(c, 1, kind, x.shape)
    zero = beside(c, 2, "float32", x.shape) if c.has(2) else np.zeros((), np.float32)
    ratio = T.cast(T.divide(T.cast(x, kind.name), scale), "float32")
    return quantised(c, ratio, zero, dtype)


@rule("DequantizeLinear")
def dequantize(c: Call) -> Tensor:
    """(x - zero point) scale, of the scale's type; of a value just quantised, with a gradient."""
    shape = c.shape()
    to = int(c.attr("output_dtype", 0))
    dtype = dtype_of(to, f"node {c.node.shown}") if to else c.dtype(1)
    y = real(c, 0, "float32" if c.dtype(0).itemsize < 4 else "float64")
    y = T.subtract(y, beside(c, 2, y.dtype, shape)) if c.has(2) else y
    return T.cast(T.multiply(y, beside(c, 1, y.dtype, shape)), dtype.name)


@rule("DynamicQuantizeLinear")
def dynamic_quantize(c: Call) -> tuple[Tensor, Tensor, Tensor]:
    """To 8 bits without sign, with the scale and zero point that the values' range asks for.

    The scale has no gradient, as if it were a constant; it is made so that only rounding can clip a value.
    """
    x = c.x(0)
    fixed = T.stop_gradient(x)
    high, low = T.maximum(T.max(fixed), 0.0), T.minimum(T.min(fixed), 0.0)
    span = T.subtract(high, low)
    scale = T.divide(T.where(T.equal(span, 0.0), T.ones_like(span), span), 255.0)
    zero = T.round(T.clip(T.divide(T.negative(low), scale), 0.0, 255.0))
    out = quantised(c, T.divide(x, scale), zero, np.dtype(np.uint8), always=True)
    return out, T.cast(scale, x.dtype.name), T.cast(zero, "uint8")


@rule("MatMulInteger")
def matmul_integer(c: Call) -> Tensor:
    """Of whole numbers, exactly: in double precision, which holds every sum below 2^53."""
    return _whole(c, T.matmul(centred(c, 0, 2, _rows), centred(c, 1, 3, _columns)))


@rule("QLinearMatMul")
def quantised_matmul(c: Call) -> Tensor:
    """A product of quantised matrices as a quantised matrix, clipped to its type."""
    y = T.matmul(centred(c, 0, 2, _rows), centred(c, 3, 5, _columns))
    a, b, out = (np.asarray(c.known(i), np.float64) for i in (1, 4, 6))
    return _rescaled(c, y, _rows(a) * _columns(b) / out)


def _rescaled(c: Call, y: Tensor, scale: np.ndarray) -> Tensor:
    zero = c.known(7)
    return quantised(c, T.multiply(y, scale), zero.astype(np.float64), zero.dtype)


def _whole(c: Call, y: Tensor) -> Tensor:
    out = T.cast(y, "int32")
    if c.run.building or grad_enabled():
        c.run.twins[out] = y
    return out


def centred(c: Call, i: int, zero: int, shaped: Any) -> Tensor:
    """Input i minus its zero point, in double precision."""
    x = real(c, i, "float64")
    return T.subtract(x, shaped(np.asarray(c.known(zero), np.float64))) if c.has(zero) else x


def _rows(values: np.ndarray) -> np.ndarray:
    return values.reshape(()) if values.size == 1 else values[:, None] if values.ndim == 1 else values


def _columns(values: np.ndarray) -> np.ndarray:
    return values.reshape(()) if values.size == 1 else values


@rule("ConvInteger", "QLinearConv")
def conv_integer(c: Call) -> Tensor:
    """As the matrix products above, of convolutions; weights may have a scale for each output channel."""
    from .rules_conv import convolved

    plain = c.node.op == "ConvInteger"
    first = (2, 1, 3) if plain else (2, 3, 5)
    rank = len(c.shape())
    x = centred(c, 0, first[0], lambda v: v.reshape(()) if v.size == 1 else _channels(v, rank, 1))
    w = centred(c, first[1], first[2], lambda v: v.reshape(()) if v.size == 1 else _channels(v, rank, 0))
    y = convolved(c, x, w)
    if plain:
        return _whole(c, y)
    if c.has(8):
        y = T.add(y, T.reshape(T.cast(c.x(8), "float64"), (-1, *(1,) * (rank - 2))))
    scales = [np.asarray(c.known(i), np.float64) for i in (1, 4, 6)]
    scale = scales[0].reshape(-1)[:1] * scales[1].reshape(-1) / scales[2].reshape(-1)[:1]
    return _rescaled(c, y, scale.reshape(()) if scale.size == 1 else _channels(scale, rank, 1))


def _channels(values: np.ndarray, rank: int, axis: int) -> np.ndarray:
    return values.reshape((1,) * axis + (-1,) + (1,) * (rank - axis - 1))
