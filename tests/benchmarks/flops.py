"""Floating-point operations of a network: two for each multiplication and addition of its products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from armour.tensor import Tensor, no_grad
from armour.tensor.watch import watching


def products(module: Any, x: np.ndarray) -> list[int]:
    """Operations of each convolution and linear layer of a forward pass of x, in the order of the calls."""
    found: list[int] = []

    def watcher(called: Any, forward: Any, inputs: Any, keywords: Any) -> Any:
        out = forward(*inputs, **keywords)
        weight = getattr(called, "weight", None)
        if called.is_leaf() and weight is not None and len(weight.shape) >= 2:
            # Every number of the output is a product with one row of weights: (out, in / groups, kernel).
            found.append(2 * math.prod(out.shape) * math.prod(weight.shape[1:]))
        return out

    with no_grad(), watching(watcher):
        module(Tensor(x))
    return found


def forward(module: Any, x: np.ndarray) -> float:
    """Of a forward pass."""
    return float(sum(_scaled(module, x)))


def input_gradient(module: Any, x: np.ndarray) -> float:
    """Of a forward pass and the gradient of the input: each product once more, with weights turned."""
    return 2 * forward(module, x)


def parameter_gradient(module: Any, x: np.ndarray) -> float:
    """Of a forward pass and the gradients of all weights; the first layer's input needs none."""
    each = _scaled(module, x)
    return float(3 * sum(each) - each[0])


def _scaled(module: Any, x: np.ndarray) -> list[int]:
    return [len(x) * count for count in products(module, x[:1])]
