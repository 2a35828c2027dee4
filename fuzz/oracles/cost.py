"""cost: inputs that make a network work harder than clean ones do (sponge examples).

Shumailov et al., 2021, https://arxiv.org/abs/2006.03463. Work is counted, not timed: multiplications whose
first factor, a layer's input, is not zero, which is what hardware that skips zeros would do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from armour import checks
from armour.errors import UnsupportedError
from armour.model import ModuleModel
from armour.tensor.backend import asnumpy
from armour.tensor.core import Tensor, no_grad
from armour.tensor.watch import watching

from .base import Judge, Oracle, Place, Seen, register


@register("cost")
@dataclass(frozen=True, slots=True, kw_only=True)
class Cost(Oracle):
    """More than `factor` times the roots' median of active multiplications, and more than their 99.9th
    percentile.

    Counted are dense and convolution layers; a border of a convolution counts like its middle.
    """

    asks: ClassVar[bool] = True

    factor: float = 3.0
    every: int = 1

    def __post_init__(self) -> None:
        checks.positive("factor", self.factor)
        checks.count("every", self.every)

    def bind(self, place: Place) -> Judge:
        """Measures the roots; UnsupportedError for a black box, or a network without such layers."""
        model = place.model
        if not isinstance(model, ModuleModel):
            raise UnsupportedError(
                f"cost: {model.name} is a black box, so nobody can count its products; leave it out"
            )
        size = place.executor.batch
        clean = multiplications(model, place.roots.x, size)
        if not clean.any():
            raise UnsupportedError(
                f"cost: {model.name} has no dense or convolution layer; leave the oracle out"
            )
        limit = max(self.factor * float(np.median(clean)), float(np.percentile(clean, 99.9)))

        def judge(seen: Seen) -> np.ndarray:
            seen.meter.count += len(seen)
            return np.asarray(multiplications(model, seen.x, size) > limit)

        return judge


def multiplications(model: ModuleModel, x: np.ndarray, batch: int = 128) -> np.ndarray:
    """(n,) int64: active multiplications of each input x (n, *shape), in dense and convolution layers."""
    parts = [_count(model, x[start : start + batch]) for start in range(0, len(x), batch)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _count(model: ModuleModel, x: np.ndarray) -> np.ndarray:
    total = np.zeros(len(x), np.int64)

    def watch(called: Any, forward: Any, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        fan = _fan_out(called)
        if fan and isinstance(inputs[0], Tensor) and len(inputs[0].data) == len(x):
            active = np.asarray(asnumpy(inputs[0].data) != 0).reshape(len(x), -1).sum(axis=1)
            total[:] += fan * active
        return forward(*inputs, **keywords)

    with model._evaluating(), no_grad(), watching(watch):
        model.forward(Tensor(x))
    return total


def _fan_out(layer: Any) -> int:
    """Products that each input value of a layer takes part in; 0 for a layer that does not multiply."""
    kind = type(layer).__name__
    if kind == "Linear":
        return int(layer.out_features)
    if kind.startswith("Conv") and not kind.startswith("ConvTranspose"):
        weight = layer.weight.data
        stride = layer.stride if isinstance(layer.stride, tuple) else (layer.stride,) * (weight.ndim - 2)
        groups = int(getattr(layer, "groups", 1))
        return max(1, int(len(weight) // groups * math.prod(weight.shape[2:]) // math.prod(stride)))
    return 0
