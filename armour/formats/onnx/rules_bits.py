"""Whole numbers as bits, running products, and activations that came late to ONNX."""

from __future__ import annotations

import numpy as np

import armour.tensor as T
from armour.tensor.core import Tensor

from .halves import in_single
from .rules import Call, rule
from .values import dtype_of


@rule("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot")
def bitwise(c: Call) -> np.ndarray:
    """Of whole numbers that are known, or when the model is just run."""
    if c.node.op == "BitwiseNot":
        found: np.ndarray = np.invert(c.known(0))
        return found
    functions = {"BitwiseAnd": np.bitwise_and, "BitwiseOr": np.bitwise_or, "BitwiseXor": np.bitwise_xor}
    both: np.ndarray = functions[c.node.op](c.known(0), c.known(1))
    return both


@rule("BitCast")
def bit_cast(c: Call) -> np.ndarray:
    """The same bits read as another type of the same width, of numbers that are known."""
    x, dtype = c.known(0), dtype_of(int(c.attr("to")), f"node {c.node.shown}")
    if x.dtype.itemsize != dtype.itemsize:
        raise c.damaged(f"reads {x.dtype} as {dtype}")
    return np.ascontiguousarray(x).view(dtype).reshape(x.shape)


@rule("CumProd")
def cum_prod(c: Call) -> Tensor:
    """Optionally from the other end, and without the element itself."""
    x = c.x(0)
    axis = int(c.known(1).reshape(-1)[0]) % max(x.ndim, 1)
    backwards = bool(c.attr("reverse", 0))
    x = T.flip(x, axis) if backwards else x
    if c.attr("exclusive", 0):
        before = (slice(None),) * axis
        ones = T.ones_like(T.getitem(x, (*before, slice(0, 1))))
        x = T.concat([ones, T.getitem(x, (*before, slice(0, -1)))], axis)
    out = T.cast(T.cumprod(x, axis), x.dtype.name)
    return T.flip(out, axis) if backwards else out


@rule("Swish", "SwiGLU")
@in_single
def swish(c: Call) -> Tensor:
    """x / (1 + exp(-alpha x)); SwiGLU times its second input."""
    x, alpha = c.x(0), float(c.attr("alpha", 1.0))
    out: Tensor = c.layer("SiLU")(x) if alpha == 1 else x * T.sigmoid(x * alpha)
    if c.node.op == "Swish":
        return out
    if c.shape(1) != x.shape:
        raise c.damaged(f"multiplies {x.shape} by {c.shape(1)}")
    return T.multiply(out, c.x(1))
