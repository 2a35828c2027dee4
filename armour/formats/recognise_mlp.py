"""Perceptrons: dense layers only, each taking what the one before gives."""

from __future__ import annotations

import math

from armour.formats.entries import Entries
from armour.formats.recognise import FAMILIES, Found, Shape, Stack, arranged, chained, parts, refuse
from armour.tensor import nn

# Sizes of a first layer that stand for images of one well-known shape.
_IMAGES = {784: (1, 28, 28), 3072: (3, 32, 32)}


@FAMILIES.register("mlp")
def mlp(entries: Entries, input_shape: Shape | None) -> Found | None:
    """Any number of dense layers with ReLU between them, on the flattened input."""
    layers = parts(entries)
    if any(part.kind != "dense" for part in layers):
        return None
    chain = arranged(entries, chained)
    if chain is None or chain[-1].shape[0] < 2:
        return None
    size = chain[0].shape[1]
    shape = input_shape or _IMAGES.get(size)
    if shape is None or math.prod(shape) != size:
        got = "" if input_shape is None else f", got input_shape={input_shape}"
        raise refuse(
            "a perceptron", f"its first layer takes {size:,} numbers; state input_shape= of that many{got}"
        )
    stack = Stack()
    stack.add(nn.Flatten())
    stack.dense(chain)
    assumed = [] if len(chain) == 1 else ["ReLU between the layers"]
    if input_shape is None:
        assumed.append(f"inputs of {' x '.join(map(str, shape))}")
    return Found("mlp", stack.network(), tuple(assumed), shape, stack.names)
