"""Fully connected layers by oneDNN: products of float32 matrices of fixed shape and place, weights prepacked.

Used like the convolutions of onednn.py. Against NumPy's OpenBLAS the gain is the packing, which is done once
and not on each call, and that bias and relu are part of the product.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.kernels.calls import chain
from armour.tensor.kernels.onednn_primitive import (
    BIAS,
    DIFF_DST,
    DIFF_WEIGHTS,
    DST,
    POST_OP,
    SRC,
    SRC_1,
    WEIGHTS,
    Attributes,
    Memory,
    Primitive,
    Shape,
    aligned,
    check,
    check_like,
    describe_operation,
    free,
    plain,
    reorder,
    wanted,
)  # fmt: skip

TRAINING = 64
# From so many rows and elements of the result on, oneDNN's weight gradient is faster than NumPy's.
ROWS, ELEMENTS = 32, 32768


class _Product:
    """out (m, p) = a (m, q) @ b (q, p) + bias; b is loaded from (q, p), or from (p, q) if `flip`."""

    def __init__(
        self, a: np.ndarray, out: np.ndarray, *, flip: bool, bias: bool, relu: bool, add: np.ndarray | bool
    ) -> None:
        (m, q), p = a.shape, out.shape[1]
        memories = {SRC: Memory(plain((m, q)), a), DST: Memory(plain((m, p)), out)}
        if bias:
            memories[BIAS] = Memory(plain((1, p)), aligned((1, p)))
        follow = add if isinstance(add, bool) else plain((m, p))
        operation = describe_operation(
            "matmul", plain((m, q)), free((q, p)), memories[BIAS].desc if bias else None, plain((m, p)),
            Attributes(relu, follow).handle,
        )  # fmt: skip
        if not isinstance(add, bool) and not isinstance(follow, bool):
            memories[POST_OP | SRC_1] = Memory(follow, check_like("add", add, out))
        memories[WEIGHTS] = Memory(wanted(operation, WEIGHTS))
        self._source = Memory(plain((q, p), (1, 0) if flip else None), aligned((p, q) if flip else (q, p)))
        self._pack = reorder(self._source, memories[WEIGHTS])
        self._primitive = Primitive(operation, memories)
        self.implementation = self._primitive.implementation
        self.run: Callable[[], Any] = self._primitive.run
        if not a.size or not out.size:
            self.run = lambda: None

    def load(self, w: np.ndarray, b: np.ndarray | None) -> None:
        if w.shape != self._source.array.shape:
            raise InvalidArgument(f"expected weights of shape {self._source.array.shape}, got {w.shape}")
        memories = self._primitive.memories
        if (b is not None) != (BIAS in memories):
            raise InvalidArgument(
                f"expected {'a' if BIAS in memories else 'no'} bias, got {'one' if b is not None else 'none'}"
            )
        self._source.array[...] = w
        self._pack.run()
        if b is not None:
            memories[BIAS].array[0] = b


class Linear:
    """out (m, o) = relu(x (m, k) @ w.T + b + residual), w (o, k); bias, residual and relu are optional.

    add: False, True (the residual is what `out` holds before the call), or an array like `out`. relu: gives 0
    for NaN, see ConvForward.
    """

    def __init__(
        self,
        x: np.ndarray,
        w_shape: Shape,
        out: np.ndarray,
        *,
        bias: bool = False,
        relu: bool = False,
        add: np.ndarray | bool = False,
    ) -> None:
        _fit(check("x", x, 2).shape, w_shape, check("out", out, 2).shape)
        self._product = _Product(x, out, flip=True, bias=bias, relu=relu, add=add)
        self.implementation, self.run = self._product.implementation, self._product.run

    def load(self, w: np.ndarray, b: np.ndarray | None = None) -> None:
        """Take weights (o, k) and bias (o,), which must be given if and only if bias=True."""
        self._product.load(w, b)


class LinearInputGrad:
    """out (m, k) = g (m, o) @ w (o, k) + residual: the gradient of x @ w.T by x. add: as in Linear."""

    def __init__(
        self, g: np.ndarray, w_shape: Shape, out: np.ndarray, *, add: np.ndarray | bool = False
    ) -> None:
        _fit(check("out", out, 2).shape, w_shape, check("g", g, 2).shape)
        self._product = _Product(g, out, flip=False, bias=False, relu=False, add=add)
        self.implementation, self.run = self._product.implementation, self._product.run

    def load(self, w: np.ndarray) -> None:
        """Take weights (o, k)."""
        self._product.load(w, None)


class LinearWeightGrad:
    """out (o, k) = g (m, o).T @ x (m, k): the gradient of x @ w.T by w. bias: (o,) for the bias's, or None.

    Small products are left to NumPy, which is faster there.
    """

    def __init__(
        self, x: np.ndarray, g: np.ndarray, out: np.ndarray, *, bias: np.ndarray | None = None
    ) -> None:
        _fit(check("x", x, 2).shape, check("out", out, 2).shape, check("g", g, 2).shape)
        (m, k), o = x.shape, g.shape[1]
        self.implementation = "numpy"
        calls: list[Callable[[], Any]] = [partial(np.matmul, g.T, x, out)]
        if m >= ROWS and o * k >= ELEMENTS:
            shapes = plain((m, k)), plain((o, k)), None, plain((m, o))
            hint = describe_operation("inner_product_forward", TRAINING, *shapes, Attributes().handle)
            operation = describe_operation(
                "inner_product_backward_weights", *shapes, hint, Attributes().handle
            )
            memories = {SRC: (x, (m, k)), DIFF_DST: (g, (m, o)), DIFF_WEIGHTS: (out, (o, k))}
            primitive = Primitive(operation, {key: Memory(plain(s), a) for key, (a, s) in memories.items()})
            self.implementation, calls = primitive.implementation, [primitive.run]
        if bias is not None:
            calls.append(partial(np.matmul, np.ones(m, np.float32), g, check_like("bias", bias, out[:, 0])))
        self.run = chain(calls)


def _fit(x: Shape, w: Shape, y: Shape) -> None:
    if len(w) != 2 or x != (y[0], w[1]) or y[1] != w[0]:
        raise InvalidArgument(f"expected x (m, k), w (o, k) and y (m, o) of one layer, got {x}, {w} and {y}")
