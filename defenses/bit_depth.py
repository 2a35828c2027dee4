"""Fewer levels for each value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.bounds import Bounds
from armour.checks import count
from armour.errors import InvalidArgument
from armour.rng import Streams
from armour.tensor.core import Tensor

from .evidence import DEFENSES, Evidence
from .input import InputDefense, scaled, straight, unit


@DEFENSES.register("bit-depth")
@dataclass(frozen=True, slots=True, kw_only=True)
class BitDepth(InputDefense):
    """Each value at the nearest of 2 ** bits levels, evenly spaced over the bounds.

    The gradient passes straight through the rounding. Raises InvalidArgument for bits outside 1..16.
    Xu et al., 2018, https://arxiv.org/abs/1704.01155.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "broken",
        "He et al., 2017, https://arxiv.org/abs/1706.04701",
        "adaptive attacks on feature squeezing succeed with low distortion",
    )
    backward: ClassVar[str] = "identity"
    images: ClassVar[bool] = False

    bits: int = 4

    def __post_init__(self) -> None:
        if count("bits", self.bits) > 16:
            raise InvalidArgument(f"expected 1 to 16 bits, got {self.bits}")

    def apply(self, x: Tensor, bounds: Bounds, streams: Streams) -> Tensor:
        """As InputDefense.apply; nothing is drawn."""
        u = unit(x, bounds)
        steps = 2**self.bits - 1
        return scaled(straight(u, np.rint(u.data * steps) / steps), bounds)
