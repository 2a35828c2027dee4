"""Each value as a row of ones and zeros, for a network that was trained on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.bounds import Bounds
from armour.checks import count
from armour.errors import InvalidArgument
from armour.rng import Streams
from armour.tensor import custom_vjp
from armour.tensor.core import Tensor, wrap

from .evidence import DEFENSES, Evidence
from .input import InputDefense, scaled, unit


@DEFENSES.register("thermometer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Thermometer(InputDefense):
    """c channels as c * levels: the k-th of a channel is high where the value is above k / levels.

    On a scale from 0 to 1 over the bounds, for k from 0; codes are the ends of the bounds. The model behind
    it takes c * levels channels: it is trained on what `apply` gives. The gradient of
    clip(u - k / levels, 0, 1) stands in for that of each step. Raises InvalidArgument for fewer
    than 2 levels or more than 256.
    Buckman et al., 2018, https://openreview.net/forum?id=S18Su--CW.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "broken",
        "Athalye et al., 2018, https://arxiv.org/abs/1802.00420",
        "0 % left on CIFAR-10 at Linf .031 without adversarial training",
    )
    backward: ClassVar[str] = "clip(u - k / levels, 0, 1)"

    levels: int = 16

    def __post_init__(self) -> None:
        if not 2 <= count("levels", self.levels) <= 256:
            raise InvalidArgument(f"expected 2 to 256 levels, got {self.levels}")

    def taken(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As InputDefense.taken; InvalidArgument if the channels are no multiple of the levels."""
        if not shape or shape[0] % self.levels:
            raise InvalidArgument(
                f"expected a model of a multiple of {self.levels} channels behind {self}, got "
                f"input_shape={shape}; the network must be trained on encoded inputs"
            )
        return (shape[0] // self.levels, *shape[1:])

    def apply(self, x: Tensor, bounds: Bounds, streams: Streams) -> Tensor:
        """As InputDefense.apply: (n, c * levels, h, w), the levels of a channel together."""
        return scaled(_encoded(unit(x, bounds), levels=self.levels), bounds)


def _codes(u: Tensor, levels: int) -> Tensor:
    above = u.data[:, :, None] > _marks(u, levels)
    return wrap(above.reshape(len(above), u.shape[1] * levels, *u.shape[2:]).astype(u.dtype))


def _back(g: Tensor, y: Tensor, u: Tensor, levels: int) -> Tensor:
    over = u.data[:, :, None] >= _marks(u, levels)
    split = g.reshape((*over.shape,))
    found: Tensor = (split * wrap(over.astype(u.dtype))).sum(axis=2)
    return found


def _marks(u: Tensor, levels: int) -> np.ndarray:
    return (np.arange(levels) / levels).astype(u.dtype).reshape(levels, *(1,) * (u.ndim - 2))


_encoded = custom_vjp(_codes, _back)
