"""Half precision where the steps between need more: computed in single precision and rounded once."""

from __future__ import annotations

from typing import Any

import numpy as np

import armour.tensor as T
from armour.tensor.core import Tensor

from .rules import Call, Rule, Value


def in_single(operator: Rule) -> Rule:
    """A rule that takes half-precision inputs in single precision and gives its outputs in half again."""

    def widened(c: Call) -> Any:
        if c.dtype() != np.float16:
            return operator(c)
        wide = Call(c.node, [_single(v) for v in c.inputs], c.opsets, c.run)
        wide.folding = c.folding
        found = operator(wide)
        if isinstance(found, (list, tuple)):
            return [T.cast(v, "float16") for v in found]
        return T.cast(found, "float16")

    return widened


def _single(value: Value | None) -> Value | None:
    if value is None or value.dtype != np.float16:
        return value
    return T.cast(value, "float32") if isinstance(value, Tensor) else value.astype(np.float32)
