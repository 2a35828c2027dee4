"""Per-sample gradients of linear layers."""

from __future__ import annotations

import math

from armour.tensor.core import Tensor
from armour.tensor.layers import Linear
from armour.tensor.reduce import sum as sum_of
from armour.tensor.sample_grads import Dense, Outer, OuterSum, SampleGrad, grad_sampler
from armour.tensor.shape import reshape


@grad_sampler(Linear)
def linear(layer: Linear, x: Tensor, g: Tensor) -> dict[str, SampleGrad]:
    """x (n, ..., in), g (n, ..., out): an outer product for each sample, or a sum of them."""
    parts: dict[str, SampleGrad] = {}
    if x.ndim == 2:
        left = Dense(g)
        parts["weight"] = Outer(g, x, left)
        if layer.bias is not None:
            parts["bias"] = left
    else:
        places = math.prod(x.shape[1:-1])
        flat = [reshape(t, (t.shape[0], places, t.shape[-1])) for t in (g, x)]
        parts["weight"] = OuterSum(*flat)
        if layer.bias is not None:
            parts["bias"] = Dense(sum_of(flat[0], axis=1))
    return parts
