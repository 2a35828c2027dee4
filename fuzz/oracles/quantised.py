"""The network under test in fewer bits: float16, or int8 after training, both simulated in float32.

int8 is the usual recipe of Jacob et al., 2018 (https://arxiv.org/abs/1712.05877), without retraining: weights
of two or more axes symmetrically by output channel, what enters the network and what its layers give out
affinely by the range they take on calibration inputs. The last layer's output stays as its accumulators give
it. Biases and other vectors are kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from armour.contract import Model
from armour.errors import UnsupportedError
from armour.model import ModuleModel
from armour.tensor.backend import get_xp
from armour.tensor.core import Tensor, no_grad
from armour.tensor.watch import leaf_names, watching

FORMATS = ("float16", "int8")
CALIBRATED = 256  # inputs that ranges are taken from

# (what a value is of, the value as an array) -> the value in fewer bits
Rounding = Callable[[str, Any], Any]


def quantised(model: Model, bits: str, x: np.ndarray) -> QuantisedModel:
    """The model in "float16" or "int8"; x (n, *shape): calibration inputs, of which the first 256 are used.

    UnsupportedError for what is no network of ours.
    """
    if not isinstance(model, ModuleModel):
        raise UnsupportedError(
            f"differential: a {bits} copy needs the network itself, and {model.name} is a black box; compare "
            "it with a second model, --against FILE"
        )
    if bits == "float16":
        return QuantisedModel(model, bits, _half, _half)
    ranges: dict[str, tuple[float, float]] = {}

    def observe(place: str, value: Any) -> Any:
        low, high = ranges.get(place, (0.0, 0.0))
        ranges[place] = min(low, float(value.min())), max(high, float(value.max()))
        return value

    watched = QuantisedModel(model, bits, observe, lambda place, value: value)
    watched.logits(x[:CALIBRATED])
    last = list(ranges)[-1]
    steps = {place: _step(*span) for place, span in ranges.items() if place != last}
    return QuantisedModel(model, bits, lambda place, value: _affine(value, steps.get(place)), _by_channel)


class QuantisedModel(ModuleModel):
    """A copy of a network whose values pass through `values`, and its weights, once, through `weights`."""

    def __init__(self, model: ModuleModel, bits: str, values: Rounding, weights: Rounding) -> None:
        self.__dict__.update(copy.deepcopy(model).__dict__)
        self.name = f"{model.name} in {bits}"
        self.compiled = False  # what watches layers is no part of a plan
        self._values = values
        names = {id(module): path for path, module in self.module.named_modules()}
        leaves = set(leaf_names(self.module))
        self._paths = {key: path for key, path in names.items() if path in leaves}
        for name, parameter in self.module.named_parameters():
            parameter.data = weights(name, parameter.data)

    def _forward(self, x: np.ndarray) -> np.ndarray:
        with self._evaluating(), no_grad(), watching(self._watch):
            out = self._eager_logits(x)
        return self._check_output(np.asarray(out), len(x))

    def _watch(self, called: Any, forward: Any, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        if called is self.module and isinstance(inputs[0], Tensor):
            inputs = (Tensor(self._values("input", inputs[0].data)), *inputs[1:])
        out = forward(*inputs, **keywords)
        path = self._paths.get(id(called))
        return Tensor(self._values(path, out.data)) if path is not None and isinstance(out, Tensor) else out


def _half(place: str, value: Any) -> Any:
    """Rounded to float16; beyond its range to infinity."""
    with np.errstate(over="ignore"):
        return value.astype(np.float16).astype(np.float32) if value.dtype.kind == "f" else value


def _by_channel(place: str, value: Any) -> Any:
    """(o, ...) in 255 steps of each output channel's largest magnitude; vectors as they are."""
    if value.ndim < 2 or value.dtype.kind != "f":
        return value
    xp = get_xp(value)
    most = xp.abs(value.reshape(len(value), -1)).max(axis=1).reshape(-1, *[1] * (value.ndim - 1))
    step = xp.where(most > 0, most / 127, 1)
    return (xp.rint(value / step) * step).astype(value.dtype)


def _step(low: float, high: float) -> tuple[float, float]:
    """Width of a step and the integer that stands for 0, of 256 that cover [low, high]."""
    width = (high - low) / 255 or 1.0
    return width, round(-low / width) - 128


def _affine(value: Any, steps: tuple[float, float] | None) -> Any:
    if steps is None or value.dtype.kind != "f":
        return value
    width, zero = steps
    xp = get_xp(value)
    return ((xp.clip(xp.rint(value / width) + zero, -128, 127) - zero) * width).astype(np.float32)
